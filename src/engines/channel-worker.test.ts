import { describe, expect, it } from 'vitest';
import { InstallError } from '../errors/errors.ts';
import { type InitOptions, protocolVersion } from '../protocol/messages.ts';
import { type MemoryPort, memoryPorts } from '../rpc/memory-port.ts';
import { ChannelWorker, type Place, type PlaceEnd } from './channel-worker.ts';
import type { RunSink, StartOptions } from './engine.ts';

const init: InitOptions = {
  mode: 'plain',
  maxHeapBytes: 1,
  warmingRuns: 0,
  env: {},
  assets: null,
  packages: { wheels: [], imports: [], warm: [] },
  fingerprint: { pyodide: '1', buildId: '2', kernelHash: '3', lockHash: '' },
};
const options: StartOptions = { id: 'w', init, bootTimeoutMs: 1000 };
const limits = {
  timeoutMs: 0,
  cpuMs: 0,
  memoryBytes: 1,
  outputBytes: 1,
  fileBytes: 1,
  fileCount: 1,
  valueBytes: 1,
};
const run = {
  id: 'r',
  code: '',
  filename: '',
  argv: [],
  env: {},
  stdin: '',
  globals: '["d"]',
  files: [],
  purpose: 'program' as const,
  after: 'rewind' as const,
  seed: null,
  figures: 'png' as const,
  limits,
};
const sink = { onOutput() {}, onDisplay() {}, onRewound() {} };

interface Scene {
  place: Place;
  inside: MemoryPort;
  held: boolean[];
  kills(): number;
  exit(reason: string): void;
}

/** A place whose end comes only with `exit`. `answer` is what the worker says to its `init`. */
function scene(answer: (id: string) => unknown): Scene {
  const [port, inside] = memoryPorts();
  const { promise: exited, resolve: exit } = Promise.withResolvers<PlaceEnd>();
  const held: boolean[] = [];
  let kills = 0;
  inside.onMessage = (message) => {
    const { kind, id } = message as { kind: string; id: string };
    if (kind === 'init') inside.sendRaw(answer(id));
  };
  const place: Place = {
    port,
    pid: 7,
    kill: () => {
      kills += 1;
    },
    hold: (now) => held.push(now),
    exited,
  };
  return { place, inside, held, kills: () => kills, exit: (reason) => exit({ reason }) };
}

const ready = (id: string, version = protocolVersion): object => ({
  kind: 'ready',
  id,
  version,
  pyodide: '1',
  python: '3.14.2',
  heapBytes: 1,
  bootMs: 2,
});
const wireError = { code: 'boot_failed', message: 'no', details: {}, stack: null, cause: null };

describe('ChannelWorker', () => {
  it.each<[string, (id: string) => unknown, string]>([
    ['says so', (id) => ({ kind: 'error', id, error: wireError }), 'no'],
    ['speaks another version', (id) => ready(id, protocolVersion + 1), 'protocol'],
    ['says nonsense', () => 'nonsense', 'did not boot'],
    ['answers another call', () => ready('other'), 'did not boot'],
    [
      'is lost',
      () => ({ kind: 'error', id: null, error: { ...wireError, code: 'crashed' } }),
      'did not boot',
    ],
  ])('fails a boot whose worker %s, once nothing is left of it', async (_name, answer, reason) => {
    const { place, kills, exit } = scene(answer);
    let settled = false;
    const starting = ChannelWorker.start(place, init, options);
    const outcome = expect(starting).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringContaining(reason),
    });
    starting.catch(() => {
      settled = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(kills()).toBeGreaterThan(0);
    expect(settled).toBe(false);
    exit('ended');
    await outcome;
  });

  it('fails a boot whose place ends by itself, with the reason', async () => {
    const { place, exit } = scene(() => ({ kind: 'progress' }));
    exit('ended with code 7');
    await expect(ChannelWorker.start(place, init, options)).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringContaining('code 7'),
    });
  });

  it('keeps the host alive while it boots, runs, rewinds, answers and ends, and not when idle', async () => {
    const { place, inside, held, exit } = scene((id) => ready(id));
    const worker = await ChannelWorker.start(place, init, options);
    expect(held).toStrictEqual([false]);
    const result = worker.run(run, sink);
    expect(held).toStrictEqual([false, true]);
    const said = {
      status: 'ok',
      stopped: null,
      text: null,
      value: null,
      display: null,
      error: null,
      exitCode: null,
      files: [],
      executionCount: 1,
      runMs: 1,
      cpuMs: 1,
      heapBytes: 1,
      peakBytes: 1,
      deltaBytes: 1,
      truncated: { stdout: false, stderr: false, value: false, results: false, files: false },
    };
    inside.sendRaw({ kind: 'result', id: 'r', ...said });
    await result;
    expect(held).toStrictEqual([false, true]);
    const ping = worker.ping(1000).catch(() => {});
    inside.sendRaw({ kind: 'rewound', id: 'r', rewindMs: 1, heapBytes: 1, dirty: null });
    await new Promise((resolve) => setImmediate(resolve));
    expect(held).toStrictEqual([false, true]);
    inside.close();
    await ping;
    expect(held).toStrictEqual([false, true, false]);
    worker.kill();
    expect(held.at(-1)).toBe(true);
    exit('gone');
    expect(await worker.exited).toStrictEqual({ expected: true, reason: 'gone' });
  });

  it('ends its place when the worker breaks the protocol, and fails its run', async () => {
    const { place, inside, kills, exit } = scene((id) => ready(id));
    const worker = await ChannelWorker.start(place, init, options);
    const result = worker.run(run, sink);
    inside.sendRaw({ kind: 'rewound', id: 'r', rewindMs: 1, heapBytes: 1, dirty: null });
    await expect(result).rejects.toMatchObject({ code: 'protocol' });
    expect(kills()).toBeGreaterThan(0);
    exit('gone');
    expect((await worker.exited).expected).toBe(false);
  });

  it('hands over the image piece by piece, in order, before it is ready', async () => {
    const { place, inside } = scene((id) => ready(id));
    const { onMessage } = inside;
    inside.onMessage = (message) => {
      const { id } = message as { id: string };
      for (const byte of [1, 2, 3]) inside.sendRaw({ kind: 'image', id, parts: [Uint8Array.of(byte)] });
      onMessage?.(message);
    };
    const pieces: Uint8Array[] = [];
    await ChannelWorker.start(place, init, options, async (bytes) => {
      pieces.push(bytes);
    });
    expect(pieces).toStrictEqual([1, 2, 3].map((byte) => Uint8Array.of(byte)));
  });

  it('fails a worker that sends pieces of an image in a run', async () => {
    const { place, inside, exit } = scene((id) => ready(id));
    const worker = await ChannelWorker.start(place, init, options);
    const result = worker.run(run, sink);
    inside.sendRaw({ kind: 'image', id: 'r', parts: [Uint8Array.of(1)] });
    await expect(result).rejects.toMatchObject({ code: 'protocol' });
    exit('gone');
  });

  it('tells why packages can’t be frozen as it is', async () => {
    const details = { reason: 'import_failed', package: 'a', suggestion: '' };
    const { place, exit } = scene((id) => ({
      kind: 'error',
      id,
      error: { ...wireError, code: 'install', message: 'a is broken', details },
    }));
    // The place ends when it's killed for that, not before.
    place.kill = () => exit('ended');
    const starting = ChannelWorker.start(place, init, options);
    await expect(starting).rejects.toBeInstanceOf(InstallError);
    await expect(starting).rejects.toMatchObject({ message: 'a is broken', details });
  });

  describe('when a run asks', () => {
    const question = { kind: 'install' as const, requirements: ['numpy'] };

    /** What the worker gets in answer to its question, or to each of them. */
    async function answersTo(onAsk: RunSink['onAsk'], asked: unknown[] = [question]): Promise<unknown[]> {
      const { place, inside, exit } = scene((id) => ready(id));
      const worker = await ChannelWorker.start(place, init, options);
      const answers: unknown[] = [];
      const { promise: answered, resolve } = Promise.withResolvers<void>();
      inside.onMessage = (message) => {
        if ((message as { kind: string }).kind === 'run') return;
        answers.push(message);
        if (answers.length < asked.length)
          inside.sendRaw({ kind: 'ask', id: 'r', question: asked[answers.length] });
        else resolve();
      };
      const result = worker.run(run, onAsk === undefined ? sink : { ...sink, onAsk });
      inside.sendRaw({ kind: 'ask', id: 'r', question: asked[0] });
      await answered;
      worker.kill();
      exit('gone');
      await expect(result).rejects.toMatchObject({ code: 'crashed' });
      return answers;
    }

    it('passes questions on one by one, and the answers with their parts', async () => {
      const fetch = { kind: 'fetch' as const, url: 'https://example.test/', headers: { accept: 'x' } };
      const asked: unknown[] = [];
      const answers = await answersTo(
        async (one) => {
          asked.push(one);
          return { body: JSON.stringify(asked.length), parts: [Uint8Array.of(asked.length)] };
        },
        [question, fetch],
      );
      expect(asked).toStrictEqual([question, fetch]);
      expect(answers).toStrictEqual([
        { kind: 'answer', id: 'r', error: null, body: '1', parts: [Uint8Array.of(1)] },
        { kind: 'answer', id: 'r', error: null, body: '2', parts: [Uint8Array.of(2)] },
      ]);
    });

    it('refuses when nobody is there to answer', async () => {
      expect(await answersTo(undefined)).toMatchObject([
        { id: 'r', error: { code: 'install', details: { reason: 'not_allowed' } }, body: 'null' },
      ]);
    });

    it('tells Python what the host failed with', async () => {
      const failure = new InstallError('no numpy', { reason: 'no_wheel', package: 'numpy', suggestion: 's' });
      expect(await answersTo(() => Promise.reject(failure))).toMatchObject([
        { error: { code: 'install', message: 'no numpy', details: { reason: 'no_wheel' } }, body: 'null' },
      ]);
      const thrown = await answersTo(() => {
        throw new TypeError('a bug', { cause: new Error('in /home/operator') });
      });
      // Nothing of where in the host it came from.
      expect(thrown).toMatchObject([{ error: { code: 'internal', stack: null, cause: null }, body: 'null' }]);
    });

    it('has no answer for a worker that is gone, and harms nobody', async () => {
      const { place, inside, exit } = scene((id) => ready(id));
      const worker = await ChannelWorker.start(place, init, options);
      const { promise: answer, resolve } = Promise.withResolvers<{ body: string }>();
      const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
      const result = worker.run(run, {
        ...sink,
        onAsk() {
          ask();
          return answer;
        },
      });
      inside.sendRaw({ kind: 'ask', id: 'r', question });
      await asked;
      worker.kill();
      exit('gone');
      await expect(result).rejects.toMatchObject({ code: 'crashed' });
      resolve({ body: '1' });
      await new Promise((done) => setImmediate(done));
    });
  });
});
