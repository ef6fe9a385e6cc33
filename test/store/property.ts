/** Random calls, of hosts that steal one another's sessions, against a plain model. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Lease, Revision, SessionStore } from '../../src/store/store.ts';
import { blob } from './contents.ts';
import { Model, type ModelLease, plain } from './model.ts';
import { key, type StoreSubject, type SubjectKind } from './subject.ts';

const limits = { maxSessions: 5, maxSessionBytes: 1100, maxTotalBytes: 1500 };
/** Of every combination of sizes the sum is another one, and some are files in SQLite. */
const blobs = [10, 21, 43, 87, 175, 351, 703].map((size, index) => blob(index, size));
const half = 30_000;

interface Real {
  subject: StoreSubject;
  store: SessionStore;
  /** All that there ever were, in the order of the model's. */
  leases: { model: ModelLease; real: Lease }[];
}

type Step = (model: Model, real: Real) => Promise<void>;

class Command implements fc.AsyncCommand<Model, Real> {
  readonly #text: string;
  readonly #step: Step;

  constructor(text: string, step: Step) {
    this.#text = text;
    this.#step = step;
  }

  check(): boolean {
    return true;
  }

  async run(model: Model, real: Real): Promise<void> {
    await this.#step(model, real);
    await compare(model, real);
  }

  toString(): string {
    return this.#text;
  }
}

const codeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'ok',
    (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : `threw ${error}`),
  );

/** A call with one of the leases that there ever were: mostly one that holds its session. */
function withLease(
  at: number,
  text: string,
  step: (model: Model, real: Real, lease: ModelLease, given: Lease) => Promise<void>,
): Command {
  return new Command(`${text} with lease ${at}`, async (model, real) => {
    const held = real.leases.filter((lease) => model.held(lease.model) !== undefined);
    const choice = at % 5 === 0 || held.length === 0 ? real.leases : held;
    const lease = choice[at % Math.max(choice.length, 1)];
    if (lease !== undefined) await step(model, real, lease.model, lease.real);
  });
}

const owner = fc.constantFrom('h1', 'h2');
const id = fc.constantFrom('a', 'b', 'c', 'd');
const tenant = fc.constantFrom('', '', 't');
const often = fc.constantFrom(true, true, true, true, false);
const lease = fc.nat(40);
const subset = fc.subarray([0, 1, 2, 3, 4, 5, 6]);

const acquire = fc.record({ owner, id, tenant, create: often }).map(
  ({ owner, id, tenant, create }) =>
    new Command(`acquire ${tenant}/${id} for ${owner}${create ? ', create' : ''}`, async (model, real) => {
      const expected = model.acquire(tenant, id, owner, 2 * half, create);
      const options = { owner, ttlMs: 2 * half, create: create ? { made: 'here' } : undefined };
      const call = real.store.acquire(key(id, tenant), options);
      if (typeof expected === 'string') expect(await codeOf(call)).toBe(expected);
      else {
        const { lease } = await call;
        const last = real.leases.at(-1);
        if (last !== undefined) expect(lease.fence).toBeGreaterThan(last.real.fence);
        real.leases.push({ model: expected, real: lease });
      }
    }),
);

const save = fc
  .record({ lease, subset, step: fc.constantFrom(1, 1, 1, 2, 0), size: fc.nat(9), all: often })
  .map(({ lease, subset, step, size, all }) =>
    withLease(lease, `save ${subset} of ${size}, +${step}`, async (model, real, leased, given) => {
      const chosen = subset.flatMap((index) => [blobs[index] ?? blob(0, 0)]);
      const session = model.sessions.get(`${leased.tenant}/${leased.id}`);
      const stored = model.needed().get(leased.tenant);
      const revision = (session?.present ?? 0) + step;
      const manifest = new Uint8Array(size).fill(size);
      const next: Revision = { revision, manifest, blobs: chosen.map(([hash]) => hash) };
      const fresh = new Map(chosen.filter(([hash]) => all || !stored?.has(hash)));
      // Revision 0 is no revision.
      const expected = revision === 0 ? 'usage' : model.save(leased, next, new Set(fresh.keys()));
      expect(await codeOf(real.store.save(given, next, fresh))).toBe(expected);
    }),
  );

const rollback = fc.record({ lease, name: fc.constantFrom('x', 'y') }).map(({ lease, name }) =>
  withLease(lease, `rollback to ${name}`, async (model, real, leased, given) => {
    const session = model.sessions.get(`${leased.tenant}/${leased.id}`);
    const kept = session?.states.get(session.checkpoints.get(name) ?? -1);
    if (session === undefined || kept === undefined) return;
    const next = { ...kept, revision: session.present + 1 };
    const expected = model.save(leased, next, new Set());
    expect(await codeOf(real.store.save(given, next, new Map()))).toBe(expected);
  }),
);

const others = [
  fc.record({ lease, half: fc.nat(3) }).map(({ lease, half: halves }) =>
    withLease(lease, `renew for ${halves}`, async (model, real, leased, given) => {
      const expected = model.renew(leased, halves * half);
      expect(await codeOf(real.store.renew(given, halves * half))).toBe(expected);
    }),
  ),
  lease.map((lease) =>
    withLease(lease, 'release', async (model, real, leased, given) => {
      expect(await codeOf(real.store.release(given))).toBe(model.release(leased));
    }),
  ),
  fc.record({ lease, name: fc.constantFrom('x', 'y') }).map(({ lease, name }) =>
    withLease(lease, `checkpoint ${name}`, async (model, real, leased, given) => {
      expect(await codeOf(real.store.checkpoint(given, name))).toBe(model.checkpoint(leased, name));
    }),
  ),
  fc.record({ lease, id }).map(({ lease, id }) =>
    withLease(lease, `fork to ${id}`, async (model, real, leased, given) => {
      expect(await codeOf(real.store.fork(given, id))).toBe(model.fork(leased, id));
    }),
  ),
  lease.map((lease) =>
    withLease(lease, 'remove', async (model, real, leased, given) => {
      expect(await codeOf(real.store.remove(given))).toBe(model.remove(leased));
    }),
  ),
  fc.nat(6).map(
    (halves) =>
      new Command(`cull after ${halves}`, async (model, real) => {
        const culled = await real.store.cull(halves * half);
        expect(culled.map(({ tenant, id }) => `${tenant}/${id}`).sort()).toEqual(model.cull(halves * half));
      }),
  ),
  fc.integer({ min: 1, max: 4 }).map(
    (halves) =>
      new Command(`${halves} pass`, async (model, real) => {
        model.now += halves * half;
        await real.subject.elapse(halves * half);
      }),
  ),
];

const reopen = fc.constant(
  new Command('open', async (_, real) => {
    real.store = await real.subject.open({ limits });
  }),
);

async function compare(model: Model, { store }: Real): Promise<void> {
  const expected = [...model.sessions.values()]
    .map((session) => ({
      key: key(session.id, session.tenant),
      meta: { made: 'here' },
      revision: session.present,
      storedBytes: model.bytesOf(session),
      checkpoints: session.checkpoints.size,
      createdAt: expect.any(Number),
      usedAt: expect.any(Number),
      leasedBy: session.until > model.now ? session.owner : undefined,
    }))
    .sort((a, b) => (a.key.tenant + a.key.id < b.key.tenant + b.key.id ? -1 : 1));
  const listed = await store.list();
  expect(listed.sort((a, b) => (a.key.tenant + a.key.id < b.key.tenant + b.key.id ? -1 : 1))).toEqual(
    expected,
  );
  expect(await store.totals()).toEqual({ sessions: model.sessions.size, bytes: model.totalBytes() });
}

/** All that can be read, and that nothing else is held. */
async function compareWhole(model: Model, { store, subject }: Real): Promise<void> {
  for (const session of model.sessions.values()) {
    const where = key(session.id, session.tenant);
    for (let revision = 0; revision <= session.present; revision++) {
      const found = await store.revision(where, revision);
      const wanted = session.states.get(revision);
      expect(found && plain(found)).toEqual(wanted && plain(wanted));
    }
    const hashes = new Set([...session.states.values()].flatMap((state) => state.blobs));
    for (const [hash, content] of blobs) {
      if (hashes.has(hash)) expect(await store.blob(where, hash)).toEqual(content);
      else expect(await codeOf(store.blob(where, hash))).toBe('usage');
    }
    const checkpoints = await store.checkpoints(where);
    expect(checkpoints.map(({ name, revision }) => [name, revision])).toEqual([...session.checkpoints]);
  }
  const needed = [...model.needed()].flatMap(([tenant, hashes]) =>
    [...hashes].map((hash) => `${tenant}/${hash}`),
  );
  expect((await subject.held()) ?? needed.sort()).toEqual(needed.sort());
}

export function storeProperty(
  { make, isShared }: SubjectKind,
  runs: { numRuns: number; seed?: number },
): void {
  it('does what a plain model does', async () => {
    const sizes = new Map(blobs.map(([hash, content]) => [hash, content.length]));
    const frequent = [
      acquire,
      acquire,
      acquire,
      acquire,
      save,
      save,
      save,
      save,
      save,
      save,
      rollback,
      rollback,
    ];
    const commands = [...frequent, ...others, ...(isShared ? [reopen] : [])];
    let most = 0;
    await fc.assert(
      fc.asyncProperty(fc.commands(commands, { maxCommands: 60, size: 'max' }), async (steps) => {
        await using subject = await make();
        const real: Real = { subject, store: await subject.open({ limits }), leases: [] };
        const model = new Model(limits, sizes);
        await fc.asyncModelRun(() => ({ model, real }), steps);
        await compareWhole(model, real);
        most = Math.max(most, model.acquisitions);
      }),
      runs,
    );
    expect(most).toBeGreaterThan(3);
  });
}
