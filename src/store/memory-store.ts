import {
  checkDuration,
  checkKey,
  checkName,
  checkRevision,
  compareKeys,
  encodeMeta,
  namedBlobs,
  sameRevision,
} from './checks.ts';
import type {
  Lease,
  Revision,
  SessionKey,
  SessionRecord,
  SessionStore,
  StoredCheckpoint,
  StoreLimits,
} from './store.ts';
import {
  badRevision,
  busy,
  checkpointTaken,
  closed,
  exists,
  foreignBlob,
  lacksBlob,
  notFound,
  overLimit,
  stale,
} from './store-errors.ts';
import { resolveStoreOptions, type StoreOptions } from './store-options.ts';

interface Held {
  readonly key: SessionKey;
  readonly meta: string;
  readonly createdAt: number;
  usedAt: number;
  /** By revision: the present one, and those of checkpoints. */
  revisions: Revisions;
  present: number;
  checkpoints: StoredCheckpoint[];
  fence: number;
  owner: string | undefined;
  leasedUntil: number;
}

/** Gone with the process: for tests, and for programs whose sessions needn't outlive them. */
export class MemoryStore implements SessionStore {
  readonly kind = 'memory';
  readonly #limits: StoreLimits;
  readonly #now: () => number;
  readonly #sessions = new Map<string, Held>();
  /** By tenant, then hash. */
  readonly #blobs = new Map<string, Map<string, Uint8Array>>();
  #fence = 0;
  #closed = false;

  constructor(options: StoreOptions = {}) {
    const { limits, now } = resolveStoreOptions(options);
    this.#limits = limits;
    this.#now = now;
  }

  async acquire(
    key: SessionKey,
    {
      owner,
      ttlMs,
      create,
    }: { owner: string; ttlMs: number; create?: Readonly<Record<string, unknown>> | undefined },
  ): Promise<{ lease: Lease; record: SessionRecord }> {
    checkKey(key);
    checkName('an owner', owner);
    checkDuration('ttlMs', ttlMs);
    const now = this.#time();
    let session = this.#sessions.get(nameOf(key));
    if (session === undefined) {
      if (create === undefined) throw notFound(key);
      session = this.#create(key, encodeMeta(create));
    } else if (session.owner !== undefined && session.owner !== owner && session.leasedUntil > now) {
      throw busy(key, session.owner, session.leasedUntil - now);
    }
    session.fence = ++this.#fence;
    session.owner = owner;
    session.leasedUntil = now + ttlMs;
    session.usedAt = now;
    return { lease: { key, owner, fence: session.fence }, record: this.#record(session) };
  }

  async renew(lease: Lease, ttlMs: number): Promise<void> {
    checkDuration('ttlMs', ttlMs);
    const session = this.#leased(lease);
    session.usedAt = this.#time();
    session.leasedUntil = session.usedAt + ttlMs;
  }

  async release(lease: Lease): Promise<void> {
    const now = this.#time();
    const session = this.#sessions.get(nameOf(lease.key));
    if (session === undefined || !isHeld(session, lease)) return;
    session.owner = undefined;
    session.usedAt = now;
  }

  async save(lease: Lease, next: Revision, fresh: ReadonlyMap<string, Uint8Array>): Promise<SessionRecord> {
    checkRevision(next);
    const session = this.#leased(lease);
    const present = session.revisions.get(session.present);
    if (present !== undefined && sameRevision(present, next)) return this.#record(session);
    if (next.revision <= session.present) throw badRevision(lease.key, next, session.present);
    const named = namedBlobs(next, fresh);
    const lacking = next.blobs.find((hash) => !named.has(hash) && !this.#blobsOf(lease.key.tenant).has(hash));
    if (lacking !== undefined) throw lacksBlob(lacking);
    const { revision, manifest, blobs } = next;
    this.#advance(session, { revision, manifest: manifest.slice(), blobs: [...blobs] }, named);
    session.usedAt = this.#time();
    return this.#record(session);
  }

  async record(key: SessionKey): Promise<SessionRecord | undefined> {
    this.#time();
    const session = this.#sessions.get(nameOf(key));
    return session && this.#record(session);
  }

  async revision(key: SessionKey, revision?: number): Promise<Revision | undefined> {
    this.#time();
    const session = this.#sessions.get(nameOf(key));
    const found = session?.revisions.get(revision ?? session.present);
    return found && { ...found, manifest: found.manifest.slice() };
  }

  async blob(key: SessionKey, hash: string): Promise<Uint8Array> {
    this.#time();
    const session = this.#sessions.get(nameOf(key));
    if (session === undefined) throw notFound(key);
    const bytes = hashesOf(session.revisions).has(hash) ? this.#blobs.get(key.tenant)?.get(hash) : undefined;
    if (bytes === undefined) throw foreignBlob(key, hash);
    return bytes.slice();
  }

  async list({
    tenant,
    after,
    limit = Infinity,
  }: {
    tenant?: string | undefined;
    after?: SessionKey | undefined;
    limit?: number | undefined;
  } = {}): Promise<SessionRecord[]> {
    this.#time();
    return [...this.#sessions.values()]
      .filter(({ key }) => tenant === undefined || key.tenant === tenant)
      .filter(({ key }) => after === undefined || compareKeys(key, after) > 0)
      .sort((a, b) => compareKeys(a.key, b.key))
      .slice(0, limit)
      .map((session) => this.#record(session));
  }

  async checkpoint(lease: Lease, name: string): Promise<StoredCheckpoint> {
    checkName('a checkpoint', name);
    const session = this.#leased(lease);
    if (session.checkpoints.some((other) => other.name === name)) throw checkpointTaken(lease.key, name);
    const checkpoint = { name, revision: session.present, createdAt: this.#time() };
    session.checkpoints.push(checkpoint);
    return checkpoint;
  }

  async checkpoints(key: SessionKey): Promise<StoredCheckpoint[]> {
    this.#time();
    return [...(this.#sessions.get(nameOf(key))?.checkpoints ?? [])];
  }

  async fork(lease: Lease, id: string): Promise<SessionRecord> {
    const key = { tenant: lease.key.tenant, id };
    checkKey(key);
    const source = this.#leased(lease);
    if (this.#sessions.has(nameOf(key))) throw exists(key);
    const fork = this.#create(key, source.meta);
    const present = source.revisions.get(source.present);
    try {
      if (present !== undefined) this.#advance(fork, { ...present, revision: 1 }, new Map());
    } catch (error) {
      this.#sessions.delete(nameOf(key));
      throw error;
    }
    return this.#record(fork);
  }

  async remove(lease: Lease): Promise<void> {
    this.#drop([this.#leased(lease)]);
  }

  async cull(unusedMs: number): Promise<SessionKey[]> {
    checkDuration('unusedMs', unusedMs);
    const now = this.#time();
    const unused = [...this.#sessions.values()].filter(
      ({ owner, leasedUntil, usedAt }) =>
        (owner === undefined || leasedUntil <= now) && usedAt <= now - unusedMs,
    );
    this.#drop(unused);
    return unused.map(({ key }) => key).sort(compareKeys);
  }

  async totals(): Promise<{ sessions: number; bytes: number }> {
    this.#time();
    return { sessions: this.#sessions.size, bytes: this.#totalBytes() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#sessions.clear();
    this.#blobs.clear();
  }

  #time(): number {
    if (this.#closed) throw closed();
    return Math.floor(this.#now());
  }

  #leased(lease: Lease): Held {
    this.#time();
    const session = this.#sessions.get(nameOf(lease.key));
    if (session === undefined || !isHeld(session, lease)) throw stale(lease.key, session?.fence);
    return session;
  }

  #create(key: SessionKey, meta: string): Held {
    const { maxSessions } = this.#limits;
    const { size } = this.#sessions;
    if (size >= maxSessions) throw overLimit('maxSessions', maxSessions, size + 1);
    const now = this.#time();
    const session: Held = {
      key: { tenant: key.tenant, id: key.id },
      meta,
      createdAt: now,
      usedAt: now,
      revisions: new Map(),
      present: 0,
      checkpoints: [],
      fence: 0,
      owner: undefined,
      leasedUntil: 0,
    };
    this.#sessions.set(nameOf(key), session);
    return session;
  }

  /** Makes `next` its present state, unless that is over a limit. */
  #advance(session: Held, next: Revision, named: ReadonlyMap<string, Uint8Array>): void {
    const { maxSessionBytes, maxTotalBytes } = this.#limits;
    const { revisions, present } = session;
    const blobs = this.#blobsOf(session.key.tenant);
    const added = [...named].filter(([hash]) => !blobs.has(hash));
    const before = this.#bytesOf(session);
    for (const [hash, bytes] of added) blobs.set(hash, bytes.slice());
    const isKept = (revision: number) =>
      revision !== present || session.checkpoints.some((checkpoint) => checkpoint.revision === revision);
    const kept = [...revisions].filter(([revision]) => isKept(revision));
    session.revisions = new Map([...kept, [next.revision, next]]);
    session.present = next.revision;
    const after = this.#bytesOf(session);
    const total = this.#totalBytes();
    const tooLarge = after > before && after > maxSessionBytes;
    if (!tooLarge && !(after > before && total > maxTotalBytes)) {
      this.#collect(session.key.tenant, hashesOf(revisions));
      return;
    }
    session.revisions = revisions;
    session.present = present;
    for (const [hash] of added) blobs.delete(hash);
    if (tooLarge) throw overLimit('maxSessionBytes', maxSessionBytes, after);
    throw overLimit('maxTotalBytes', maxTotalBytes, total);
  }

  #drop(sessions: readonly Held[]): void {
    for (const { key } of sessions) this.#sessions.delete(nameOf(key));
    for (const { key, revisions } of sessions) this.#collect(key.tenant, hashesOf(revisions));
  }

  /** Those that no session of the tenant needs any more. */
  #collect(tenant: string, hashes: ReadonlySet<string>): void {
    const needed = this.#needed().get(tenant);
    for (const hash of hashes) if (!needed?.has(hash)) this.#blobsOf(tenant).delete(hash);
  }

  /** Hashes by tenant. */
  #needed(): Map<string, Set<string>> {
    const needed = new Map<string, Set<string>>();
    for (const { key, revisions } of this.#sessions.values()) {
      const hashes = needed.get(key.tenant) ?? new Set();
      for (const hash of hashesOf(revisions)) hashes.add(hash);
      needed.set(key.tenant, hashes);
    }
    return needed;
  }

  #totalBytes(): number {
    let bytes = 0;
    for (const { revisions } of this.#sessions.values()) bytes += manifestBytes(revisions);
    for (const [tenant, hashes] of this.#needed()) bytes += this.#blobBytes(tenant, hashes);
    return bytes;
  }

  #bytesOf({ key, revisions }: Held): number {
    return manifestBytes(revisions) + this.#blobBytes(key.tenant, hashesOf(revisions));
  }

  #blobBytes(tenant: string, hashes: ReadonlySet<string>): number {
    const blobs = this.#blobsOf(tenant);
    return [...hashes].reduce((sum, hash) => sum + (blobs.get(hash)?.length ?? 0), 0);
  }

  #blobsOf(tenant: string): Map<string, Uint8Array> {
    const blobs = this.#blobs.get(tenant) ?? new Map<string, Uint8Array>();
    this.#blobs.set(tenant, blobs);
    return blobs;
  }

  #record(session: Held): SessionRecord {
    const { key, meta, present, checkpoints, createdAt, usedAt, owner, leasedUntil } = session;
    return {
      key,
      meta: JSON.parse(meta) as Record<string, unknown>,
      revision: present,
      storedBytes: this.#bytesOf(session),
      checkpoints: checkpoints.length,
      createdAt,
      usedAt,
      leasedBy: leasedUntil > this.#time() ? owner : undefined,
    };
  }
}

function nameOf({ tenant, id }: SessionKey): string {
  return `${tenant}\0${id}`;
}

function isHeld({ owner, fence }: Held, lease: Lease): boolean {
  return owner === lease.owner && fence === lease.fence;
}

type Revisions = ReadonlyMap<number, Revision>;

function hashesOf(revisions: Revisions): Set<string> {
  return new Set([...revisions.values()].flatMap(({ blobs }) => blobs));
}

function manifestBytes(revisions: Revisions): number {
  return [...revisions.values()].reduce((sum, { manifest }) => sum + manifest.length, 0);
}
