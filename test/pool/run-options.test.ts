import { expect, it, vi } from 'vitest';
import { decodeValue } from '../../src/protocol/value-codec.ts';
import type { RunOptions } from '../../src/runtime.ts';
import { settled, subject } from './subject.ts';

async function sent(options: RunOptions) {
  const { runtime } = subject({ env: { HOST: 'h' } });
  await runtime.run('code', options);
  const [message] = runtime.engine.runs;
  if (!message) throw new Error('nothing was sent');
  return message;
}

it('sends what is given', async () => {
  const message = await sent({
    filename: 'a.py',
    argv: ['x', 'y'],
    env: { A: '1' },
    stdin: ['one', 'two'],
    seed: 7,
    globals: { n: 1n, bytes: new Uint8Array([1, 2]) },
    files: { 'a/b.txt': 'ü', 'c.bin': new Uint8Array([3]) },
    timeoutMs: 1.5,
  });
  expect(message).toMatchObject({
    code: 'code',
    filename: 'a.py',
    argv: ['x', 'y'],
    env: { A: '1' },
    stdin: 'one\ntwo\n',
    seed: 7,
    purpose: 'program',
    after: 'rewind',
    limits: { timeoutMs: 2, cpuMs: 0, outputBytes: 10 * 2 ** 20 },
    files: [{ path: 'a/b.txt' }, { path: 'c.bin' }],
  });
  expect(decodeValue(message.globals, message.parts)).toEqual({ n: 1n, bytes: new Uint8Array([1, 2]) });
  expect(message.files.map(({ part }) => message.parts?.[part])).toEqual([
    new Uint8Array([0xc3, 0xbc]),
    new Uint8Array([3]),
  ]);
});

it('sends defaults for what is not', async () => {
  const message = await sent({ timeoutMs: Infinity });
  expect(message).toMatchObject({
    filename: '<run>',
    argv: [],
    env: {},
    stdin: '',
    seed: null,
    files: [],
    limits: { timeoutMs: 0 },
  });
  expect(decodeValue(message.globals)).toEqual({});
});

it('copies files, which their owner may change', async () => {
  const bytes = new Uint8Array([1]);
  const message = await sent({ files: { a: bytes } });
  expect(message.parts?.[0]).not.toBe(bytes);
});

async function* stream(...chunks: number[][]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) {
    await settled();
    yield new Uint8Array(chunk);
  }
}

it('reads streams before the run', async () => {
  const message = await sent({ files: { a: stream([1], [2, 3]), b: 'x' } });
  expect(message.parts).toEqual([new Uint8Array([1, 2, 3]), new Uint8Array([120])]);
});

it('stops reading a stream at the limit of files', async () => {
  const { runtime } = subject();
  let read = 0;
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) {
      read++;
      yield new Uint8Array(10);
    }
  }
  const run = runtime.run('1', { files: { big: endless() }, fileBytes: 25 });
  await expect(run).rejects.toMatchObject({ code: 'usage' });
  await expect(run).rejects.toThrow("'big'");
  expect(read).toBe(3);
});

it('interrupts a run whose streams are being read', async () => {
  const { runtime } = subject();
  const run = runtime.run('1', { files: { a: stream([1], [2]) } });
  run.interrupt();
  expect((await run).status).toBe('interrupted');
  await settled();
  await settled();
  await settled();
  expect(runtime.engine.starts).toHaveLength(0);
});

it('reads no stream for a signal that was aborted before', async () => {
  const { runtime } = subject();
  const read = vi.fn();
  const files = { a: { [Symbol.asyncIterator]: read } };
  expect((await runtime.run('1', { files, signal: AbortSignal.abort() })).status).toBe('interrupted');
  expect(read).not.toHaveBeenCalled();
});

it('stops reading the streams of a run that was interrupted', async () => {
  const { runtime } = subject();
  const next = Promise.withResolvers<void>();
  let closed = false;
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      await next.promise;
      for (;;) yield new Uint8Array(1);
    } finally {
      closed = true;
    }
  }
  const run = runtime.run('1', { files: { a: endless() } });
  run.interrupt();
  expect((await run).status).toBe('interrupted');
  next.resolve();
  await settled();
  expect(closed).toBe(true);
});

it.each(['/etc/passwd', '../up', 'a/../../b', 'a//b', './a', '', 'a\0b', 'a\\b'])(
  'refuses the path %j',
  async (path) => {
    await expect(subject().runtime.run('1', { files: { [path]: '' } })).rejects.toMatchObject({
      code: 'usage',
    });
  },
);

it('refuses a limit above the maximum, by name', async () => {
  const { runtime } = subject({ maxLimits: { timeoutMs: 60_000 } });
  await expect(runtime.run('1', { timeoutMs: 60_001 })).rejects.toMatchObject({
    code: 'usage',
    message: expect.stringContaining('timeoutMs (60001)'),
    details: { limit: 'timeoutMs', asked: 60_001, max: 60_000 },
  });
});

it('names everything that is ill-typed or unknown in one TypeError', async () => {
  const { runtime } = subject();
  const wrong = { timeout: 5, argv: 'x', seed: -1, signal: {}, onStdout: 1, files: { a: 3 }, env: { A: 1 } };
  const run: Promise<unknown> = Reflect.apply(runtime.run, runtime, ['1', wrong]);
  const error = await run.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(TypeError);
  for (const name of ["'timeout'", 'argv', 'seed', 'signal', 'onStdout', 'files.a', 'env.A'])
    expect(String(error)).toContain(name);
});

it('refuses code that is no text and globals that cannot cross', async () => {
  const { runtime } = subject();
  await expect(Reflect.apply(runtime.run, runtime, [7])).rejects.toThrow(TypeError);
  const wrong = { globals: { f: () => 1 } };
  await expect(Reflect.apply(runtime.run, runtime, ['1', wrong])).rejects.toThrow('globals.f');
});

it('refuses what does not fit into a message', async () => {
  const { runtime } = subject();
  const huge = new Uint8Array(65 * 2 ** 20);
  await expect(runtime.run('1', { globals: { huge } })).rejects.toMatchObject({ code: 'usage' });
});

it('has a place in the queue for each run whose files it reads, and reads none without one', async () => {
  const { runtime } = subject({ maxQueue: 1 });
  const next = Promise.withResolvers<void>();
  const read = vi.fn();
  async function* late(): AsyncGenerator<Uint8Array> {
    read();
    await next.promise;
    yield new Uint8Array(1);
  }
  const [first, second, third] = [1, 2, 3].map(() => runtime.run('1', { files: { a: late() } }));
  await expect(third).rejects.toMatchObject({ code: 'queue_full', details: { waiting: 2 } });
  await expect(runtime.run('1')).rejects.toMatchObject({ code: 'queue_full' });
  expect(read).toHaveBeenCalledTimes(2);
  expect(runtime.stats()).toMatchObject({ queued: 2, running: 0, rejected: 2 });
  second?.interrupt();
  expect((await second)?.status).toBe('interrupted');
  next.resolve();
  expect((await first)?.status).toBe('ok');
  // Places are given back, also by a run whose globals cannot cross.
  await runtime.run('1', { globals: { f: () => 1 } }).catch(() => undefined);
  expect(runtime.stats().queued).toBe(0);
});

it('uses the options as they were checked', async () => {
  let reads = 0;
  const message = await sent({
    get filename() {
      return ++reads === 1 ? 'checked.py' : undefined;
    },
  });
  expect(message.filename).toBe('checked.py');
});
