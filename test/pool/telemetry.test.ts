import { expect, it, vi } from 'vitest';
import { WorkerError } from '../../src/errors/errors.ts';
import { settled, subject } from './subject.ts';

function logger() {
  return { info: vi.fn(), warn: vi.fn(), error: vi.fn() };
}

it('logs one line with worker, pid and milliseconds for each start, restart and recycling', async () => {
  const log = logger();
  const { runtime, advance } = subject(
    { logger: log, recycle: { maxRequests: 1 } },
    { boot: () => ({ delayMs: 70 }) },
  );
  const crash = runtime.run('crash');
  await advance(70);
  const { id } = (await crash).worker;
  expect(log.info.mock.calls).toEqual([[{ worker: id, pid: 1, ms: 70 }, 'worker started']]);
  expect(log.warn.mock.calls).toEqual([
    [{ worker: id, pid: 1, ms: 70, reason: 'crashed' }, 'worker replaced: crashed'],
  ]);
  await advance(70);
  const second = await runtime.run('1');
  expect(log.info).toHaveBeenLastCalledWith(
    { worker: second.worker.id, pid: 2, ms: 70, reason: 'requests' },
    'worker recycled: requests',
  );
});

it('logs boots that fail and the circuit', async () => {
  const log = logger();
  const error = new WorkerError('boot_failed', 'no');
  const { runtime, advance } = subject(
    { logger: log },
    { boot: ({ attempt }) => (attempt <= 5 ? { error } : {}) },
  );
  runtime.run('1').catch(() => undefined);
  for (const ms of [0, 100, 200, 400, 800, 1600]) await advance(ms);
  expect(log.warn).toHaveBeenCalledTimes(5);
  expect(log.warn).toHaveBeenCalledWith({ error, attempt: 1, retryInMs: 100 }, 'worker did not start');
  expect(log.error.mock.calls).toEqual([[{ error }, 'workers do not start: runs are refused']]);
  expect(log.info).toHaveBeenCalledWith({}, 'workers start again');
});

it('counts', async () => {
  const { runtime } = subject();
  for (const code of ['1', 'raise', 'crash', 'dirty', '1']) await runtime.run(code);
  await runtime.run('1', { timeoutMs: -1 }).catch(() => undefined);
  await settled();
  expect(runtime.stats()).toMatchObject({
    status: 'ready',
    queued: 0,
    running: 0,
    started: 5,
    completed: 5,
    failed: 1,
    crashes: 1,
    rejected: 1,
    boots: 3,
    restarts: 2,
    recycled: 0,
    rewinds: 3,
    workers: [{ state: 'idle', runs: 1, heapBytes: 32 * 2 ** 20, pid: 3 }],
  });
});

it('tells listeners until they leave, and survives one that throws', async () => {
  const log = logger();
  const { runtime } = subject({ logger: log });
  const seen: string[] = [];
  const stop = runtime.subscribe((event) => seen.push(event.type));
  runtime.subscribe(() => {
    throw new Error('mine');
  });
  await runtime.run('1');
  expect(seen).toContain('worker:start');
  expect(log.error).toHaveBeenCalledWith({ error: expect.any(Error) }, 'a listener of the runtime threw');
  const { length } = seen;
  stop();
  await runtime.close();
  expect(seen).toHaveLength(length);
});

it('tells the runtime and the runs that wait of the progress of a boot', async () => {
  const { runtime, events } = subject({}, { boot: () => ({ delayMs: 10 }) });
  const stages: string[] = [];
  const run = runtime.run('1', { onProgress: ({ stage }) => stages.push(stage) });
  expect(stages).toEqual(['ready']);
  expect(events).toContainEqual(expect.objectContaining({ type: 'progress' }));
  run.interrupt();
  await run;
});

it('goes on when a listener and the logger throw', async () => {
  const fail = () => {
    throw new Error('no disk');
  };
  const { runtime } = subject({ logger: { info: fail, warn: fail, error: fail } });
  runtime.subscribe(fail);
  expect((await runtime.run('crash')).status).toBe('crashed');
  expect((await runtime.run('1')).status).toBe('ok');
  await runtime.close();
});

it('takes a restart that a listener asks for while a worker is lost', async () => {
  const { runtime, advance } = subject({ killGraceMs: 10 });
  await runtime.warm();
  const restarts: Promise<void>[] = [];
  runtime.subscribe((event) => {
    if (event.type === 'drain') restarts.push(runtime.restart());
  });
  const run = runtime.run('hang', { timeoutMs: 10 });
  await advance(110);
  await advance(10);
  expect((await run).worker.lost).toBe(true);
  expect(restarts).toHaveLength(1);
  await Promise.all(restarts);
  expect((await runtime.run('1')).status).toBe('ok');
});
