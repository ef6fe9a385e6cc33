/** What sessions are kept in. Every store passes one contract suite: `test/store/contract.ts`. */

export interface SessionKey {
  /** '' for the runtime's own. */
  readonly tenant: string;
  readonly id: string;
}

/** The right to change a session, which one host at a time has. */
export interface Lease {
  readonly key: SessionKey;
  readonly owner: string;
  /**
   * Grows with every acquisition, and is never used again in this store, not for another session of the same id either: what comes with
   * an older one is refused, however late it comes.
   */
  readonly fence: number;
}

/** What the store knows of a session. */
export interface SessionRecord {
  readonly key: SessionKey;
  /** The name of its image, and what else whoever made it wanted kept with it; opaque. At most `maxMetaBytes` as JSON. */
  readonly meta: Readonly<Record<string, unknown>>;
  /** Of its present state; 0 as long as none was saved. */
  readonly revision: number;
  /** Of all blobs and manifests that its present state and its checkpoints need, each counted once. */
  readonly storedBytes: number;
  readonly checkpoints: number;
  /** Milliseconds since 1970, by the store's clock. */
  readonly createdAt: number;
  /** When it was last acquired, renewed, saved or released. */
  readonly usedAt: number;
  /** Somebody holds it, and the time isn't over. */
  readonly leasedBy: string | undefined;
}

/** One state of a session: a manifest, opaque to the store, and the blobs that it names. */
export interface Revision {
  readonly revision: number;
  readonly manifest: Uint8Array;
  /** SHA-256 of what each held before it was compressed, in lower-case hexadecimal. */
  readonly blobs: readonly string[];
}

export interface StoredCheckpoint {
  readonly name: string;
  readonly revision: number;
  readonly createdAt: number;
}

/** None by default. What makes a session no larger is never refused. */
export interface StoreLimits {
  /** Sessions in the store. */
  readonly maxSessions: number;
  /** Of one session's `storedBytes`. */
  readonly maxSessionBytes: number;
  /** Of all sessions. Blobs that several share count once. */
  readonly maxTotalBytes: number;
}

export const maxMetaBytes: number = 64 * 1024;
export const maxNameBytes: number = 512;

/**
 * Sessions by tenant and id. Each call happens wholly or not at all, also when the process is killed, the disk is full or the
 * connection is lost in the middle of it; what has resolved is on the disk. Calls that change a session need its lease, which
 * outlasts its time as long as nobody has acquired, released or culled the session.
 *
 * Names (tenants, ids, names of checkpoints) are at most `maxNameBytes` as UTF-8, well-formed and without NUL.
 *
 * Rejects with `SessionError`: `session_busy` (somebody else has the lease), `session_stale` (the lease was lost: another
 * host has acquired the session since, or it was removed), `session_not_found`, `session_exists`, `session_limit`; with
 * `InternalError` `store` when the store itself fails: full, not reachable (after retries), damaged, of a newer version. Its details:
 * `reason`, and `stored`: 'no', or 'unknown' when the connection was lost as the change was committed. `UsageError` `closed` after its end.
 */
export interface SessionStore extends AsyncDisposable {
  readonly kind: 'memory' | 'sqlite' | 'postgres';
  /**
   * Takes the session for `owner`, for `ttlMs` from now. With `create` one that isn't there begins; without it
   * `session_not_found`. An owner that has it already gets a new lease in place of its old one. Details of `session_busy`: `retryAfterMs`.
   */
  acquire(
    key: SessionKey,
    options: { owner: string; ttlMs: number; create?: Readonly<Record<string, unknown>> | undefined },
  ): Promise<{ lease: Lease; record: SessionRecord }>;
  /** For `ttlMs` from now; `session_stale` when it was lost. */
  renew(lease: Lease, ttlMs: number): Promise<void>;
  /** Nothing happens when it was lost. */
  release(lease: Lease): Promise<void>;
  /**
   * Makes `next` the session's present state; `usage` unless its revision is greater than the present one. The very state that is
   * present already is success: a save whose outcome is unknown can be repeated. `fresh`: the blobs, compressed, that the store may not have;
   * `usage` when it lacks one that isn't there. What nothing refers to any more goes.
   */
  save(lease: Lease, next: Revision, fresh: ReadonlyMap<string, Uint8Array>): Promise<SessionRecord>;
  record(key: SessionKey): Promise<SessionRecord | undefined>;
  /** The present state, or a checkpoint's by its revision. Undefined when there is none. */
  revision(key: SessionKey, revision?: number): Promise<Revision | undefined>;
  /** Compressed, as it was given first. `usage` unless the session's present state or a checkpoint of it names it. */
  blob(key: SessionKey, hash: string): Promise<Uint8Array>;
  /** By tenant and id, as UTF-8. `after`: the last one of the page before. Default: all. */
  list(options?: {
    tenant?: string | undefined;
    after?: SessionKey | undefined;
    limit?: number | undefined;
  }): Promise<SessionRecord[]>;
  /** Keeps the present state, also that of revision 0. `usage` when the name is taken. */
  checkpoint(lease: Lease, name: string): Promise<StoredCheckpoint>;
  /** Oldest first; none of a session that isn't there. */
  checkpoints(key: SessionKey): Promise<StoredCheckpoint[]>;
  /** A new session of the same tenant whose present state is that of the leased one, with revision 1 (0 if it has none). */
  fork(lease: Lease, id: string): Promise<SessionRecord>;
  /** With all that belongs to it. */
  remove(lease: Lease): Promise<void>;
  /** Removes those that nobody holds and that weren't used for so long; their keys. */
  cull(unusedMs: number): Promise<SessionKey[]>;
  totals(): Promise<{ sessions: number; bytes: number }>;
}
