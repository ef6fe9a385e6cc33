import { describe, expect, it } from 'vitest';
import { maxMetaBytes, maxNameBytes, type SessionStore } from '../../src/store/store.ts';
import { blob } from './contents.ts';
import { begin, bytes, key, minute, none, rejects, type SubjectKind, state } from './subject.ts';

/** What every store must do: what there is beside leases and states. */
export function sessionsContract({ make, isShared }: SubjectKind): void {
  describe('a checkpoint', () => {
    it('keeps the state that was present', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a');
      const [one, two, three] = [blob(1, 100), blob(2, 200), blob(3, 300)];
      await store.save(lease, ...state(1, [one, two]));
      const kept = await store.checkpoint(lease, 'first');
      expect(kept).toEqual({ name: 'first', revision: 1, createdAt: expect.any(Number) });
      expect(await store.record(key('a'))).toMatchObject({ checkpoints: 1, storedBytes: 301 });
      const record = await store.save(lease, ...state(2, [two, three]));
      expect(record).toMatchObject({ revision: 2, checkpoints: 1, storedBytes: 602 });
      expect(await store.revision(key('a'), 1)).toEqual(state(1, [one, two])[0]);
      expect(await store.blob(key('a'), one[0])).toEqual(one[1]);
      // Back to it, as a new revision.
      expect(await store.save(lease, { ...state(3, [one, two])[0] }, none)).toMatchObject({
        storedBytes: 302,
      });
      await expect(store.blob(key('a'), three[0])).rejects.toEqual(rejects('usage'));
      expect(await store.checkpoints(key('a'))).toEqual([kept]);
    });

    it('has a name of its own, and may be one of several of a state, or of none', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a');
      await store.checkpoint(lease, 'z');
      await store.save(lease, ...state(1, [blob(1, 10)]));
      await store.checkpoint(lease, 'y');
      await store.checkpoint(lease, 'x');
      await expect(store.checkpoint(lease, 'z')).rejects.toEqual(rejects('usage'));
      const kept = await store.checkpoints(key('a'));
      expect(kept.map(({ name, revision }) => [name, revision])).toEqual([
        ['z', 0],
        ['y', 1],
        ['x', 1],
      ]);
      expect(await store.revision(key('a'), 0)).toBeUndefined();
      expect(await store.record(key('a'))).toMatchObject({ checkpoints: 3, storedBytes: 11 });
      expect(await store.checkpoints(key('b'))).toEqual([]);
    });
  });

  describe('a fork', () => {
    it('begins with the state of the other one, and goes its own way', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a', 'host', 'x');
      const [one, two] = [blob(1, 100), blob(2, 200)];
      await store.save(lease, ...state(4, [one]));
      await store.checkpoint(lease, 'c');
      await store.save(lease, ...state(5, [one, two]));
      const record = await store.fork(lease, 'b');
      expect(record).toMatchObject({
        key: key('b', 'x'),
        meta: { image: 'std' },
        revision: 1,
        checkpoints: 0,
      });
      expect(record).toMatchObject({ storedBytes: 301, leasedBy: undefined });
      expect(await store.revision(key('b', 'x'))).toEqual({ ...state(5, [one, two])[0], revision: 1 });
      expect(await store.totals()).toEqual({ sessions: 2, bytes: 300 + 3 });
      await store.remove(lease);
      expect(await store.blob(key('b', 'x'), two[0])).toEqual(two[1]);
      const other = await begin(store, 'b', 'host', 'x');
      expect(await store.save(other, ...state(2, [two]))).toMatchObject({ storedBytes: 201 });
      expect((await subject.held()) ?? [`x/${two[0]}`]).toEqual([`x/${two[0]}`]);
    });

    it('of a session without a state has none', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a');
      expect(await store.fork(lease, 'b')).toMatchObject({ revision: 0, storedBytes: 0 });
      expect(await store.revision(key('b'))).toBeUndefined();
    });

    it('needs an id that is free', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a');
      await begin(store, 'b');
      for (const id of ['a', 'b'])
        await expect(store.fork(lease, id)).rejects.toEqual(rejects('session_exists', key(id)));
      await begin(store, 'c', 'host', 'other');
      await store.fork(lease, 'c');
      expect(await store.list()).toHaveLength(4);
    });
  });

  it('what is removed is gone, with all that belongs to it', async () => {
    await using subject = await make();
    const store = await subject.open();
    const lease = await begin(store, 'a');
    await store.save(lease, ...state(1, [blob(1, 100), blob(1, 1000)]));
    await store.checkpoint(lease, 'c');
    await store.save(lease, ...state(2, [blob(2, 100), blob(2, 1000)]));
    await store.remove(lease);
    expect(await store.totals()).toEqual({ sessions: 0, bytes: 0 });
    expect(await store.record(key('a'))).toBeUndefined();
    expect(await store.revision(key('a'), 1)).toBeUndefined();
    expect(await store.checkpoints(key('a'))).toEqual([]);
    expect((await subject.held()) ?? []).toEqual([]);
    await expect(store.remove(lease)).rejects.toEqual(rejects('session_stale', { removed: true }));
  });

  it('all are listed by tenant and id, page by page', async () => {
    await using subject = await make();
    const store = await subject.open();
    // In the order of their bytes as UTF-8, which isn't that of JavaScript's strings.
    const ids = ['%', "'; --", 'B', 'a', 'a\nb', 'aa', 'b', '{}', 'é', '\uffee', '😀'];
    const tenants = ['', '"x"', 'é'];
    const keys = tenants.flatMap((tenant) => ids.map((id) => key(id, tenant)));
    for (const { tenant, id } of keys.toReversed()) await begin(store, id, 'host', tenant);
    const listed = async (options?: Parameters<SessionStore['list']>[0]) =>
      (await store.list(options)).map((record) => record.key);
    expect(await listed()).toEqual(keys);
    expect(await listed({ tenant: 'é' })).toEqual(keys.slice(22));
    expect(await listed({ tenant: 'none' })).toEqual([]);
    const paged = [];
    for (let page = await listed({ limit: 4 }); page.length > 0; ) {
      paged.push(...page);
      page = await listed({ limit: 4, after: page.at(-1) });
    }
    expect(paged).toEqual(keys);
    expect(await listed({ tenant: '"x"', after: key('b', '"x"'), limit: 2 })).toEqual(keys.slice(18, 20));
    expect((await store.list({ limit: 1 }))[0]).toEqual(await store.record(keys[0] ?? key('')));
  });

  it('culling removes what nobody has used or holds', async () => {
    await using subject = await make();
    const store = await subject.open();
    const old = [await begin(store, 'a'), await begin(store, 'b'), await begin(store, 'held')] as const;
    await store.save(old[0], ...state(1, [blob(1, 100)]));
    await store.save(old[2], ...state(1, [blob(1, 100), blob(2, 100)]));
    await store.release(old[1]);
    await subject.elapse(10 * minute);
    await store.renew(old[2], minute);
    const fresh = await begin(store, 'fresh');
    await store.release(fresh);
    expect(await store.cull(11 * minute)).toEqual([]);
    expect(await store.cull(5 * minute)).toEqual([key('a'), key('b')]);
    expect((await store.list()).map(({ key }) => key.id)).toEqual(['fresh', 'held']);
    expect(await store.totals()).toEqual({ sessions: 2, bytes: 201 });
    await expect(store.save(old[0], ...state(2, []))).rejects.toEqual(rejects('session_stale'));
    await subject.elapse(5 * minute);
    expect(await store.cull(4 * minute)).toEqual([key('fresh'), key('held')]);
    expect((await subject.held()) ?? []).toEqual([]);
  });

  it('renewing is using', async () => {
    await using subject = await make();
    const store = await subject.open();
    const lease = await begin(store, 'a');
    await subject.elapse(10 * minute);
    await store.renew(lease, minute);
    await subject.elapse(2 * minute);
    // Nobody holds it any more.
    expect((await store.record(key('a')))?.leasedBy).toBeUndefined();
    expect(await store.cull(5 * minute)).toEqual([]);
    expect(await store.cull(minute)).toEqual([key('a')]);
  });

  describe('a limit', () => {
    it('of sessions', async () => {
      await using subject = await make();
      const store = await subject.open({ limits: { maxSessions: 2 } });
      const lease = await begin(store, 'a');
      const other = await begin(store, 'b');
      const error = rejects('session_limit', { limit: 'maxSessions', max: 2, asked: 3 });
      await expect(begin(store, 'c')).rejects.toEqual(error);
      await expect(store.fork(lease, 'c')).rejects.toEqual(error);
      expect(await store.record(key('c'))).toBeUndefined();
      // Those that are there may be used on.
      await begin(store, 'b');
      await store.save(lease, ...state(1, [blob(1, 10)]));
      await expect(store.remove(other)).rejects.toEqual(rejects('session_stale'));
      await store.remove(await begin(store, 'b'));
      await store.fork(lease, 'c');
    });

    it('of a session', async () => {
      await using subject = await make();
      const store = await subject.open({ limits: { maxSessionBytes: 401 } });
      const lease = await begin(store, 'a');
      await store.save(lease, ...state(1, [blob(1, 100), blob(1, 300)]));
      const error = (asked: number) =>
        rejects('session_limit', { limit: 'maxSessionBytes', max: 401, asked });
      await expect(store.save(lease, ...state(2, [blob(2, 401)]))).rejects.toEqual(error(402));
      expect(await store.revision(key('a'))).toEqual(state(1, [blob(1, 100), blob(1, 300)])[0]);
      expect(await store.blob(key('a'), blob(1, 300)[0])).toEqual(blob(1, 300)[1]);
      // What checkpoints keep counts.
      await store.checkpoint(lease, 'c');
      await expect(store.save(lease, ...state(2, [blob(2, 9)]))).rejects.toEqual(error(411));
      expect(await store.totals()).toEqual({ sessions: 1, bytes: 401 });
      expect((await subject.held())?.length ?? 2).toBe(2);
    });

    it('of all', async () => {
      await using subject = await make();
      const store = await subject.open({ limits: { maxTotalBytes: 1000 } });
      const [a, b] = [await begin(store, 'a'), await begin(store, 'b')];
      await store.save(a, ...state(1, [blob(1, 600)]));
      // Shared ones count once.
      await store.save(b, ...state(1, [blob(1, 600), blob(2, 300)]));
      const error = rejects('session_limit', { limit: 'maxTotalBytes', max: 1000, asked: 1002 });
      await expect(store.save(b, ...state(2, [blob(1, 600), blob(3, 400)]))).rejects.toEqual(error);
      expect(await store.totals()).toEqual({ sessions: 2, bytes: 902 });
      for (let n = 0; n < 98; n++) await store.fork(b, `fork ${n}`);
      await expect(store.fork(b, 'too many')).rejects.toEqual(rejects('session_limit', { asked: 1001 }));
      expect(await store.totals()).toEqual({ sessions: 100, bytes: 1000 });
    });

    const itShared = isShared ? it : () => undefined;
    itShared('that was lowered keeps nobody from what makes a session no larger', async () => {
      await using subject = await make();
      const before = await subject.open();
      const lease = await begin(before, 'a');
      await before.save(lease, ...state(1, [blob(1, 500)]));
      const store = await subject.open({
        limits: { maxSessionBytes: 100, maxTotalBytes: 100, maxSessions: 0 },
      });
      await store.save(lease, ...state(2, [blob(2, 500)]));
      await store.save(lease, ...state(3, [blob(2, 400)]));
      await expect(store.save(lease, ...state(4, [blob(2, 401)]))).rejects.toEqual(rejects('session_limit'));
    });
  });

  it('what no database could store is refused', async () => {
    await using subject = await make();
    const store = await subject.open();
    const names = ['\0', 'a\0b', '\ud800', 'x'.repeat(maxNameBytes + 1), 'é'.repeat(maxNameBytes / 2 + 1)];
    const usage = rejects('usage');
    for (const name of [...names, '']) await expect(begin(store, name)).rejects.toEqual(usage);
    for (const name of names) {
      await expect(begin(store, 'a', 'host', name)).rejects.toEqual(usage);
      await expect(begin(store, 'a', name)).rejects.toEqual(usage);
    }
    const create = { text: 'x'.repeat(maxMetaBytes - 11) };
    const options = { owner: 'host', ttlMs: minute };
    await expect(store.acquire(key('a'), { ...options, create: { ...create, n: 1 } })).rejects.toEqual(usage);
    for (const ttlMs of [-1, Number.NaN, Infinity])
      await expect(store.acquire(key('a'), { owner: 'host', ttlMs, create })).rejects.toEqual(usage);
    expect(await store.totals()).toEqual({ sessions: 0, bytes: 0 });
    const { lease } = await store.acquire(key('é'.repeat(maxNameBytes / 2)), { ...options, create });
    for (const name of names) {
      await expect(store.checkpoint(lease, name)).rejects.toEqual(usage);
      await expect(store.fork(lease, name)).rejects.toEqual(usage);
    }
    const hashes = ['', 'x', '../../etc/passwd', 'A'.repeat(64), `${'a'.repeat(64)}\n`];
    for (const hash of hashes) {
      const next = { revision: 1, manifest: bytes(), blobs: [hash] };
      await expect(store.save(lease, next, new Map([[hash, bytes(1)]]))).rejects.toEqual(usage);
      await expect(store.blob(lease.key, hash)).rejects.toEqual(usage);
    }
  });

  it('calls of many sessions at once, that share blobs, keep what is needed and no more', async () => {
    await using subject = await make();
    const stores = [await subject.open()];
    if (isShared) stores.push(await subject.open());
    const rounds = 12;
    const choose = (session: number, round: number) =>
      [0, 1, 2, 3, 4, 5]
        .filter((n) => (session * 7 + round * 5 + n * n) % 3 === 0)
        .map((n) => blob(n, 100 + n * 20));
    const sessions = Array.from({ length: 10 }, async (_, session) => {
      const store = stores[session % stores.length] as SessionStore;
      const lease = await begin(store, `s${session}`);
      for (let round = 1; round <= rounds; round++) {
        await store.save(lease, ...state(round, choose(session, round)));
        if (round === 4) await store.checkpoint(lease, 'c');
        if (round === 8) await store.fork(lease, `f${session}`);
      }
      if (session % 3 === 0) await store.remove(lease);
    });
    await Promise.all(sessions);
    const needed = new Set<string>();
    for (let session = 0; session < 10; session++) {
      const kept = session % 3 === 0 ? [8] : [4, 8, rounds];
      for (const round of kept) for (const [hash] of choose(session, round)) needed.add(`/${hash}`);
    }
    const [store] = stores as [SessionStore];
    expect((await subject.held()) ?? [...needed].sort()).toEqual([...needed].sort());
    for (const record of await store.list()) {
      const present = await store.revision(record.key);
      for (const hash of present?.blobs ?? [])
        expect((await store.blob(record.key, hash)).length).toBeGreaterThan(99);
    }
  });

  it('a store that was closed does nothing more', async () => {
    await using subject = await make();
    const store = await subject.open();
    const lease = await begin(store, 'a');
    await store[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    const calls: (() => Promise<unknown>)[] = [
      () => begin(store, 'a'),
      () => store.renew(lease, minute),
      () => store.release(lease),
      () => store.save(lease, ...state(1, [blob(1, 1000)])),
      () => store.record(key('a')),
      () => store.revision(key('a')),
      () => store.blob(key('a'), blob(1, 1)[0]),
      () => store.list(),
      () => store.checkpoint(lease, 'c'),
      () => store.checkpoints(key('a')),
      () => store.fork(lease, 'b'),
      () => store.remove(lease),
      () => store.cull(0),
      () => store.totals(),
    ];
    for (const call of calls) await expect(call()).rejects.toEqual(rejects('closed'));
    if (!isShared) return;
    const again = await subject.open();
    expect(await again.record(key('a'))).toMatchObject({ revision: 0, leasedBy: 'host' });
    expect((await subject.held()) ?? []).toEqual([]);
  });
}
