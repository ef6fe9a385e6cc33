/** What networks, servers and other hosts do to a store in Postgres at the worst moment. */
import { afterAll, describe, expect, it } from 'vitest';
import { openPostgresStore } from '../../src/store/postgres-store.ts';
import type { Lease, SessionStore } from '../../src/store/store.ts';
import { type Clock, systemClock } from '../../src/util/clock.ts';
import { assertWhole, stateOf } from './contents.ts';
import { type Cut, CuttingProxy } from './cutting-proxy.ts';
import { Host } from './host.ts';
import { PostgresServer } from './postgres-server.ts';
import { begin, key, minute, rejects, state } from './subject.ts';

const server = await PostgresServer.start();
afterAll(() => server[Symbol.asyncDispose]());

type Call = (store: SessionStore, lease: Lease) => Promise<unknown>;

/** Waits take no time, and are noted. */
function hastyClock(waits: number[]): Clock {
  const setTimeout: Clock['setTimeout'] = (callback, ms) => {
    waits.push(ms);
    return systemClock.setTimeout(callback, 0);
  };
  return { now: () => waits.reduce((sum, ms) => sum + ms, 0), setTimeout };
}

/** Ends the connections of stores, or some of them; returns how many. */
async function cut(url: string): Promise<number> {
  const rows = await server.query(
    url,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'vivarium' AND random() < 0.7`,
  );
  return rows.length;
}

describe('F09: a connection that is lost', () => {
  it('again and again: each call is done once', async () => {
    const url = await server.database();
    await using store = await openPostgresStore(url, { clock: hastyClock([]) });
    const cuts: Promise<number>[] = [];
    const sessions = ['a', 'b', 'c'].map(async (id) => {
      const lease = await begin(store, id);
      for (let revision = 1; revision <= 25; revision++) {
        // Those of the others, too.
        if (revision % 2 === 0) cuts.push(cut(url));
        expect((await store.save(lease, ...stateOf(id, revision))).revision).toBe(revision);
        if (revision % 5 === 0) await store.checkpoint(lease, `${revision}`);
        if (revision === 20) await store.fork(lease, `${id} fork`);
      }
      await store.release(lease);
    });
    await Promise.all(sessions);
    expect((await Promise.all(cuts)).reduce((sum, count) => sum + count)).toBeGreaterThan(20);
    expect((await store.list()).map(({ key, revision }) => [key.id, revision])).toEqual([
      ['a', 25],
      ['a fork', 1],
      ['b', 25],
      ['b fork', 1],
      ['c', 25],
      ['c fork', 1],
    ]);
    for (const id of ['a', 'b', 'c']) expect(await store.checkpoints(key(id))).toHaveLength(5);
  });

  const calls: Record<string, [Call, (store: SessionStore) => Promise<void>]> = {
    'a save': [
      (store, lease) => store.save(lease, ...state(1, [])),
      async (store) => expect((await store.record(key('a')))?.revision).toBe(1),
    ],
    'a checkpoint': [
      (store, lease) => store.checkpoint(lease, 'c'),
      async (store) => expect(await store.checkpoints(key('a'))).toHaveLength(1),
    ],
    'a fork': [
      (store, lease) => store.fork(lease, 'b'),
      async (store) => expect(await store.list()).toHaveLength(2),
    ],
    'a removal': [
      (store, lease) => store.remove(lease),
      async (store) => expect(await store.list()).toEqual([]),
    ],
  };
  const cuts: Cut[] = ['before', 'after', 'late', 'never'];
  const cases = Object.entries(calls).flatMap(([name, call]) =>
    cuts.map((cut) => [name, cut, ...call] as const),
  );

  it.each(cases)('as %s is committed (%s): it is done once', async (_, cut, call, check) => {
    const direct = await server.database();
    await using proxy = await CuttingProxy.start(server);
    await using store = await openPostgresStore(proxy.url(direct), {}, { patienceMs: 300 });
    const lease = await begin(store, 'a');
    proxy.plan.push(cut);
    await call(store, lease);
    await check(store);
    expect(proxy.done).toEqual([cut]);
  });

  it('as a save is committed, and for good: nobody knows, and saving again is right either way', async () => {
    for (const cut of ['before', 'after'] as const) {
      const direct = await server.database();
      await using proxy = await CuttingProxy.start(server);
      await using store = await openPostgresStore(proxy.url(direct), { clock: hastyClock([]) });
      const lease = await begin(store, 'a');
      const [next, fresh] = stateOf('a', 1);
      proxy.plan.push(cut);
      proxy.isClosedAfterCut = true;
      const error: unknown = await store.save(lease, next, fresh).catch((error: unknown) => error);
      expect(error).toEqual(rejects('store', { reason: 'unreachable', stored: 'unknown' }));
      expect(String(error)).toMatch(/It isn't known whether this call was stored/);
      proxy.isClosedAfterCut = false;
      expect((await store.record(key('a')))?.revision).toBe(cut === 'after' ? 1 : 0);
      expect((await store.save(lease, next, fresh)).revision).toBe(1);
      await assertWhole(store);
    }
  });
});

describe('F09: a server', () => {
  it.each(['INT', 'QUIT'] as const)('that is stopped (%s) and started is waited for', async (signal) => {
    const url = await server.database();
    await using store = await openPostgresStore(url);
    const lease = await begin(store, 'a');
    let restarted: Promise<void> | undefined;
    for (let revision = 1; revision <= 60; revision++) {
      await store.save(lease, ...stateOf('a', revision));
      if (revision === 20) restarted = server.stop(signal).then(() => server.start());
    }
    await restarted;
    expect((await store.record(key('a')))?.revision).toBe(60);
    await assertWhole(store);
  });

  it('that stays away is told after some tries, with longer and longer waits', async () => {
    const url = await server.database();
    const waits: number[] = [];
    let random = 0;
    await using store = await openPostgresStore(url, {
      clock: hastyClock(waits),
      random: () => (random++ % 2 === 0 ? 0 : 0.999),
    });
    const lease = await begin(store, 'a');
    await store.save(lease, ...stateOf('a', 1));
    await server.stop('INT');
    const error: unknown = await store.save(lease, ...stateOf('a', 2)).catch((error: unknown) => error);
    expect(error).toEqual(rejects('store', { reason: 'unreachable', stored: 'no', tries: 9 }));
    expect(String(error)).toMatch(/Postgres at .*can't be reached.*after 9 tries.*changed nothing/);
    expect(waits.map(Math.round)).toEqual([50, 300, 200, 1199, 800, 4797, 2000, 5996]);
    await expect(store.list()).rejects.toEqual(rejects('store', { reason: 'unreachable' }));
    await expect(openPostgresStore(url, { clock: hastyClock([]) })).rejects.toEqual(
      rejects('store', { reason: 'unreachable' }),
    );
    await server.start();
    await store.save(lease, ...stateOf('a', 2));
    await assertWhole(store);
  });

  it('that refuses is told at once, without the password', async () => {
    const url = server.url('nowhere').replace('vivarium@', 'vivarium:secret@');
    const error: unknown = await openPostgresStore(url).catch((error: unknown) => error);
    expect(error).toEqual(rejects('store', { reason: 'refused', sqlState: '3D000', tries: 1 }));
    expect(JSON.stringify(error) + String(error)).not.toContain('secret');
    const bad: unknown = await openPostgresStore('postgres://:secret@[').catch((error: unknown) => error);
    expect(bad).toEqual(rejects('usage'));
    expect(JSON.stringify(bad) + String(bad)).not.toContain('secret');
  });
});

describe('F12: hosts on one server', () => {
  it("steal each other's sessions: each revision is saved once, and what is stale is refused", async () => {
    const url = await server.database();
    const work = { store: url, work: 'steal', sessions: ['a', 'b'], rounds: 60 } as const;
    await using one = new Host({ ...work, owner: 'one' });
    await using two = new Host({ ...work, owner: 'two' });
    for (const host of [one, two]) expect(await host.ended, host.stderr).toBe(0);
    await using store = await openPostgresStore(url);
    await assertWhole(store);
    const saved = [...one.all('saved'), ...two.all('saved')];
    for (const id of work.sessions) {
      const revisions = saved.filter((told) => told.id === id).map(({ revision }) => revision);
      expect(revisions.sort((a, b) => a - b)).toEqual(revisions.map((_, index) => index + 1));
      expect((await store.record(key(id)))?.revision).toBe(revisions.length);
    }
    const refused = [...one.all('error'), ...two.all('error')];
    expect(refused.length).toBeGreaterThan(10);
    expect(new Set(refused.map(({ code }) => code))).toEqual(new Set(['session_stale']));
  });

  it('are not held up by one that stops in the middle of a save, and it is refused when it goes on', async () => {
    const url = await server.database();
    const work = { store: url, work: 'save', sessions: ['a'], rounds: 100, owner: 'one' } as const;
    const at = { point: 'store.committing', time: 7, what: 'SIGSTOP' } as const;
    await using host = new Host({ ...work, at, patienceMs: 500 });
    await host.until('saved', 4);
    await using store = await openPostgresStore(url, {}, { patienceMs: 500 });
    await server.query(url, 'UPDATE vivarium_sessions SET leased_until = 0');
    const { lease, record } = await store.acquire(key('a'), { owner: 'two', ttlMs: minute });
    expect(record.revision).toBe(4);
    await store.save(lease, ...stateOf('a', 5));
    host.kill('SIGCONT');
    expect(await host.ended, host.stderr).toBe(0);
    expect(host.all('error')).toMatchObject([{ code: 'session_stale' }]);
    expect(host.all('saved')).toHaveLength(4);
    expect((await store.record(key('a')))?.revision).toBe(5);
    await assertWhole(store);
  });

  it('may be killed while they save', async () => {
    const url = await server.database();
    for (let round = 0; round < 6; round++) {
      const work = { store: url, work: 'save', sessions: ['a', 'b'], rounds: 100, owner: 'host' } as const;
      const point = round % 2 === 0 ? 'store.committing' : 'store.committed';
      await using host = new Host({ ...work, at: { point, time: 5 + 3 * round, what: 'SIGKILL' } });
      expect(await host.ended, host.stderr).toBe('SIGKILL');
      await using store = await openPostgresStore(url);
      await assertWhole(store);
      for (const id of work.sessions) {
        const told = host.all('saved').filter((saved) => saved.id === id);
        const last = told.at(-1)?.revision;
        const { revision = -1 } = (await store.record(key(id))) ?? {};
        if (last !== undefined) expect([0, 1]).toContain(revision - last);
      }
    }
  });

  it('never wait for each other in a circle, or get over it', async () => {
    const url = await server.database();
    await using store = await openPostgresStore(url, { limits: { maxTotalBytes: 1e9, maxSessions: 1000 } });
    const work = Array.from({ length: 12 }, async (_, index) => {
      const lease = await begin(store, `s${index}`);
      for (let revision = 1; revision <= 15; revision++) {
        await store.save(lease, ...stateOf(`s${index}`, revision));
        if (revision % 5 === 0) await store.fork(lease, `s${index} fork ${revision}`);
        if (revision % 7 === 0) await store.cull(minute);
      }
    });
    await Promise.all(work);
    await assertWhole(store);
    const [row] = await server.query(
      url,
      'SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()',
    );
    expect(Number(row?.deadlocks)).toBe(0);
  });
});
