import { expect, it, vi } from 'vitest';
import { leaseTtlMs } from '../../src/sessions/lease-keeper.ts';
import { FakeClock } from '../../src/testing.ts';
import { host, over, resultOf, settled, world } from './subject.ts';

it('is one host’s at a time, until it is closed', async () => {
  const here = world();
  const [one, two] = [host(here), host(here)];
  const session = await one.runtime.session('a');
  await session.run('set x 1');
  await expect(two.runtime.session('a')).rejects.toMatchObject({
    code: 'session_busy',
    retryable: true,
    details: { retryAfterMs: leaseTtlMs },
  });
  await session.close();
  const next = await two.runtime.session('a');
  expect(await resultOf(next.run('get x'))).toBe('1');
});

it('is renewed as long as it has a worker, however long nobody calls', async () => {
  const here = world();
  const [one, two] = [host(here, { sessions: { idleTimeoutMs: Infinity } }), host(here)];
  const session = await one.runtime.session('a');
  await session.run('set x 1');
  for (let n = 0; n < 20; n++) await here.advance(leaseTtlMs / 3);
  await expect(two.runtime.session('a')).rejects.toMatchObject({ code: 'session_busy' });
  expect(await resultOf(session.run('get x'))).toBe('1');
});

it('is renewed as long as a run goes on', async () => {
  const here = world();
  const [one, two] = [host(here), host(here)];
  const session = await one.runtime.session('a');
  const run = session.run(`set x 1\nsleep ${5 * leaseTtlMs}`, { timeoutMs: Infinity });
  await settled();
  for (let n = 0; n < 12; n++) {
    await here.advance(leaseTtlMs / 3);
    await expect(two.runtime.session('a')).rejects.toMatchObject({ code: 'session_busy' });
  }
  expect((await over(here, run.then(), 5000)).status).toBe('ok');
});

it('runs out when it is frozen and nobody calls; whoever calls first goes on', async () => {
  const here = world();
  const [one, two] = [host(here), host(here)];
  const session = await one.runtime.session('a');
  await session.run('set x 1');
  await session.freeze();
  here.store.calls.length = 0;
  await here.advance(10 * leaseTtlMs);
  expect(here.store.calls).toEqual([]);
  // Nobody has had it.
  expect(await resultOf(session.run('get x'))).toBe('1');
  await session.freeze();
  await here.advance(leaseTtlMs);
  const other = await two.runtime.session('a');
  await other.run('set x 2');
  await expect(session.run('get x')).rejects.toMatchObject({ code: 'session_stale', retryable: true });
  await expect(session.run('get x')).rejects.toMatchObject({ code: 'session_busy' });
  await other.close();
  expect(await resultOf(session.run('get x'))).toBe('2');
  expect(session.revision).toBe(2);
});

it('drops what it has when another host has acquired the session, and says so', async () => {
  const here = world();
  const [one, two] = [host(here), host(here)];
  const session = await one.runtime.session('a');
  await session.run('set x 1');
  // As if this host had stood still.
  here.store.plan.push(
    { name: 'renew', fault: 'early' },
    { name: 'renew', fault: 'early' },
    { name: 'renew', fault: 'early' },
  );
  for (let n = 0; n < 3; n++) await here.advance(leaseTtlMs / 3);
  expect(session.status).toBe('resident');
  const other = await two.runtime.session('a');
  await other.run('set x 2');
  await here.advance(leaseTtlMs / 3);
  expect(session.status).toBe('frozen');
  await expect(session.run('get x')).rejects.toMatchObject({ code: 'session_stale' });
  await other.close();
  expect(await resultOf(session.run('get x'))).toBe('2');
});

it('can’t store what it ran when another host has the session, and leaves that one’s state alone', async () => {
  const here = world();
  const [one, two] = [host(here), host(here)];
  const session = await one.runtime.session('a');
  await session.run('set x 1');
  const stuck = Promise.withResolvers<void>();
  here.store.plan.push({ name: 'save', fault: stuck.promise });
  here.store.plan.push(
    { name: 'renew', fault: 'early' },
    { name: 'renew', fault: 'early' },
    { name: 'renew', fault: 'early' },
  );
  const run = session.run('set x lost');
  run.catch(() => undefined);
  await vi.waitFor(() => expect(here.store.plan).toHaveLength(3));
  for (let n = 0; n < 3; n++) await here.advance(leaseTtlMs / 3);
  const other = await two.runtime.session('a');
  await other.run('set x 2');
  stuck.resolve();
  await expect(run).rejects.toMatchObject({ code: 'session_stale' });
  expect(await resultOf(other.run('get x'))).toBe('2');
  expect(other.revision).toBe(2);
});

it('ends a run when the store is out of reach for so long that another host may have the session', async () => {
  const here = world();
  const { runtime } = host(here);
  const session = await runtime.session('a');
  await session.run('set x 1');
  const run = session.run('set x 2\nsleep 1000000', { timeoutMs: Infinity });
  run.catch(() => undefined);
  await settled();
  here.store.out = true;
  for (let n = 0; n < 3; n++) {
    expect(runtime.engine.alive).toHaveLength(1);
    await here.advance(leaseTtlMs / 3);
  }
  await expect(run).rejects.toMatchObject({
    code: 'session_stale',
    message: expect.stringContaining('out of reach'),
  });
  here.store.out = false;
  expect(await over(here, resultOf(session.run('get x')))).toBe('1');
});

it('is free some time after its host is gone', async () => {
  const here = world();
  const [one, two] = [host(here), host(here)];
  const session = await one.runtime.session('a');
  await session.run('set x 1');
  // The host dies: nothing renews any more.
  here.store.plan.push(
    ...Array.from({ length: 9 }, () => ({ name: 'renew' as const, fault: 'early' as const })),
  );
  await here.advance(leaseTtlMs - 1);
  await expect(two.runtime.session('a')).rejects.toMatchObject({ details: { retryAfterMs: 1 } });
  await here.advance(1);
  expect(await resultOf((await two.runtime.session('a')).run('get x'))).toBe('1');
});

it('knows when the session was removed and begun again meanwhile', async () => {
  const here = world();
  const [one, two] = [host(here), host(here)];
  const session = await one.runtime.session('a');
  await session.run('set x 1');
  await session.freeze();
  await here.advance(leaseTtlMs);
  await (await two.runtime.session('a')).remove();
  const next = await two.runtime.session('a');
  await next.run('set y 1');
  await next.close();
  await expect(session.run('all')).rejects.toMatchObject({ code: 'session_stale' });
  await expect(session.run('all')).rejects.toMatchObject({ code: 'session_not_found' });
  await expect(session.run('all')).rejects.toMatchObject({ code: 'session_not_found' });
  await session.close();
  expect(await resultOf((await one.runtime.session('a')).run('all'))).toEqual({ y: '1' });
});

it.each(['run', 'freeze'] as const)(
  'ends a run before another host can have the session, whenever it began (durability %s)',
  async (durability) => {
    const here = world();
    const [one, two] = [host(here), host(here)];
    const session = await one.runtime.session('a', { durability });
    await here.advance(leaseTtlMs / 3 - 100);
    const run = session.run('set x 1\nsleep 13000', { timeoutMs: Infinity });
    const told = expect(run).rejects.toMatchObject({ code: 'session_stale' });
    await settled();
    here.store.out = true;
    await here.advance((leaseTtlMs * 2) / 3 - 1000);
    expect(one.runtime.engine.alive).toHaveLength(1);
    await here.advance(100);
    await told;
    expect(one.runtime.engine.workers[0]?.alive).toBe(false);
    here.store.out = false;
    await expect(two.runtime.session('a')).rejects.toMatchObject({ code: 'session_busy' });
  },
);

it('tells no run that wasn’t stored when its machine slept and another host has the session', async () => {
  const here = world();
  const asleep = new FakeClock();
  const [sleeper, two] = [host({ ...here, clock: asleep }), host(here)];
  const session = await sleeper.runtime.session('a', { durability: 'freeze' });
  await session.run('set x 1');
  await session.freeze();
  const run = session.run('set x lost\nsleep 100');
  const told = expect(run).rejects.toMatchObject({ code: 'session_stale' });
  await settled();
  await vi.waitFor(() => expect(sleeper.runtime.stats().running).toBe(1));
  await here.advance(leaseTtlMs);
  const other = await two.runtime.session('a');
  const now = Date.now();
  using _wall = vi.spyOn(Date, 'now').mockImplementation(() => now + leaseTtlMs);
  await vi.waitFor(async () => {
    asleep.advance(10);
    await settled();
    expect(sleeper.runtime.stats().running).toBe(0);
  });
  await told;
  expect(await resultOf(other.run('get x'))).toBe('1');
  expect(session).toMatchObject({ status: 'frozen', revision: 1 });
});

it('tells a run that is stored after the lease’s time as what it is, when nobody else has had the session', async () => {
  const here = world();
  const { runtime, told } = host(here);
  const session = await runtime.session('a');
  await session.run('set x 1');
  const stuck = Promise.withResolvers<void>();
  here.store.plan.push({ name: 'save', fault: stuck.promise });
  const run = session.run('set x 2');
  await vi.waitFor(() => expect(here.store.plan).toHaveLength(0));
  here.store.plan.push(
    ...Array.from({ length: 9 }, () => ({ name: 'renew' as const, fault: 'early' as const })),
  );
  for (let n = 0; n < 5; n++) await here.advance(leaseTtlMs / 3);
  here.store.plan.length = 0;
  stuck.resolve();
  expect(await run).toMatchObject({ status: 'ok', session: { revision: 2 } });
  expect(session.revision).toBe(2);
  expect(await resultOf(session.run('get x'))).toBe('2');
  expect(told('session:lost')).toEqual([]);
});

it('tells a run that was stored as what it is, also when another host has had the session since', async () => {
  const here = world();
  const [one, two] = [host(here), host(here)];
  const session = await one.runtime.session('a');
  await session.run('set x 1');
  const late = Promise.withResolvers<void>();
  const { save } = here.store;
  here.store.save = async (...given) => {
    const record = await save(...given);
    await late.promise;
    return record;
  };
  const run = session.run('set x 2');
  await vi.waitFor(async () =>
    expect((await here.store.inner.record({ tenant: '', id: 'a' }))?.revision).toBe(2),
  );
  here.store.save = save;
  here.store.plan.push(
    ...Array.from({ length: 3 }, () => ({ name: 'renew' as const, fault: 'early' as const })),
  );
  for (let n = 0; n < 3; n++) await here.advance(leaseTtlMs / 3);
  const other = await two.runtime.session('a');
  await here.advance(leaseTtlMs / 3);
  late.resolve();
  expect(await run).toMatchObject({ status: 'ok', session: { revision: 2 } });
  expect(session.revision).toBe(2);
  expect(await resultOf(other.run('get x'))).toBe('2');
  await other.close();
  await expect(session.run('get x')).rejects.toMatchObject({ code: 'session_stale' });
  expect(await resultOf(session.run('get x'))).toBe('2');
});
