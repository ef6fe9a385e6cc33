import { expect, it } from 'vitest';
import { WorkerError } from '../../src/errors/errors.ts';
import type { Run } from '../../src/runtime.ts';
import type { FakeRuntime } from '../../src/testing.ts';
import { outcomes, settled, subject, workerOf } from './subject.ts';

const after = (runtime: FakeRuntime, run: Run) => runtime.engine.runs.find(({ id }) => id === run.id)?.after;

it('has the kernel rewound after each run', async () => {
  const { runtime } = subject();
  const run = runtime.run('1');
  await run;
  expect(after(runtime, run)).toBe('rewind');
  expect(runtime.stats().rewinds).toBe(1);
});

it('gives each run of isolation process a fresh worker that a spare replaces at once', async () => {
  const { runtime, events } = subject({ size: 1, isolation: 'process' });
  await runtime.warm();
  await settled();
  expect(runtime.engine.alive).toHaveLength(2);
  const workers: string[] = [];
  for (let n = 0; n < 3; n++) {
    const run = runtime.run('1');
    const execution = await run;
    expect(execution).toMatchObject({ worker: { lost: false }, timings: { restoreMs: 0 } });
    expect(after(runtime, run)).toBe('discard');
    workers.push(execution.worker.id);
    await settled();
  }
  expect(new Set(workers).size).toBe(3);
  expect(runtime.engine.alive).toHaveLength(2);
  expect(events.filter((event) => event.type === 'worker:recycle')).toMatchObject(
    Array.from({ length: 3 }, () => ({ reason: 'isolation' })),
  );
  expect(runtime.stats()).toMatchObject({ recycled: 3, restarts: 0 });
});

it('ends a used worker when a spare runs what needs a fresh one: no spare is a used one', async () => {
  const { runtime } = subject({ size: 1, spares: 1 });
  const used = await workerOf(runtime.run('1'));
  await settled();
  const fresh = await workerOf(runtime.run('1', { isolation: 'process' }));
  expect(fresh).not.toBe(used);
  await settled();
  const { workers } = runtime.stats();
  expect(workers.map(({ state, runs }) => [state, runs])).toEqual([
    ['idle', 0],
    ['spare idle', 0],
  ]);
});

it('replaces a used worker when a fresh one is needed and there is no spare', async () => {
  const { runtime } = subject({ size: 1 });
  const used = await workerOf(runtime.run('1'));
  expect(await workerOf(runtime.run('1', { isolation: 'process' }))).not.toBe(used);
  await settled();
  expect(runtime.engine.alive).toHaveLength(1);
});

it('replaces no more used workers than it needs fresh ones', async () => {
  const { runtime, advance } = subject({ size: 3 }, { boot: () => ({ delayMs: 10 }) });
  runtime.warm();
  await advance(10);
  await advance(10);
  await Promise.all([runtime.run('1'), runtime.run('1'), runtime.run('1')]);
  const fresh = runtime.run('1', { isolation: 'process' });
  await settled();
  expect(runtime.engine.alive).toHaveLength(2);
  await runtime.healthCheckAll();
  runtime.engine.alive[0]?.die();
  await settled();
  expect(runtime.engine.starts).toHaveLength(5);
  expect(runtime.engine.alive).toHaveLength(1);
  await advance(10);
  expect((await fresh).status).toBe('ok');
});

it('keeps the state of isolation none and never shows it to a run that wants a clean interpreter', async () => {
  const { runtime } = subject({ size: 1, isolation: 'none' });
  const first = runtime.run('a');
  const stateful = await workerOf(first);
  expect(after(runtime, first)).toBe('none');
  expect(await workerOf(runtime.run('b'))).toBe(stateful);
  const clean = runtime.run('c', { isolation: 'rewind' });
  expect(await workerOf(clean)).not.toBe(stateful);
  expect(runtime.engine.alive).toHaveLength(1);
});

it('prefers a worker with state for runs of isolation none', async () => {
  const { runtime } = subject({ size: 3 });
  await runtime.warm();
  await settled();
  const stateful = await workerOf(runtime.run('a', { isolation: 'none' }));
  for (let n = 0; n < 3; n++) expect(await workerOf(runtime.run('b'))).not.toBe(stateful);
  expect(await workerOf(runtime.run('c', { isolation: 'none' }))).toBe(stateful);
});

it('recycles a worker after its number of runs, its successor booted meanwhile', async () => {
  const { runtime, advance, events } = subject(
    { recycle: { maxRequests: 2 } },
    { boot: () => ({ delayMs: 10 }) },
  );
  const first = runtime.run('1');
  await advance(10);
  const last = runtime.run('sleep 100');
  expect(await workerOf(first)).toBe(runtime.engine.workers[0]?.id);
  await advance(10);
  expect(runtime.engine.alive).toHaveLength(2);
  await advance(90);
  expect(after(runtime, last)).toBe('discard');
  expect(await workerOf(last)).toBe(await workerOf(first));
  const next = await runtime.run('1');
  expect(next.worker.id).not.toBe((await first).worker.id);
  expect(next.timings.restoreMs).toBe(0);
  expect(runtime.engine.alive).toHaveLength(1);
  expect(events).toContainEqual(expect.objectContaining({ type: 'worker:recycle', reason: 'requests' }));
});

it('recycles a worker whose heap has grown to the threshold', async () => {
  const { runtime, events } = subject({ recycle: { maxHeapBytes: 100_000_000 } });
  const small = await workerOf(runtime.run('heap 99999999'));
  expect(await workerOf(runtime.run('heap 100000000'))).toBe(small);
  expect(await workerOf(runtime.run('1'))).not.toBe(small);
  expect(events).toContainEqual(expect.objectContaining({ type: 'worker:recycle', reason: 'heap' }));
});

it('lets a spare stand in at once for a worker that was lost', async () => {
  const { runtime, advance } = subject({ spares: 1 }, { boot: () => ({ delayMs: 100 }) });
  const first = runtime.run('1');
  await advance(100);
  await first;
  await advance(100);
  expect(runtime.stats().workers.map(({ state }) => state)).toEqual(['idle', 'spare idle']);
  const crashed = runtime.run('crash');
  const next = runtime.run('1');
  expect((await crashed).status).toBe('crashed');
  expect((await next).timings).toMatchObject({ queuedMs: 0, restoreMs: 0 });
  await advance(100);
  expect(runtime.stats().workers.map(({ state }) => state)).toEqual(['idle', 'spare idle']);
});

it('without a pool each run boots a worker of its own and ends it', async () => {
  const { runtime } = subject({ pool: false, size: 3 });
  await runtime.warm();
  expect(runtime.engine.starts).toHaveLength(0);
  const runs = [runtime.run('1'), runtime.run('1', { isolation: 'none' }), runtime.run('crash')];
  expect(await outcomes(runs)).toEqual(['ok', 'ok', 'crashed']);
  await settled();
  expect(runtime.engine.starts).toHaveLength(3);
  expect(runtime.engine.alive).toHaveLength(0);
  expect(runtime.status).toBe('idle');
});

it('without a pool a boot that fails rejects its run, and only that', async () => {
  const error = new WorkerError('boot_failed', 'no memory');
  const { runtime } = subject(
    { pool: false, size: 1 },
    { boot: ({ attempt }) => (attempt === 1 ? { error } : {}) },
  );
  expect(await outcomes([runtime.run('1'), runtime.run('1')])).toEqual(['boot_failed', 'ok']);
});

it('without a pool a worker that nobody waits for any more is ended', async () => {
  const { runtime, advance } = subject({ pool: false }, { boot: () => ({ delayMs: 100 }) });
  const run = runtime.run('1');
  run.interrupt();
  expect((await run).status).toBe('interrupted');
  await advance(100);
  await advance(0);
  expect(runtime.engine.alive).toHaveLength(0);
});

it('restart() replaces every worker after its run, and what waits goes on', async () => {
  const { runtime, advance, count } = subject({ size: 2 });
  await runtime.warm();
  await settled();
  const before = runtime.engine.alive.map(({ id }) => id);
  const running = runtime.run('sleep 100');
  let restarted = false;
  const restarting = runtime.restart().then(() => {
    restarted = true;
  });
  await settled();
  expect((await runtime.run('1')).status).toBe('ok');
  expect(restarted).toBe(false);
  await advance(100);
  expect((await running).status).toBe('ok');
  await restarting;
  await settled();
  expect(runtime.engine.alive).toHaveLength(2);
  expect(runtime.engine.alive.map(({ id }) => id)).not.toEqual(expect.arrayContaining([before[0]]));
  expect(count('worker:restart')).toBe(2);
});
