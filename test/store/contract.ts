/** What every store must do. */
import { describe, expect, it } from 'vitest';
import type { Revision } from '../../src/store/store.ts';
import { blob } from './contents.ts';
import { sessionsContract } from './contract-sessions.ts';
import { begin, bytes, key, minute, none, rejects, type SubjectKind, state } from './subject.ts';

export function storeContract(kind: SubjectKind): void {
  const { make, isShared } = kind;
  sessionsContract(kind);

  describe('a lease', () => {
    it('begins a session, if that is asked for', async () => {
      await using subject = await make();
      const store = await subject.open();
      await expect(store.acquire(key('a'), { owner: 'host', ttlMs: minute })).rejects.toEqual(
        rejects('session_not_found', key('a')),
      );
      const meta = { image: 'std', nested: { list: [1, null, 'é\0'] } };
      const { lease, record } = await store.acquire(key('a'), { owner: 'host', ttlMs: minute, create: meta });
      expect(lease).toEqual({ key: key('a'), owner: 'host', fence: expect.any(Number) });
      expect(record).toEqual({
        key: key('a'),
        meta,
        revision: 0,
        storedBytes: 0,
        checkpoints: 0,
        createdAt: expect.any(Number),
        usedAt: expect.any(Number),
        leasedBy: 'host',
      });
      expect(await store.record(key('a'))).toEqual(record);
      expect(await store.revision(key('a'))).toBeUndefined();
      // Of one that is there `create` says nothing.
      await store.release(lease);
      const again = await store.acquire(key('a'), { owner: 'host', ttlMs: minute, create: { other: 1 } });
      expect(again.record.meta).toEqual(meta);
    });

    it('is one at a time, until its time is over', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a', 'one');
      const steal = () => store.acquire(key('a'), { owner: 'two', ttlMs: minute });
      const error: unknown = await steal().catch((error: unknown) => error);
      expect(error).toEqual(rejects('session_busy', { ...key('a'), heldBy: 'one' }));
      const { retryAfterMs } = (error as { details: { retryAfterMs: number } }).details;
      expect(retryAfterMs).toBeGreaterThan(0);
      expect(retryAfterMs).toBeLessThanOrEqual(minute);
      await subject.elapse(minute + 1);
      expect((await store.record(key('a')))?.leasedBy).toBeUndefined();
      const stolen = await steal();
      expect(stolen.lease.fence).toBeGreaterThan(lease.fence);
      expect(stolen.record.leasedBy).toBe('two');
    });

    it('that another host has taken is of no use any more', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a', 'one');
      await store.save(lease, ...state(1, [blob(1, 10)]));
      await subject.elapse(minute + 1);
      const { lease: taken } = await store.acquire(key('a'), { owner: 'two', ttlMs: minute });
      const before = await store.record(key('a'));
      const stale = rejects('session_stale', { ...key('a'), removed: false });
      await expect(store.save(lease, ...state(2, [blob(2, 10)]))).rejects.toEqual(stale);
      await expect(store.renew(lease, minute)).rejects.toEqual(stale);
      await expect(store.checkpoint(lease, 'c')).rejects.toEqual(stale);
      await expect(store.fork(lease, 'b')).rejects.toEqual(stale);
      await expect(store.remove(lease)).rejects.toEqual(stale);
      await store.release(lease);
      expect(await store.record(key('a'))).toEqual(before);
      expect(await store.list()).toHaveLength(1);
      expect((await store.save(taken, ...state(2, [blob(2, 10)]))).revision).toBe(2);
    });

    it('of the same owner takes the place of the one before', async () => {
      await using subject = await make();
      const store = await subject.open();
      const first = await begin(store, 'a');
      const second = await begin(store, 'a');
      expect(second.fence).toBeGreaterThan(first.fence);
      await expect(store.save(first, ...state(1, []))).rejects.toEqual(rejects('session_stale'));
      await store.save(second, ...state(1, []));
    });

    it('that was released is free for all, and of no use any more', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a', 'one');
      await store.release(lease);
      expect((await store.record(key('a')))?.leasedBy).toBeUndefined();
      await expect(store.renew(lease, minute)).rejects.toEqual(rejects('session_stale'));
      await expect(store.save(lease, ...state(1, []))).rejects.toEqual(rejects('session_stale'));
      await begin(store, 'a', 'two');
      await store.release(lease);
      expect((await store.record(key('a')))?.leasedBy).toBe('two');
    });

    it('whose time is over lasts as long as nobody takes it, and can be renewed', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a', 'one');
      await subject.elapse(2 * minute);
      await store.save(lease, ...state(1, []));
      await store.renew(lease, minute);
      await expect(begin(store, 'a', 'two')).rejects.toEqual(rejects('session_busy'));
    });

    it('of a session that was removed is not one of its successor', async () => {
      await using subject = await make();
      const store = await subject.open();
      const first = await begin(store, 'a');
      const twin = await begin(store, 'b');
      await store.remove(first);
      await expect(store.save(first, ...state(1, []))).rejects.toEqual(
        rejects('session_stale', { removed: true }),
      );
      const second = await begin(store, 'a');
      expect(new Set([first.fence, twin.fence, second.fence]).size).toBe(3);
      expect(second.fence).toBeGreaterThan(first.fence);
      await expect(store.save(first, ...state(1, []))).rejects.toEqual(rejects('session_stale'));
      expect((await store.record(key('a')))?.revision).toBe(0);
    });

    it.each(['begins', 'was released'])(
      'goes to one of many who ask at once for a session that %s',
      async (how) => {
        await using subject = await make();
        const store = await subject.open();
        const stores = [store, isShared ? await subject.open() : store] as const;
        if (how !== 'begins') await store.release(await begin(store, 'a'));
        const asked = Array.from({ length: 24 }, (_, index) =>
          begin(stores[index % 2 === 0 ? 0 : 1], 'a', `host ${index}`),
        );
        const settled = await Promise.allSettled(asked);
        expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
        const refused = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
        expect(refused).toEqual(Array.from({ length: 23 }, () => rejects('session_busy')));
      },
    );
  });

  describe('a state', () => {
    it('comes back as it was saved', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a');
      const [one, two, empty] = [blob(1, 100), blob(2, 200), blob(3, 0)];
      // In this order, and named more than once.
      const [next, fresh] = state(7, [two, one, two, empty], [0, 255, 0]);
      const record = await store.save(lease, next, fresh);
      expect(record).toMatchObject({ revision: 7, storedBytes: 303, checkpoints: 0, leasedBy: 'host' });
      expect(await store.record(key('a'))).toEqual(record);
      expect(await store.revision(key('a'))).toEqual(next);
      expect(await store.revision(key('a'), 7)).toEqual(next);
      expect(await store.revision(key('a'), 6)).toBeUndefined();
      for (const [hash, bytes] of [one, two, empty]) expect(await store.blob(key('a'), hash)).toEqual(bytes);
    });

    it('may be empty, and may be large', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a');
      await store.save(lease, { revision: 1, manifest: bytes(), blobs: [] }, none);
      expect(await store.revision(key('a'))).toEqual({ revision: 1, manifest: bytes(), blobs: [] });
      const blobs = [
        blob(1, 17_000_000),
        blob(2, 3_000_000),
        ...Array.from({ length: 300 }, (_, n) => blob(n, 50)),
      ];
      const [next, fresh] = state(2, blobs);
      const manifest = new Uint8Array(300_000).fill(9);
      const record = await store.save(lease, { ...next, manifest }, fresh);
      expect(record.storedBytes).toBe(17_000_000 + 3_000_000 + 300 * 50 + 300_000);
      expect(await store.revision(key('a'))).toEqual({ ...next, manifest });
      for (const [hash, content] of blobs.slice(0, 4)) {
        expect(Buffer.compare(await store.blob(key('a'), hash), content)).toBe(0);
      }
    });

    it('is a copy of what was given', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a');
      const [hash, content] = blob(1, 10);
      const [next, fresh] = state(1, [[hash, content]]);
      await store.save(lease, next, fresh);
      content.fill(0);
      next.manifest.fill(0);
      const read = await store.blob(key('a'), hash);
      expect(read).toEqual(blob(1, 10)[1]);
      read.fill(0);
      expect(await store.blob(key('a'), hash)).toEqual(blob(1, 10)[1]);
      expect((await store.revision(key('a')))?.manifest).toEqual(bytes(1));
    });

    it('needs only the blobs that the store lacks', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a');
      const [one, two, three] = [blob(1, 100), blob(2, 200), blob(3, 300)];
      await store.save(lease, ...state(1, [one, two]));
      const [next] = state(2, [one, three]);
      await expect(store.save(lease, next, none)).rejects.toEqual(rejects('usage'));
      expect(await store.record(key('a'))).toMatchObject({ revision: 1, storedBytes: 301 });
      const record = await store.save(lease, next, new Map([three]));
      expect(record).toMatchObject({ revision: 2, storedBytes: 401 });
      expect(await store.blob(key('a'), one[0])).toEqual(one[1]);
    });

    it('replaces the one before, of which nothing stays', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a');
      const [one, two, unnamed] = [blob(1, 100), blob(2, 200), blob(3, 300)];
      await store.save(lease, ...state(1, [one]));
      const [next] = state(2, [two]);
      await store.save(lease, next, new Map([two, unnamed]));
      expect(await store.revision(key('a'), 1)).toBeUndefined();
      await expect(store.blob(key('a'), one[0])).rejects.toEqual(rejects('usage'));
      await expect(store.blob(key('a'), unnamed[0])).rejects.toEqual(rejects('usage'));
      expect(await store.totals()).toEqual({ sessions: 1, bytes: 201 });
      expect((await subject.held()) ?? [`/${two[0]}`]).toEqual([`/${two[0]}`]);
    });

    it('has a revision that grows', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a');
      await store.save(lease, ...state(5, [blob(1, 10)]));
      for (const revision of [4, 5, 0, -1, 1.5, Number.NaN]) {
        await expect(store.save(lease, ...state(revision, [], [9]))).rejects.toEqual(rejects('usage'));
      }
      expect(await store.revision(key('a'))).toEqual(state(5, [blob(1, 10)])[0]);
    });

    it('saved twice is saved once', async () => {
      await using subject = await make();
      const store = await subject.open();
      const lease = await begin(store, 'a');
      const [next, fresh] = state(1, [blob(1, 10), blob(2, 10)]);
      const record = await store.save(lease, next, fresh);
      expect(await store.save(lease, next, fresh)).toEqual({ ...record, usedAt: expect.any(Number) });
      expect(await store.save(lease, next, none)).toEqual({ ...record, usedAt: expect.any(Number) });
      // Not the same after all.
      const others: Revision[] = [
        { ...next, manifest: bytes(2) },
        { ...next, blobs: next.blobs.slice(1) },
        { ...next, blobs: next.blobs.toReversed() },
      ];
      for (const other of others) {
        await expect(store.save(lease, other, fresh)).rejects.toEqual(rejects('usage'));
      }
    });

    it("is its tenant's own", async () => {
      await using subject = await make();
      const store = await subject.open();
      const [hash] = blob(1, 10);
      const leases = [await begin(store, 'a', 'host', 'x'), await begin(store, 'a', 'host', 'y')] as const;
      const [next] = state(1, [[hash, bytes()]]);
      await store.save(leases[0], next, new Map([[hash, bytes(1)]]));
      await expect(store.save(leases[1], next, none)).rejects.toEqual(rejects('usage'));
      await store.save(leases[1], next, new Map([[hash, bytes(2, 2)]]));
      expect(await store.blob(key('a', 'x'), hash)).toEqual(bytes(1));
      expect(await store.blob(key('a', 'y'), hash)).toEqual(bytes(2, 2));
      expect(await store.totals()).toEqual({ sessions: 2, bytes: 1 + 2 + 2 });
      await store.remove(leases[0]);
      expect(await store.blob(key('a', 'y'), hash)).toEqual(bytes(2, 2));
      await expect(store.blob(key('a', 'x'), hash)).rejects.toEqual(rejects('session_not_found'));
    });

    it('shares blobs with others of its tenant, each of which sees only its own', async () => {
      await using subject = await make();
      const store = await subject.open();
      const [a, b] = [await begin(store, 'a'), await begin(store, 'b')];
      const [one, two] = [blob(1, 100), blob(2, 200)];
      await store.save(a, ...state(1, [one]));
      await store.save(b, ...state(1, [one, two]));
      expect(await store.totals()).toEqual({ sessions: 2, bytes: 302 });
      await expect(store.blob(key('a'), two[0])).rejects.toEqual(rejects('usage'));
      await store.save(b, ...state(2, []));
      expect(await store.totals()).toEqual({ sessions: 2, bytes: 102 });
      expect(await store.blob(key('a'), one[0])).toEqual(one[1]);
    });
  });
}
