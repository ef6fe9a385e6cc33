import { expect, it } from 'vitest';
import { UsageError, WorkerError } from '../../src/errors/errors.ts';
import { outcomes, settled, subject } from './subject.ts';

it('fails only the run on the worker that crashed', async () => {
  const { runtime, advance, events } = subject({ size: 2 });
  await runtime.warm();
  await settled();
  const runs = [runtime.run('crash 5'), runtime.run('sleep 10'), runtime.run('1'), runtime.run('1')];
  await advance(5);
  await advance(5);
  expect(await outcomes(runs)).toEqual(['crashed', 'ok', 'ok', 'ok']);
  const crashed = await runs[0];
  expect(crashed).toMatchObject({
    error: { name: 'WorkerCrashed' },
    worker: { lost: true, backend: 'fake' },
  });
  expect(crashed?.error?.message).toContain('killed by signal 9');
  expect(() => crashed?.unwrap()).toThrow(WorkerError);
  expect(runtime.engine.alive).toHaveLength(2);
  const error = expect.objectContaining({ code: 'crashed' });
  expect(events).toContainEqual(
    expect.objectContaining({ type: 'worker:restart', reason: 'crashed', error }),
  );
  expect(runtime.stats()).toMatchObject({ crashes: 1, restarts: 1, completed: 4 });
});

it('takes what an engine throws for a crash of the run', async () => {
  const { runtime } = subject();
  await runtime.warm();
  const [worker] = runtime.engine.workers;
  if (!worker) throw new Error('no worker');
  worker.run = () => {
    throw new Error('the pipe is closed');
  };
  const execution = await runtime.run('1');
  expect(execution).toMatchObject({ status: 'crashed', worker: { lost: true } });
  expect(execution.error?.message).toContain('the pipe is closed');
  expect((await runtime.run('1')).status).toBe('ok');
});

it('replaces a worker that dies while it is idle', async () => {
  const { runtime, advance } = subject();
  await runtime.run('1');
  runtime.engine.workers[0]?.die();
  await settled();
  expect(runtime.engine.alive).toHaveLength(1);
  // One that dies before it ran anything is replaced more and more slowly.
  runtime.engine.workers[1]?.die();
  await settled();
  expect(runtime.engine.alive).toHaveLength(0);
  await advance(100);
  expect(runtime.engine.alive).toHaveLength(1);
});

it('replaces a worker that cannot be rewound, after its reply', async () => {
  const { runtime, events } = subject();
  const first = await runtime.run('dirty');
  expect(first).toMatchObject({ status: 'ok', worker: { lost: false } });
  const second = await runtime.run('1');
  expect(second.worker.id).not.toBe(first.worker.id);
  expect(events).toContainEqual(expect.objectContaining({ type: 'worker:restart', reason: 'dirty' }));
});

it('replaces a worker that does not come back from its rewind', async () => {
  const { runtime, advance } = subject();
  await runtime.run('slow Infinity');
  const next = runtime.run('1');
  await advance(9_999);
  expect(runtime.engine.starts).toHaveLength(1);
  await advance(1);
  expect((await next).status).toBe('ok');
});

it('checks idle and busy workers and replaces those that are silent', async () => {
  let silent = '';
  const { runtime, advance, events } = subject(
    { size: 2, healthCheckIntervalMs: 30_000, healthCheckTimeoutMs: 5000 },
    { ping: (worker) => worker !== silent },
  );
  await runtime.warm();
  await settled();
  const run = runtime.run('sleep 100000', { timeoutMs: 200_000 });
  await advance(30_000);
  expect(events.filter((event) => event.type === 'health')).toMatchObject([
    { healthy: true },
    { healthy: true },
  ]);
  silent = runtime.engine.workers[0]?.id ?? '';
  await advance(30_000);
  await advance(5000);
  expect(await run).toMatchObject({ status: 'crashed', worker: { id: silent, lost: true } });
  expect((await run).error?.message).toContain('health check');
  expect(runtime.engine.alive).toHaveLength(2);
  expect(events).toContainEqual(expect.objectContaining({ type: 'worker:restart', reason: 'unhealthy' }));
});

it('healthCheckAll() tells of every worker', async () => {
  const { runtime } = subject({ size: 2, spares: 1 });
  await runtime.warm();
  await settled();
  const health = await runtime.healthCheckAll();
  expect(health).toHaveLength(3);
  expect(health.every(({ healthy, pid }) => healthy && pid !== undefined)).toBe(true);
  expect(runtime.stats().healthChecks).toBe(3);
});

// ---- boots that fail -----------------------------------------------------------------------------------------------

const broken = new WorkerError('boot_failed', 'no such binary');

it('tries again after a boot failed, later each time', async () => {
  const { runtime, advance, events } = subject(
    {},
    { boot: ({ attempt }) => (attempt <= 3 ? { error: broken } : {}) },
  );
  const run = runtime.run('1');
  await settled();
  expect(runtime.status).toBe('degraded');
  expect(runtime.lastError).toBe(broken);
  await advance(99);
  expect(runtime.engine.starts).toHaveLength(1);
  await advance(1);
  await advance(200);
  await advance(400);
  expect((await run).status).toBe('ok');
  expect(runtime.status).toBe('ready');
  expect(events.filter((event) => event.type === 'worker:boot_failed')).toMatchObject([
    { attempt: 1, retryInMs: 100 },
    { attempt: 2, retryInMs: 200 },
    { attempt: 3, retryInMs: 400 },
  ]);
});

it('opens the circuit after five failures, refuses at once, and closes it when a boot succeeds', async () => {
  let healthy = false;
  const { runtime, advance, events } = subject(
    { size: 2 },
    { boot: () => (healthy ? {} : { error: broken }) },
  );
  const warming = runtime.warm();
  warming.catch(() => undefined);
  const waiting = [runtime.run('1'), runtime.run('1')];
  const ended = outcomes(waiting);
  for (const ms of [0, 100, 200, 400, 800]) await advance(ms);
  expect(await ended).toEqual(['unavailable', 'unavailable']);
  await expect(waiting[0]).rejects.toMatchObject({ cause: broken });
  await expect(warming).rejects.toMatchObject({ code: 'unavailable' });
  await expect(runtime.run('1')).rejects.toThrow('no such binary');
  expect(runtime.stats().queued).toBe(0);

  // Half open: the try after the backoff fails, then one succeeds.
  const boots = runtime.engine.starts.length;
  await advance(1600);
  expect(runtime.engine.starts).toHaveLength(boots + 1);
  await expect(runtime.run('1')).rejects.toMatchObject({ code: 'unavailable' });
  healthy = true;
  await advance(3200);
  expect((await runtime.run('1')).status).toBe('ok');
  expect(runtime.engine.alive).toHaveLength(2);
  expect(events.filter((event) => event.type === 'circuit')).toMatchObject([{ open: true }, { open: false }]);
});

it('lets runs wait for the boot that is tried while the circuit is open', async () => {
  let delayMs = 0;
  const { runtime, advance } = subject({}, { boot: () => (delayMs > 0 ? { delayMs } : { error: broken }) });
  const first = runtime.run('1');
  first.catch(() => undefined);
  for (const ms of [0, 100, 200, 400, 800]) await advance(ms);
  delayMs = 50;
  await advance(1600);
  const second = runtime.run('1');
  await advance(50);
  expect((await second).status).toBe('ok');
});

it('goes on with the workers that it has while no other boots', async () => {
  const { runtime, advance } = subject(
    { size: 2 },
    { boot: ({ attempt }) => (attempt === 1 ? {} : { error: broken }) },
  );
  await runtime.warm();
  for (const ms of [0, 100, 200, 400, 800, 1600]) await advance(ms);
  expect(runtime.status).toBe('degraded');
  expect(await outcomes([runtime.run('1'), runtime.run('1')])).toEqual(['ok', 'ok']);
  // Nobody is left who could serve the second one.
  expect(await outcomes([runtime.run('crash'), runtime.run('1')])).toEqual(['crashed', 'unavailable']);
});

it('does not try again what cannot succeed', async () => {
  const mistake = new UsageError('usage', 'VIVARIUM_DENO is a folder');
  const { runtime } = subject({}, { boot: () => ({ error: mistake }) });
  await expect(runtime.run('1')).rejects.toMatchObject({ code: 'unavailable', cause: mistake });
  expect(runtime.engine.starts).toHaveLength(1);
});

it('gives up a boot that takes too long', async () => {
  const { runtime, advance } = subject({ bootTimeoutMs: 1000 }, { boot: () => ({ delayMs: Infinity }) });
  const run = runtime.run('1');
  run.catch(() => undefined);
  for (const backoff of [0, 100, 200, 400, 800]) {
    await advance(backoff);
    await advance(1000);
  }
  await expect(run).rejects.toMatchObject({ code: 'unavailable', cause: { code: 'boot_timeout' } });
});
