import { expect, it, vi } from 'vitest';
import { assembleRuntime } from '../../src/create-runtime.ts';
import { type Logger, type RuntimeOptions, resolveRuntimeOptions } from '../../src/pool/runtime-options.ts';
import { SharedRuntimes } from '../../src/pool/shared-runtimes.ts';
import type { RuntimeEvent } from '../../src/runtime.ts';
import { FakeClock, FakeEngine } from '../../src/testing.ts';
import { outcomes, settled, usual } from './subject.ts';

function sharing() {
  const clock = new FakeClock();
  const engines: FakeEngine[] = [];
  const shared = new SharedRuntimes();
  const join = (given: RuntimeOptions = {}) => {
    const options = resolveRuntimeOptions({ size: 1, shared: true, ...given });
    return shared.join(options, async () => {
      const engine = new FakeEngine(usual, clock);
      engines.push(engine);
      return assembleRuntime({ engine, options, clock });
    });
  };
  return { join, engines, clock, shared };
}

it('gives one pool to equal options, in whatever order they are', async () => {
  const { join, engines } = sharing();
  const [a, b] = await Promise.all([
    join({ env: { A: '1', B: '2' }, limits: { cpuMs: Infinity } }),
    join({ limits: {}, env: { B: '2', A: '1' } }),
  ]);
  expect(a).not.toBe(b);
  expect((await a.run('1')).worker.id).toBe((await b.run('1')).worker.id);
  expect(engines).toHaveLength(1);
});

it('gives different pools to different options and loggers', async () => {
  const { join, engines } = sharing();
  const logger = (): Logger => ({ info: vi.fn(), warn: vi.fn(), error: vi.fn() });
  const one = logger();
  await Promise.all([
    join(),
    join({ env: { A: '1' } }),
    join({ logger: one }),
    join({ logger: logger() }),
    join({ logger: one }),
  ]);
  expect(engines).toHaveLength(4);
});

it('ends the pool with the last of its runtimes', async () => {
  const { join, engines, clock } = sharing();
  const [a, b] = [await join(), await join()];
  const [ofA, ofB] = [a.run('hang'), b.run('sleep 100')];
  await settled();
  expect(b.stats()).toMatchObject({ running: 1, queued: 1 });
  const closing = a.close({ graceMs: 10 });
  await expect(a.run('1')).rejects.toMatchObject({ code: 'closed' });
  clock.advance(10);
  await closing;
  expect(a.status).toBe('closed');
  expect(b.status).not.toBe('closed');
  await settled();
  clock.advance(100);
  expect(await outcomes([ofA, ofB])).toEqual(['interrupted', 'ok']);
  expect(engines[0]?.disposed).toBe(false);
  await a.close();
  await b.close();
  expect(engines[0]?.disposed).toBe(true);
});

it('founds a new pool after the last one has been closed', async () => {
  const { join, engines, shared } = sharing();
  await (await join()).close();
  expect(shared.size).toBe(0);
  const again = await join();
  expect((await again.run('1')).status).toBe('ok');
  expect(engines).toHaveLength(2);
});

it('does not remember a runtime that could not be created', async () => {
  const shared = new SharedRuntimes();
  const options = resolveRuntimeOptions({ shared: true });
  const fail = () => shared.join(options, () => Promise.reject(new Error('no engine')));
  await expect(fail()).rejects.toThrow('no engine');
  const engine = new FakeEngine(usual, new FakeClock());
  const runtime = await shared.join(options, async () => assembleRuntime({ engine, options }));
  expect(runtime.status).toBe('idle');
});

it('tells each runtime of its own end only', async () => {
  const { join, shared } = sharing();
  const [a, b] = [await join(), await join()];
  const ofA: RuntimeEvent[] = [];
  const ofB: RuntimeEvent[] = [];
  a.subscribe((event) => ofA.push(event));
  b.subscribe((event) => ofB.push(event));
  await b.run('1');
  await a.close();
  expect(ofA.slice(-2)).toEqual([
    { type: 'status', status: 'closing', previous: 'ready' },
    { type: 'status', status: 'closed', previous: 'closing' },
  ]);
  expect([b.status, shared.size]).toEqual(['ready', 1]);
  const { length } = ofA;
  await b.run('crash');
  expect(ofA).toHaveLength(length);
  expect(ofB).toContainEqual(expect.objectContaining({ type: 'worker:restart' }));
  expect(ofB).not.toContainEqual(expect.objectContaining({ status: 'closing' }));
  await b.close();
  expect(ofB.at(-1)).toEqual({ type: 'status', status: 'closed', previous: 'closing' });
  expect(shared.size).toBe(0);
});

it('tells nothing of the pool’s status while it is being closed', async () => {
  const { join, engines } = sharing();
  const [a] = [await join(), await join()];
  await a.run('1');
  const told: string[] = [];
  a.subscribe((event) => {
    if (event.type === 'status') told.push(event.status);
  });
  const run = a.run('sleep 100');
  const closing = a.close();
  await settled();
  engines[0]?.workers[0]?.die();
  await closing;
  expect((await run).status).toBe('crashed');
  expect(told).toEqual(['closing', 'closed']);
});
