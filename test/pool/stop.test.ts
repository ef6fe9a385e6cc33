import { expect, it, vi } from 'vitest';
import { outcomes, subject } from './subject.ts';

it('lets the kernel stop itself at its deadline', async () => {
  const { runtime, advance } = subject();
  await runtime.warm();
  const run = runtime.run('sleep 5000', { timeoutMs: 1000 });
  await advance(1000);
  const execution = await run;
  expect(execution).toMatchObject({ status: 'timeout', worker: { lost: false }, timings: { runMs: 1000 } });
  expect(execution.error).toMatchObject({ name: 'Timeout' });
  expect(execution.error?.message).toContain('1000 ms');
  expect(execution.error?.message).toContain('worker was kept');
  expect(() => execution.unwrap()).toThrow(expect.objectContaining({ code: 'timeout' }));
  expect(runtime.engine.workers[0]?.interrupts).toEqual([]);
});

it('interrupts code whose kernel forgot the deadline', async () => {
  const { runtime, advance } = subject();
  await runtime.warm();
  const run = runtime.run('loop', { timeoutMs: 1000 });
  await advance(1000);
  expect(runtime.stats().running).toBe(1);
  await advance(100);
  expect(await run).toMatchObject({ status: 'timeout', worker: { lost: false } });
  expect(runtime.engine.workers[0]?.interrupts).toEqual(['timeout']);
});

it('kills a worker that ignores the interrupt, and replaces it', async () => {
  const { runtime, advance, events } = subject({ killGraceMs: 500 });
  await runtime.warm();
  const run = runtime.run('hang', { timeoutMs: 1000 });
  await advance(1100);
  expect(runtime.stats().running).toBe(1);
  await advance(500);
  const execution = await run;
  expect(execution).toMatchObject({ status: 'timeout', worker: { lost: true } });
  expect(execution.error?.message).toContain('its worker was killed');
  expect(events).toContainEqual(expect.objectContaining({ type: 'worker:restart', reason: 'timeout' }));
  expect((await runtime.run('1')).worker.id).not.toBe(execution.worker.id);
  expect(runtime.stats()).toMatchObject({ timeouts: 1, restarts: 1 });
});

it('does not charge waiting and booting to the limit', async () => {
  const { runtime, advance } = subject({}, { boot: () => ({ delayMs: 5000 }) });
  const run = runtime.run('sleep 900', { timeoutMs: 1000 });
  await advance(5000);
  await advance(900);
  expect((await run).status).toBe('ok');
});

it.each(['signal', 'interrupt()'])('interrupts a run by its %s', async (way) => {
  const { runtime } = subject();
  await runtime.warm();
  const controller = new AbortController();
  const run = runtime.run('loop', { signal: controller.signal });
  if (way === 'signal') controller.abort();
  else run.interrupt();
  const execution = await run;
  expect(execution).toMatchObject({ status: 'interrupted', worker: { lost: false } });
  expect(() => execution.unwrap()).toThrow(expect.objectContaining({ code: 'interrupted' }));
});

it('kills what ignores an interrupt by the caller', async () => {
  const { runtime, advance } = subject({ killGraceMs: 500 });
  await runtime.warm();
  const run = runtime.run('hang');
  run.interrupt();
  run.interrupt();
  await advance(500);
  expect(await run).toMatchObject({ status: 'interrupted', worker: { lost: true } });
  expect(runtime.engine.workers[0]?.interrupts).toEqual(['interrupted']);
});

it('takes an aborted run out of the queue', async () => {
  const { runtime, advance } = subject({ maxQueue: 5 });
  await runtime.warm();
  const first = runtime.run('sleep 10');
  const controller = new AbortController();
  const second = runtime.run('1', { signal: controller.signal });
  const third = runtime.run('1');
  expect(runtime.stats().queued).toBe(2);
  controller.abort();
  expect(await second).toMatchObject({
    status: 'interrupted',
    timings: { runMs: 0 },
    worker: { lost: false },
  });
  expect(runtime.stats().queued).toBe(1);
  await advance(10);
  expect(await outcomes([first, third])).toEqual(['ok', 'ok']);
  expect(runtime.engine.workers[0]?.runs.map(({ code }) => code)).toEqual(['sleep 10', '1']);
});

it('does not start a run whose signal is aborted already', async () => {
  const { runtime } = subject();
  expect(await runtime.run('1', { signal: AbortSignal.abort() })).toMatchObject({ status: 'interrupted' });
  expect(runtime.engine.starts).toHaveLength(0);
});

it('lets go of the signal when the run has ended', async () => {
  const { runtime } = subject();
  const controller = new AbortController();
  const { signal } = controller;
  const add = vi.spyOn(signal, 'addEventListener');
  const remove = vi.spyOn(signal, 'removeEventListener');
  await runtime.run('1', { signal });
  expect(add).toHaveBeenCalledTimes(1);
  expect(remove.mock.calls[0]?.slice(0, 2)).toEqual(add.mock.calls[0]?.slice(0, 2));
});

it('stops a run whose callback throws and rejects with that', async () => {
  const { runtime } = subject({}, { run: () => ({ stdout: ['a', 'b'], delayMs: 100 }) });
  await runtime.warm();
  const seen: string[] = [];
  const run = runtime.run('x', {
    onStdout: (text) => {
      seen.push(text);
      throw new Error('the disk is full');
    },
  });
  await expect(run).rejects.toThrow('the disk is full');
  expect(seen).toEqual(['a']);
  expect(runtime.stats()).toMatchObject({ running: 0, restarts: 0 });
});

it('kills a worker that sends far more than its output limit', async () => {
  const flood = new Uint8Array(100_000);
  const { runtime } = subject({}, { run: () => ({ stdout: [flood, flood, flood], delayMs: 1000 }) });
  await runtime.warm();
  const execution = await runtime.run('x', { outputBytes: 1000 });
  expect(execution).toMatchObject({
    status: 'crashed',
    error: { name: 'OutputLimit', value: expect.stringContaining('1000 bytes of its output limit') },
    worker: { lost: true },
  });
  expect(() => execution.unwrap()).toThrow(expect.objectContaining({ name: 'LimitError', code: 'output' }));
  expect(runtime.lastError).toMatchObject({ code: 'output' });
  expect(runtime.stats()).toMatchObject({ crashes: 1, restarts: 1 });
  expect(execution.stdout.length).toBeLessThanOrEqual(flood.length);
});
