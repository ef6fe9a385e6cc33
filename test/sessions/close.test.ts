import { expect, it, vi } from 'vitest';
import { LocalRuntime } from '../../src/pool/local-runtime.ts';
import { createFakeRuntime } from '../../src/testing.ts';
import { host, outcomes, over, resultOf, settled, world } from './subject.ts';

it('freezes all when it is closed, also what wasn’t promised', async () => {
  const here = world();
  const one = host(here, { size: 3 });
  for (const id of ['a', 'b', 'c']) {
    const session = await one.runtime.session(id, { durability: 'freeze' });
    await session.run(`set x ${id}`);
  }
  await one.runtime.close();
  expect(one.told('session:freeze')).toMatchObject(Array.from({ length: 3 }, () => ({ reason: 'close' })));
  expect(one.runtime.engine.alive).toEqual([]);
  const two = host(here, { size: 3 });
  for (const id of ['a', 'b', 'c']) {
    // Nobody has to wait for a lease.
    const session = await two.runtime.session(id, { create: false });
    expect(await resultOf(session.run('get x'))).toBe(id);
  }
});

it('lets a run under way finish, stores it, and rejects those that wait', async () => {
  const here = world();
  const one = host(here);
  const session = await one.runtime.session('a');
  const runs = [session.run('set x 1\nsleep 100'), session.run('set x 2'), session.run('set x 3')];
  const ended = outcomes(runs);
  const files = session.files.write('f', 'x').catch((error) => error.code);
  await settled();
  const closing = one.runtime.close();
  await expect(session.run('1')).rejects.toMatchObject({ code: 'closed' });
  await expect(session.files.list()).rejects.toMatchObject({ code: 'closed' });
  await expect(one.runtime.session('b')).rejects.toMatchObject({ code: 'closed' });
  await expect(one.runtime.sessions()).rejects.toMatchObject({ code: 'closed' });
  await over(here, closing);
  expect(await ended).toEqual(['ok', 'closed', 'closed']);
  expect([undefined, 'closed']).toContain(await files);
  const again = await host(here).runtime.session('a');
  expect(await resultOf(again.run('get x'))).toBe('1');
});

it.each(['run', 'freeze'] as const)(
  'is at what durability %s promised when the grace period is over',
  async (durability) => {
    const here = world();
    const { runtime, told } = host(here, { size: 2 });
    const [busy, other] = [
      await runtime.session('busy', { durability }),
      await runtime.session('other', { durability }),
    ];
    for (const session of [busy, other]) {
      await session.run('set x 1');
      await session.freeze();
      await session.run('set x 2');
    }
    const run = busy.run('set x 3\nhang', { timeoutMs: Infinity });
    await settled();
    const closing = runtime.close({ graceMs: 1000 });
    await vi.waitFor(() => expect(other.status).toBe('frozen'));
    await here.advance(999);
    expect(runtime.engine.alive.length).toBeGreaterThan(0);
    await here.advance(1);
    await over(here, closing);
    const stored = durability === 'run' ? 2 : 1;
    expect(await run).toMatchObject({
      status: 'interrupted',
      worker: { lost: true },
      session: { revision: stored },
    });
    expect(told('session:lost')).toMatchObject([{ session: 'busy', revision: stored }]);
    const next = host(here, { size: 2 }).runtime;
    expect(await resultOf((await next.session('busy')).run('get x'))).toBe(String(stored));
    expect(await resultOf((await next.session('other')).run('get x'))).toBe('2');
  },
);

it('gives a session that is being frozen no longer than the grace period', async () => {
  const here = world();
  const work = ({ what }: { what: string }) => (what === 'freeze' ? { delayMs: Infinity } : {});
  const { runtime, told } = host(here, {}, { work });
  const session = await runtime.session('a', { durability: 'freeze' });
  await session.run('set x 1');
  const closing = runtime.close({ graceMs: 500 });
  await settled();
  await here.advance(500);
  await closing;
  expect(told('session:lost')).toMatchObject([{ session: 'a', revision: 0 }]);
  expect(runtime.engine.alive).toEqual([]);
  await here.advance(200_000);
  expect(here.clock.pending).toBe(0);
});

it('closes when its store is out of reach', async () => {
  const here = world();
  const { runtime, told } = host(here);
  const session = await runtime.session('a', { durability: 'freeze' });
  await session.run('set x 1');
  here.store.out = true;
  await runtime.close();
  expect(runtime.status).toBe('closed');
  expect(told('session:lost')).toHaveLength(1);
});

it('closes under load, and loses nothing that was told', async () => {
  const here = world();
  const one = host(here, { size: 2 });
  const ids = ['a', 'b', 'c', 'd', 'e'];
  const sessions = await Promise.all(ids.map((id) => one.runtime.session(id)));
  const acknowledged = new Map<string, number>();
  const runs = [];
  for (let n = 1; n <= 6; n++)
    for (const session of sessions)
      runs.push(
        session.run(`set n ${n}\nsleep 5`).then(
          () => acknowledged.set(session.id, n),
          () => undefined,
        ),
      );
  for (let n = 0; n < 10; n++) await here.advance(5);
  await over(here, one.runtime.close());
  await Promise.all(runs);
  expect(acknowledged.size).toBeGreaterThan(0);
  const two = host(here, { size: 2 });
  for (const id of ids) {
    const value = await resultOf((await two.runtime.session(id)).run('get n'));
    expect(Number(value ?? 0)).toBe(acknowledged.get(id) ?? 0);
  }
});

it('leaves what others on the same pool have open', async () => {
  const here = world();
  const { runtime } = host(here);
  if (!(runtime instanceof LocalRuntime)) throw new TypeError('not a pool');
  const other = runtime.share();
  const [mine, shared] = [await runtime.session('mine'), await runtime.session('shared')];
  const theirs = await other?.session('shared');
  await mine.run('set x 1');
  await shared.run('set x 2');
  await runtime.close();
  expect(runtime.status).toBe('closed');
  expect(mine.status).toBe('closed');
  expect(theirs?.status).not.toBe('closed');
  expect(await resultOf(theirs?.run('get x') ?? runtime.run('1'))).toBe('2');
  await other?.close();
});

it('doesn’t open a store for the sake of closing it', async () => {
  let opens = 0;
  const runtime = createFakeRuntime({
    store: async () => {
      opens++;
      return world().store;
    },
  });
  await runtime.run('1');
  await runtime.close();
  expect(opens).toBe(0);
});

it('freezes no more than two at a time, and isn’t kept from that by those that run', async () => {
  let [now, most] = [0, 0];
  const here = world();
  const work = ({ what }: { what: string }) => {
    if (what === 'freeze') most = Math.max(most, ++now);
    return what === 'freeze' ? { delayMs: 10 } : {};
  };
  const { runtime, told } = host(here, { size: 7 }, { work });
  runtime.subscribe((event) => void (event.type === 'session:freeze' && now--));
  const sessions = await Promise.all(
    [...'abcdefg'].map((id) => runtime.session(id, { durability: 'freeze' })),
  );
  await Promise.all(sessions.map((session) => session.run('set x 1')));
  const hanging = sessions.slice(0, 2).map((session) => session.run('hang', { timeoutMs: Infinity }));
  await vi.waitFor(() => expect(runtime.stats().running).toBe(2));
  const closing = runtime.close({ graceMs: 60_000 });
  await vi.waitFor(async () => {
    await here.advance(10);
    expect(told('session:freeze')).toHaveLength(5);
  });
  expect(most).toBe(2);
  const again = runtime.close({ graceMs: 0 });
  await over(here, Promise.all([closing, again]));
  expect((await Promise.all(hanging)).map(({ status }) => status)).toEqual(['interrupted', 'interrupted']);
});

it('waits no longer than the grace period for a store that doesn’t answer', async () => {
  const here = world();
  const { runtime } = host(here, { size: 2 });
  const [busy, other] = [await runtime.session('a'), await runtime.session('b', { durability: 'freeze' })];
  await other.run('set x 1');
  const never = new Promise<void>(() => undefined);
  here.store.plan.push({ name: 'save', fault: never }, { name: 'save', fault: never });
  const run = busy.run('set x 1');
  const told = expect(run).rejects.toMatchObject({ code: 'closed' });
  await vi.waitFor(() => expect(here.store.plan).toHaveLength(1));
  let closed = false;
  const closing = runtime.close({ graceMs: 1000 }).then(() => {
    closed = true;
  });
  await vi.waitFor(() => expect(here.store.plan).toHaveLength(0));
  await here.advance(1000);
  expect(closed).toBe(false);
  await here.advance(2000);
  await closing;
  await told;
  expect(runtime.status).toBe('closed');
  expect(runtime.engine.alive).toEqual([]);
});
