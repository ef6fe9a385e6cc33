import { expect, it, vi } from 'vitest';
import { outcomes, settled, subject } from './subject.ts';

it('lets runs under way finish and rejects those that wait', async () => {
  const { runtime, advance, events } = subject({ maxQueue: 5 });
  await runtime.warm();
  const runs = [runtime.run('sleep 100'), runtime.run('1')];
  const ended = outcomes(runs);
  const closing = runtime.close();
  expect(runtime.status).toBe('closing');
  expect(runtime.close()).toBeInstanceOf(Promise);
  await expect(runtime.run('1')).rejects.toMatchObject({ code: 'closed' });
  await advance(100);
  await closing;
  expect(await ended).toEqual(['ok', 'closed']);
  expect(runtime.status).toBe('closed');
  expect(runtime.engine.alive).toHaveLength(0);
  expect(runtime.engine.disposed).toBe(true);
  expect(events.filter((event) => event.type === 'status').map(({ status }) => status)).toEqual([
    'booting',
    'ready',
    'closing',
    'closed',
  ]);
  await runtime.close();
});

it('kills what is still under way after the grace period', async () => {
  const { runtime, advance, clock } = subject();
  await runtime.warm();
  const run = runtime.run('hang');
  const closing = runtime.close({ graceMs: 50 });
  await advance(49);
  expect(runtime.stats().running).toBe(1);
  await advance(1);
  expect(await run).toMatchObject({ status: 'interrupted', worker: { lost: true } });
  await closing;
  expect(clock.pending).toBe(0);
});

it('is hastened by a second call', async () => {
  const { runtime, advance } = subject();
  await runtime.warm();
  const run = runtime.run('hang');
  const closing = runtime.close();
  await advance(10);
  void runtime.close({ graceMs: 0 });
  await advance(0);
  expect((await run).status).toBe('interrupted');
  await closing;
});

it('gives a worker that does not end in order no longer than a second, or the grace period', async () => {
  for (const [graceMs, takes] of [
    [undefined, 1000],
    [100, 100],
  ] as const) {
    const { runtime, advance } = subject({ size: 2 }, { shutdown: () => false });
    await runtime.warm();
    await settled();
    let closed = false;
    const closing = runtime.close({ graceMs }).then(() => {
      closed = true;
    });
    await settled();
    await advance(takes - 1);
    expect([closed, runtime.engine.alive.length]).toEqual([false, 2]);
    await advance(1);
    await closing;
  }
});

it('is hastened by a second call in that, too', async () => {
  const { runtime, advance, clock } = subject({ size: 2 }, { shutdown: () => false });
  await runtime.warm();
  await settled();
  const run = runtime.run('sleep 200');
  const closing = runtime.close({ graceMs: 5000 });
  await advance(200);
  expect((await run).status).toBe('ok');
  expect(runtime.engine.alive).toHaveLength(2);
  const again = runtime.close({ graceMs: 0 });
  await advance(0);
  await Promise.all([closing, again]);
  expect(runtime.engine.alive).toHaveLength(0);
  expect(clock.pending).toBe(0);
});

it('ends boots under way', async () => {
  const { runtime } = subject({}, { boot: () => ({ delayMs: 1000 }) });
  const warming = runtime.warm();
  warming.catch(() => undefined);
  await settled();
  await runtime.close();
  await expect(warming).rejects.toMatchObject({ code: 'closed' });
  expect(runtime.engine.starts[0]?.signal?.aborted).toBe(true);
});

it('closes a runtime that was never used, at the end of its scope', async () => {
  let engine: { disposed: boolean } | undefined;
  {
    await using runtime = subject().runtime;
    engine = runtime.engine;
  }
  expect(engine.disposed).toBe(true);
});

it('refuses everything afterwards', async () => {
  const { runtime } = subject();
  await runtime.close();
  await expect(runtime.warm()).rejects.toMatchObject({ code: 'closed' });
  await expect(runtime.restart()).rejects.toMatchObject({ code: 'closed' });
  expect(await runtime.healthCheckAll()).toEqual([]);
  await runtime.drain();
});

it('rejects a run whose files are still being read', async () => {
  const { runtime } = subject();
  const forever = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) };
  const run = runtime.run('1', { files: { a: forever } });
  const ended = outcomes([run]);
  await runtime.close();
  expect(await ended).toEqual(['closed']);
});

it('ends no program by rejecting a run that nobody awaits', async () => {
  const unhandled = vi.fn();
  process.on('unhandledRejection', unhandled);
  const { runtime, advance } = subject();
  await runtime.warm();
  void runtime.run('sleep 10');
  void runtime.run('1');
  const closing = runtime.close();
  await advance(10);
  await closing;
  await settled();
  process.off('unhandledRejection', unhandled);
  expect(unhandled).not.toHaveBeenCalled();
  expect(runtime.stats()).toMatchObject({ completed: 1, rejected: 1 });
});

it('has the status that it tells, whoever asks when, and tells nothing afterwards', async () => {
  const { runtime } = subject();
  await runtime.run('1');
  const told: unknown[] = [];
  runtime.subscribe((event) => told.push([event.type, runtime.status]));
  const listener = vi.fn();
  runtime.subscribe((event) => {
    if (event.type === 'status') listener(event.status === runtime.status);
  });
  await runtime.close();
  await settled();
  expect(listener.mock.calls).toEqual([[true], [true]]);
  expect(told.at(0)).toEqual(['status', 'closing']);
  expect(told.at(-1)).toEqual(['status', 'closed']);
});

it.each([-1, Number.NaN, '5'])('refuses %j for its grace period and stays open', async (graceMs) => {
  const { runtime } = subject();
  const closing: Promise<void> = Reflect.apply(runtime.close, runtime, [{ graceMs }]);
  await expect(closing).rejects.toThrow(/^close: graceMs must be/);
  expect((await runtime.run('1')).status).toBe('ok');
});
