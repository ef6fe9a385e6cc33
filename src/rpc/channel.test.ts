import { beforeEach, describe, expect, test, vi } from 'vitest';
import { UsageError, WorkerError } from '../errors/errors.ts';
import type { ResultMessage, RunMessage, WorkerMessage } from '../protocol/messages.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { FakeClock } from '../util/fake-clock.ts';
import { Channel } from './channel.ts';
import { type MemoryPort, memoryPorts } from './memory-port.ts';

const run: RunMessage = {
  kind: 'run',
  id: 'r',
  code: '',
  filename: '',
  argv: [],
  env: {},
  stdin: '',
  globals: '["d"]',
  files: [],
  purpose: 'program',
  after: 'rewind',
  seed: null,
  figures: 'png',
  limits: {
    timeoutMs: 0,
    cpuMs: 0,
    memoryBytes: 0,
    outputBytes: 0,
    fileBytes: 0,
    fileCount: 0,
    valueBytes: 0,
  },
};

const result: ResultMessage = {
  kind: 'result',
  id: 'r',
  status: 'ok',
  stopped: null,
  text: null,
  value: null,
  display: null,
  error: null,
  exitCode: null,
  files: [],
  executionCount: 1,
  runMs: 0,
  cpuMs: 0,
  heapBytes: 0,
  peakBytes: 0,
  deltaBytes: 0,
  truncated: { stdout: false, stderr: false, value: false, results: false, files: false },
};

const stdout: WorkerMessage = { kind: 'stdout', id: 'r', parts: [Uint8Array.of(1)] };
const rewound: WorkerMessage = { kind: 'rewound', id: 'r', rewindMs: 1, heapBytes: 1, dirty: null };
const progress: WorkerMessage = { kind: 'progress', id: 'i', stage: 's', done: 0, total: 0, message: '' };
const pong: WorkerMessage = { kind: 'pong', id: 'p', busy: null, heapBytes: 1, residentBytes: null };
const ask: WorkerMessage = {
  kind: 'ask',
  id: 'r',
  question: { kind: 'install', requirements: ['numpy'] },
};
const ready: WorkerMessage = {
  kind: 'ready',
  id: 'i',
  version: 1,
  pyodide: '1',
  python: '3',
  heapBytes: 1,
  bootMs: 1,
};

let worker: MemoryPort;
let channel: Channel;
let clock: FakeClock;
let received: unknown[];

beforeEach(() => {
  const [host, other] = memoryPorts();
  worker = other;
  received = [];
  worker.onMessage = (message) => received.push(message);
  clock = new FakeClock();
  channel = new Channel(host, { clock });
});

/** All that is on its way has arrived. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

describe('calls', () => {
  test('are answered by id, whatever the order', async () => {
    const first = channel.call({ kind: 'ping', id: 'p' });
    const second = channel.call({ kind: 'ping', id: 'q' });
    await settle();
    expect(received).toEqual([
      { kind: 'ping', id: 'p' },
      { kind: 'ping', id: 'q' },
    ]);
    worker.send({ ...pong, id: 'q', heapBytes: 2 });
    worker.send(pong);
    expect((await first).heapBytes).toBe(1);
    expect((await second).heapBytes).toBe(2);
  });

  test('a run has events before and after its reply, up to `rewound`', async () => {
    const events: string[] = [];
    const reply = channel.call(run, { onEvent: ({ kind }) => events.push(kind) });
    for (const message of [stdout, { ...stdout, kind: 'stderr' as const }, result]) worker.send(message);
    expect(await reply).toEqual(result);
    expect(events).toEqual(['stdout', 'stderr']);
    worker.send(stdout);
    worker.send(rewound);
    await settle();
    expect(events).toEqual(['stdout', 'stderr', 'stdout', 'rewound']);
    worker.send(rewound);
    expect(await channel.closed).toMatchObject({ code: 'protocol' });
  });

  test('a boot has pieces of an image, in order, before its reply', async () => {
    const events: unknown[] = [];
    const reply = channel.call(
      { kind: 'init', id: 'i', version: 1, options: {} as never },
      { onEvent: (event) => events.push(event.kind === 'image' ? [...(event.parts[0] ?? [])] : event.kind) },
    );
    worker.send({ kind: 'image', id: 'i', parts: [Uint8Array.of(1)] });
    worker.send(progress);
    worker.send({ kind: 'image', id: 'i', parts: [Uint8Array.of(2)] });
    worker.send(ready);
    expect(await reply).toEqual(ready);
    expect(events).toEqual([[1], 'progress', [2]]);
  });

  test('a run may ask, and goes on with the answer', async () => {
    const answer = { kind: 'answer', id: 'r', error: null, body: '[]', parts: [Uint8Array.of(7)] } as const;
    const asked: string[] = [];
    const reply = channel.call(run, {
      onEvent(event) {
        asked.push(event.kind);
        if (event.kind === 'ask') channel.notify({ ...answer, parts: [...answer.parts] });
      },
    });
    worker.send(ask);
    await settle();
    worker.send(ask);
    await settle();
    worker.send(result);
    expect(await reply).toEqual(result);
    expect(asked).toEqual(['ask', 'ask']);
    expect(received).toEqual([run, answer, answer]);
  });

  test('the same id again, once the run is over', async () => {
    const reply = channel.call(run);
    await expect(channel.call(run)).rejects.toThrow(UsageError);
    worker.send(result);
    await reply;
    await expect(channel.call(run)).rejects.toThrow("a call 'r' is under way");
    channel.release('r');
    const again = channel.call(run);
    worker.send(result);
    expect(await again).toEqual(result);
  });

  test('release does nothing for a run under way', async () => {
    const reply = channel.call(run);
    channel.release('r');
    worker.send(result);
    expect(await reply).toEqual(result);
  });

  test('the error of a call is its own', async () => {
    const boot = channel.call({
      kind: 'init',
      id: 'i',
      version: 1,
      options: {} as never,
    });
    const reply = channel.call({ kind: 'ping', id: 'p' });
    const error = { code: 'boot_failed', message: 'no wasm', details: {}, stack: null, cause: null };
    worker.send(progress);
    worker.send({ kind: 'error', id: 'i', error });
    await expect(boot).rejects.toMatchObject({
      name: 'WorkerError',
      code: 'boot_failed',
      message: 'no wasm',
    });
    worker.send(pong);
    await expect(reply).resolves.toEqual(pong);
  });

  test('the error of the worker ends everything', async () => {
    const reply = channel.call(run);
    const error = { code: 'crashed', message: 'fatal', details: {}, stack: null, cause: null };
    worker.send({ kind: 'error', id: null, error });
    await expect(reply).rejects.toMatchObject({ code: 'crashed', message: 'fatal' });
    expect(await channel.closed).toBe(channel.failure);
  });
});

describe('giving up', () => {
  test('at the time limit; the late answer is dropped', async () => {
    const reply = channel.call({ kind: 'ping', id: 'p' }, { timeoutMs: 100 });
    clock.advance(99);
    await settle();
    clock.advance(1);
    await expect(reply).rejects.toMatchObject({
      name: 'WorkerError',
      code: 'crashed',
      message: "no answer to 'ping' within 100 ms",
    });
    worker.send(pong);
    const next = channel.call({ kind: 'ping', id: 'p2' }, { timeoutMs: 100, timeoutCode: 'boot_timeout' });
    await settle();
    expect(channel.failure).toBeUndefined();
    clock.advance(100);
    await expect(next).rejects.toMatchObject({ code: 'boot_timeout' });
  });

  test('by a signal, before and during; events stop', async () => {
    const reason = new Error('enough');
    await expect(channel.call(run, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const abort = new AbortController();
    const onEvent = vi.fn();
    const reply = channel.call(run, { signal: abort.signal, onEvent });
    abort.abort(reason);
    await expect(reply).rejects.toBe(reason);
    for (const message of [stdout, result, rewound]) worker.send(message);
    await settle();
    expect(onEvent).not.toHaveBeenCalled();
    expect(channel.failure).toBeUndefined();
    expect(received).toEqual([run]);
  });

  test('leaves no timer and no listener behind', async () => {
    const abort = new AbortController();
    const remove = vi.spyOn(abort.signal, 'removeEventListener');
    const reply = channel.call({ kind: 'ping', id: 'p' }, { timeoutMs: 100, signal: abort.signal });
    worker.send(pong);
    await reply;
    expect(clock.pending).toBe(0);
    expect(remove).toHaveBeenCalledTimes(1);
  });
});

describe('violations fail the channel, and with it every call', () => {
  test.each<[string, unknown[]]>([
    ['not a message', ['ping']],
    ['a message of the host', [{ kind: 'ping', id: 'p' }]],
    ['a malformed one', [{ ...pong, heapBytes: -1 }]],
    ['an unknown id', [{ ...pong, id: 'other' }]],
    ['an event of an unknown id', [{ ...stdout, id: 'other' }]],
    [
      'an error of an unknown id',
      [{ kind: 'error', id: 'x', error: { code: 'a', message: '', details: {}, stack: null, cause: null } }],
    ],
    ['the wrong reply', [{ ...pong, id: 'r' }]],
    ['ready in answer to a run', [{ ...ready, id: 'r' }]],
    ['a piece of an image in a run', [{ kind: 'image', id: 'r', parts: [Uint8Array.of(1)] }]],
    ['a question of a ping', [{ ...ask, id: 'p' }]],
    ['a question of a run that has ended', [result, ask]],
    ['a question of no run', [{ ...ask, id: 'other' }]],
    ['output of a ping', [{ ...stdout, id: 'p' }]],
    ['rewound before the result', [rewound]],
    ['a second result', [result, result]],
    [
      'an error after the result',
      [
        result,
        { kind: 'error', id: 'r', error: { code: 'a', message: '', details: {}, stack: null, cause: null } },
      ],
    ],
    ['a second pong', [pong, pong]],
  ])('%s', async (_, messages) => {
    const closed = vi.fn();
    worker.onClose = closed;
    const calls = [
      channel.call(run),
      channel.call({ kind: 'ping', id: 'p' }),
      channel.call({ kind: 'ping', id: 'q' }),
    ];
    for (const message of messages) worker.sendRaw(message);
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.at(-1)).toMatchObject({
      status: 'rejected',
      reason: { name: 'WorkerError', code: 'protocol', cause: expect.any(ProtocolError) },
    });
    await settle();
    expect(closed).toHaveBeenCalledTimes(1);
    await expect(channel.call(run)).rejects.toBe(channel.failure);
  });
});

describe('the end', () => {
  test('a port that closes fails every call once, with the reason', async () => {
    const calls = [channel.call(run), channel.call({ kind: 'ping', id: 'p' })];
    worker.close(new Error('exit code 137'));
    for (const call of calls) {
      await expect(call).rejects.toMatchObject({
        code: 'crashed',
        message: 'the worker is gone: exit code 137',
      });
    }
    channel.fail(new WorkerError('crashed', 'again'));
    expect((await channel.closed).message).toBe('the worker is gone: exit code 137');
  });

  test('a port that breaks the protocol', async () => {
    const reply = channel.call(run);
    worker.close(new ProtocolError('bad frame'));
    await expect(reply).rejects.toMatchObject({ code: 'protocol', message: 'bad frame' });
  });

  test('`fail` closes the port; nothing is sent or taken any more', async () => {
    const onEvent = vi.fn();
    const reply = channel.call(run, { onEvent });
    const closed = vi.fn();
    worker.onClose = closed;
    const reason = new WorkerError('crashed', 'killed');
    channel.fail(reason);
    await expect(reply).rejects.toBe(reason);
    channel.notify({ kind: 'shutdown' });
    await settle();
    expect(closed).toHaveBeenCalledTimes(1);
    expect(received).toEqual([run]);
  });

  test('an `onEvent` that throws is ours', async () => {
    const reply = channel.call(run, {
      onEvent() {
        throw new Error('bug');
      },
    });
    worker.send(stdout);
    await expect(reply).rejects.toMatchObject({ code: 'internal', message: 'bug' });
  });
});

describe('a port that does not send', () => {
  const portThat = (send: () => void) => ({ send, onMessage: undefined, onClose: undefined, close() {} });

  test('because the message is too large: only that call', async () => {
    const broken = new Channel(
      portThat(() => {
        throw new ProtocolError('too many bytes');
      }),
      { clock },
    );
    await expect(broken.call(run, { timeoutMs: 5 })).rejects.toMatchObject({ code: 'usage' });
    expect(broken.failure).toBeUndefined();
    expect(clock.pending).toBe(0);
  });

  test('because an answer is too large: whoever gave it is told, and the run goes on', async () => {
    let sent = 0;
    const broken = new Channel(
      portThat(() => {
        sent += 1;
        if (sent > 1) throw new ProtocolError('too many bytes');
      }),
      { clock },
    );
    const reply = broken.call(run);
    const answer = { kind: 'answer', id: 'r', error: null, body: 'null' } as const;
    expect(() => broken.notify(answer)).toThrow(UsageError);
    expect(broken.failure).toBeUndefined();
    broken.fail(new WorkerError('crashed', 'enough'));
    await expect(reply).rejects.toThrow('enough');
  });

  test('because the pipe is broken: the channel', async () => {
    const broken = new Channel(
      portThat(() => {
        throw new Error('EPIPE');
      }),
      { clock },
    );
    await expect(broken.call(run)).rejects.toMatchObject({ code: 'crashed' });
    expect(await broken.closed).toBe(broken.failure);
  });
});

test('notifications', async () => {
  channel.notify({ kind: 'interrupt', id: 'r', reason: 'timeout' });
  channel.notify({ kind: 'shutdown' });
  await settle();
  expect(received).toEqual([{ kind: 'interrupt', id: 'r', reason: 'timeout' }, { kind: 'shutdown' }]);
});
