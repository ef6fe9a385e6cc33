/** What a store does, as plain data: a session's states are kept whole, and nothing is ever shared or collected. */
import type { Revision, StoreLimits } from '../../src/store/store.ts';

export interface ModelSession {
  tenant: string;
  id: string;
  states: Map<number, Revision>;
  present: number;
  checkpoints: Map<string, number>;
  usedAt: number;
  owner: string | undefined;
  until: number;
  /** Which acquisition of all it was. */
  acquired: number;
}

export interface ModelLease {
  tenant: string;
  id: string;
  owner: string;
  acquired: number;
}

/** Calls return what is expected: a code of an error, or what the call says. */
export class Model {
  readonly sessions = new Map<string, ModelSession>();
  readonly limits: StoreLimits;
  /** Bytes of the blobs by hash. */
  readonly sizes: ReadonlyMap<string, number>;
  now = 0;
  acquisitions = 0;

  constructor(limits: StoreLimits, sizes: ReadonlyMap<string, number>) {
    this.limits = limits;
    this.sizes = sizes;
  }

  acquire(tenant: string, id: string, owner: string, ttl: number, create: boolean): ModelLease | string {
    const name = `${tenant}/${id}`;
    const found = this.sessions.get(name);
    if (found === undefined && !create) return 'session_not_found';
    if (found === undefined && this.sessions.size >= this.limits.maxSessions) return 'session_limit';
    if (found?.owner !== undefined && found.owner !== owner && found.until > this.now) return 'session_busy';
    const session = found ?? empty(tenant, id);
    this.sessions.set(name, session);
    const acquired = ++this.acquisitions;
    Object.assign(session, { owner, until: this.now + ttl, usedAt: this.now, acquired });
    return { tenant, id, owner, acquired };
  }

  held({ tenant, id, owner, acquired }: ModelLease): ModelSession | undefined {
    const session = this.sessions.get(`${tenant}/${id}`);
    return session?.owner === owner && session.acquired === acquired ? session : undefined;
  }

  renew(lease: ModelLease, ttl: number): string {
    const session = this.held(lease);
    if (session === undefined) return 'session_stale';
    Object.assign(session, { until: this.now + ttl, usedAt: this.now });
    return 'ok';
  }

  release(lease: ModelLease): string {
    const session = this.held(lease);
    if (session !== undefined) Object.assign(session, { owner: undefined, usedAt: this.now });
    return 'ok';
  }

  save(lease: ModelLease, next: Revision, given: ReadonlySet<string>): string {
    const session = this.held(lease);
    if (session === undefined) return 'session_stale';
    const present = session.states.get(session.present);
    if (present !== undefined && JSON.stringify(plain(present)) === JSON.stringify(plain(next))) return 'ok';
    const stored = this.needed().get(session.tenant) ?? new Set();
    if (next.revision <= session.present) return 'usage';
    if (next.blobs.some((hash) => !given.has(hash) && !stored.has(hash))) return 'usage';
    const code = this.#advance(session, next);
    if (code === 'ok') session.usedAt = this.now;
    return code;
  }

  checkpoint(lease: ModelLease, name: string): string {
    const session = this.held(lease);
    if (session === undefined) return 'session_stale';
    if (session.checkpoints.has(name)) return 'usage';
    session.checkpoints.set(name, session.present);
    return 'ok';
  }

  fork(lease: ModelLease, id: string): string {
    const source = this.held(lease);
    if (source === undefined) return 'session_stale';
    const name = `${source.tenant}/${id}`;
    if (this.sessions.has(name)) return 'session_exists';
    if (this.sessions.size >= this.limits.maxSessions) return 'session_limit';
    const fork = { ...empty(source.tenant, id), usedAt: this.now };
    this.sessions.set(name, fork);
    const present = source.states.get(source.present);
    const code = present === undefined ? 'ok' : this.#advance(fork, { ...present, revision: 1 });
    if (code !== 'ok') this.sessions.delete(name);
    return code;
  }

  remove(lease: ModelLease): string {
    if (this.held(lease) === undefined) return 'session_stale';
    this.sessions.delete(`${lease.tenant}/${lease.id}`);
    return 'ok';
  }

  /** Names of those that went. */
  cull(unused: number): string[] {
    const old = [...this.sessions].filter(
      ([, { owner, until, usedAt }]) =>
        (owner === undefined || until <= this.now) && usedAt + unused <= this.now,
    );
    for (const [name] of old) this.sessions.delete(name);
    return old.map(([name]) => name).sort();
  }

  /** Hashes by tenant. */
  needed(): Map<string, Set<string>> {
    const needed = new Map<string, Set<string>>();
    for (const { tenant, states } of this.sessions.values()) {
      const before = needed.get(tenant) ?? [];
      needed.set(tenant, new Set([...before, ...[...states.values()].flatMap(({ blobs }) => blobs)]));
    }
    return needed;
  }

  bytesOf({ states }: ModelSession): number {
    const all = [...states.values()];
    return sum(all.map(({ manifest }) => manifest.length)) + this.#sizeOf(all.flatMap(({ blobs }) => blobs));
  }

  totalBytes(): number {
    const states = [...this.sessions.values()].flatMap((session) => [...session.states.values()]);
    const blobs = [...this.needed().values()].map((hashes) => this.#sizeOf([...hashes]));
    return sum(states.map(({ manifest }) => manifest.length)) + sum(blobs);
  }

  #sizeOf(hashes: readonly string[]): number {
    return sum([...new Set(hashes)].map((hash) => this.sizes.get(hash) ?? Number.NaN));
  }

  #advance(session: ModelSession, next: Revision): string {
    const before = { states: session.states, present: session.present };
    const bytesBefore = this.bytesOf(session);
    const kept = new Set(session.checkpoints.values());
    session.states = new Map([...session.states].filter(([revision]) => kept.has(revision)));
    session.states.set(next.revision, next);
    session.present = next.revision;
    const bytes = this.bytesOf(session);
    const { maxSessionBytes, maxTotalBytes } = this.limits;
    const isOver = bytes > maxSessionBytes || this.totalBytes() > maxTotalBytes;
    if (bytes <= bytesBefore || !isOver) return 'ok';
    Object.assign(session, before);
    return 'session_limit';
  }
}

export function plain({ revision, manifest, blobs }: Revision): unknown {
  return { revision, manifest: [...manifest], blobs };
}

function empty(tenant: string, id: string): ModelSession {
  const states = new Map<number, Revision>();
  const checkpoints = new Map<string, number>();
  return { tenant, id, states, present: 0, checkpoints, usedAt: 0, owner: undefined, until: 0, acquired: 0 };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
