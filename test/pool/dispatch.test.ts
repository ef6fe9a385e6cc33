import { expect, it } from 'vitest';
import { settled, subject, workerOf } from './subject.ts';

it('starts nothing before the first run', async () => {
  const { runtime, count } = subject({ size: 2 });
  await settled();
  expect(runtime.status).toBe('idle');
  expect(runtime.engine.starts).toHaveLength(0);
  await runtime.run('1');
  await settled();
  expect(runtime.status).toBe('ready');
  expect(runtime.engine.alive).toHaveLength(2);
  expect(count('worker:start')).toBe(2);
});

it('boots the first worker alone, the others when it is ready', async () => {
  const { runtime, advance } = subject({ size: 3 }, { boot: () => ({ delayMs: 100 }) });
  const run = runtime.run('1');
  await settled();
  expect(runtime.engine.starts).toHaveLength(1);
  expect(runtime.status).toBe('booting');
  await advance(100);
  expect((await run).timings).toMatchObject({ queuedMs: 0, restoreMs: 100, totalMs: 100 });
  expect(runtime.engine.starts).toHaveLength(3);
});

it('tells a worker that a run waits for not to warm up', async () => {
  const { runtime } = subject({ size: 2 });
  await runtime.run('1');
  await settled();
  const [first, second] = runtime.engine.starts;
  expect(first?.init.warmingRuns).toBe(0);
  expect(second?.init.warmingRuns).toBeGreaterThan(0);
});

it('goes round the idle workers', async () => {
  const { runtime } = subject({ size: 3 });
  await runtime.warm();
  await settled();
  const workers: string[] = [];
  for (let n = 0; n < 6; n++) workers.push(await workerOf(runtime.run('1')));
  expect(new Set(workers.slice(0, 3)).size).toBe(3);
  expect(workers.slice(3)).toEqual(workers.slice(0, 3));
});

it('takes the worker that is clean first when all rewind', async () => {
  const { runtime, advance } = subject({ size: 2 });
  await runtime.warm();
  await settled();
  const slow = await workerOf(runtime.run('slow 50'));
  const quick = await workerOf(runtime.run('slow 10'));
  expect(slow).not.toBe(quick);
  const next = runtime.run('1');
  await settled();
  expect(runtime.stats()).toMatchObject({ queued: 1, running: 0 });
  await advance(10);
  expect(await workerOf(next)).toBe(quick);
});

it('does not boot another worker because one rewinds', async () => {
  const { runtime, advance } = subject({ minWorkers: 1, maxWorkers: 3 });
  await runtime.run('slow 50');
  const next = runtime.run('1');
  await settled();
  expect(runtime.engine.starts).toHaveLength(1);
  await advance(50);
  await next;
});

it('grows with the queue up to the maximum and shrinks when idle', async () => {
  const { runtime, advance, events } = subject({ minWorkers: 1, maxWorkers: 3, idleTimeoutMs: 1000 });
  await runtime.warm();
  await settled();
  expect(runtime.engine.alive).toHaveLength(1);
  const runs = Array.from({ length: 6 }, () => runtime.run('sleep 100'));
  await settled();
  expect(runtime.engine.alive).toHaveLength(3);
  expect(runtime.stats()).toMatchObject({ running: 3, queued: 3 });
  await advance(100);
  await advance(100);
  await Promise.all(runs);
  await advance(999);
  expect(runtime.engine.alive).toHaveLength(3);
  await advance(1);
  expect(runtime.engine.alive).toHaveLength(1);
  expect(events.filter((event) => event.type === 'worker:recycle')).toMatchObject([
    { reason: 'idle' },
    { reason: 'idle' },
  ]);
});

it('refuses a run when the queue is full and says how many wait', async () => {
  const { runtime, advance } = subject({ size: 2, maxQueue: 4 });
  await runtime.warm();
  const runs = Array.from({ length: 6 }, () => runtime.run('sleep 10'));
  const refused = runtime.run('1');
  await expect(refused).rejects.toMatchObject({ code: 'queue_full', details: { waiting: 4 } });
  await expect(refused).rejects.toThrow('4 runs wait');
  for (let n = 0; n < 3; n++) await advance(10);
  await Promise.all(runs);
  expect(runtime.stats()).toMatchObject({ completed: 6, rejected: 1 });
});

it('runs what waits in the order in which it came', async () => {
  const seen: string[] = [];
  const run = ({ code }: { code: string }) => {
    seen.push(code);
    return {};
  };
  const { runtime } = subject({ maxQueue: 100 }, { run });
  await Promise.all(['a', 'b', 'c', 'd'].map((code) => runtime.run(code)));
  expect(seen).toEqual(['a', 'b', 'c', 'd']);
});

it('leaves no timer of a run behind and keeps one while it lasts', async () => {
  const { runtime, clock } = subject({ healthCheckIntervalMs: 0 });
  await runtime.run('1');
  await settled();
  expect(clock.pending).toBe(1); // the watchdog's, of an idle worker
  const run = runtime.run('sleep 10', { timeoutMs: Infinity });
  expect(clock.pending).toBe(3); // the run's own, its watchdog's and the script's
  clock.advance(10);
  await run;
  await settled();
  expect(clock.pending).toBe(1);
});

it('warm() resolves when the first worker is ready', async () => {
  const { runtime, advance } = subject({ size: 2 }, { boot: ({ attempt }) => ({ delayMs: attempt * 100 }) });
  let warm = false;
  const warming = runtime.warm().then(() => {
    warm = true;
  });
  await advance(99);
  expect(warm).toBe(false);
  await advance(1);
  await warming;
  expect(runtime.stats().workers.map((worker) => worker.state)).toEqual(['idle', 'booting']);
});

it('drain() resolves when nothing runs or waits', async () => {
  const { runtime, advance, count } = subject({ maxQueue: 5 });
  await runtime.drain();
  const runs = [runtime.run('sleep 10'), runtime.run('sleep 10')];
  let drained = false;
  const draining = runtime.drain().then(() => {
    drained = true;
  });
  await settled();
  await advance(10);
  expect(drained).toBe(false);
  await advance(10);
  await Promise.all(runs);
  await draining;
  expect(count('drain')).toBe(1);
});
