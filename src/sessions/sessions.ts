import { SessionError, UsageError } from '../errors/errors.ts';
import type { PoolContext } from '../pool/context.ts';
import { type Job, ownTenant } from '../pool/job.ts';
import { attempt } from '../pool/listeners.ts';
import type { Pool } from '../pool/pool.ts';
import type { SessionHost, SessionOpener } from '../pool/session-host.ts';
import type { Session, SessionInfo, SessionOptions } from '../session.ts';
import type { SessionKey, SessionRecord, SessionStore } from '../store/store.ts';
import type { Timer } from '../util/clock.ts';
import { carry } from './carry.ts';
import { leaseTtlMs } from './lease-keeper.ts';
import { LocalSession } from './local-session.ts';
import { assertImage } from './manifest.ts';
import { Residency } from './residency.ts';
import { type BytesOptions, decodeSession, type PortableSession } from './session-bytes.ts';
import { SessionCore } from './session-core.ts';
import { metaOf, readMeta } from './session-meta.ts';
import { assertSessionId, type CheckedSession, checkList, checkSession } from './session-options.ts';
import type { CallPolicy } from './session-parts.ts';

/** Between two looks for sessions that nobody uses any more: a part of the time that they may be unused, an hour at most. */
const cullShare = 10;
const longestCullMs = 3_600_000;
const pageSize = 500;
/** When all are: each takes as much of the host's memory as it differs by from its image. */
const freezesAtOnce = 2;
const ownPolicy = { durability: 'run', whenBusy: 'queue', tasks: 'keep' } as const;

/** A session that is open here, is being opened, or is being closed. */
interface Entry {
  readonly name: string;
  readonly ready: Promise<SessionCore>;
  readonly handles: Set<LocalSession>;
  /** How many are about to have it open. */
  opening: number;
  closing: Promise<void> | undefined;
}

/** The sessions of one pool: those that are open here, and the store that has all. */
export class Sessions implements SessionHost {
  readonly #pool: Pool;
  readonly #context: PoolContext;
  readonly #openStore: () => Promise<SessionStore>;
  readonly #owner: string = crypto.randomUUID();
  readonly #entries: Map<string, Entry> = new Map();
  #store: SessionStore | undefined;
  #opening: Promise<SessionStore> | undefined;
  #cullTimer: Timer | undefined;
  #closing: Promise<void> | undefined;

  constructor(pool: Pool, context: PoolContext, openStore: () => Promise<SessionStore>) {
    this.#pool = pool;
    this.#context = context;
    this.#openStore = openStore;
  }

  /** Of a session that is open. */
  get store(): SessionStore {
    if (!this.#store) throw new TypeError('The store is not open.');
    return this.#store;
  }

  get bytesOptions(): BytesOptions {
    const { key, maxBytes } = this.#context.options.sessions;
    return { key, maxBytes };
  }

  reject(job: Job, error: unknown): void {
    this.#pool.reject(job, error);
  }

  /** Of a listener. */
  tellFault(error: unknown): void {
    const { logger } = this.#context.options;
    attempt(() => logger?.error({ error }, 'a listener of a session threw'));
  }

  // ---- open --------------------------------------------------------------------------------------------------------

  async open(id: string, options: SessionOptions | undefined, opener: SessionOpener): Promise<Session> {
    assertSessionId(id);
    const checked = checkSession(options);
    const key = { tenant: checked.tenant ?? ownTenant, id };
    const { bytes } = checked;
    const portable = bytes && (await decodeSession(bytes, key.tenant, this.bytesOptions));
    const store = await this.#opened();
    opener.assertOpen();
    const begin = (gone: () => void) => this.#begin(store, key, checked, portable, opener, gone);
    const { entry, isNew } = await this.#entry(key, begin);
    try {
      const core = await entry.ready;
      if (!isNew && portable) throw exists(id);
      if (!isNew && checked.request) assertImage(core.stored.blank, await opener.find(checked.request));
      opener.assertOpen();
      const { durability = this.#context.options.sessions.durability } = checked;
      const { whenBusy = 'queue', tasks = 'keep' } = checked;
      const policy: CallPolicy = { durability, whenBusy, tasks };
      const session = new LocalSession({ core, sessions: this, opener, policy });
      entry.handles.add(session);
      return session;
    } finally {
      entry.opening--;
      await this.#letGo(entry).catch(() => undefined);
    }
  }

  /** The one of that key, with `opening` for the caller: it isn't closed as long as that lasts. */
  async #entry(
    key: SessionKey,
    begin: (gone: () => void) => Promise<SessionCore>,
  ): Promise<{ entry: Entry; isNew: boolean }> {
    const name = nameOf(key);
    for (;;) {
      if (this.#closing) throw new UsageError('closed', 'The runtime is closed.');
      const present = this.#entries.get(name);
      if (!present) {
        const forget = (error: unknown) => {
          this.#forget(entry);
          throw error;
        };
        const ready = begin(() => this.#forget(entry)).catch(forget);
        const entry: Entry = { name, ready, handles: new Set(), opening: 1, closing: undefined };
        this.#entries.set(name, entry);
        return { entry, isNew: true };
      }
      if (!present.closing) {
        present.opening++;
        // Who has begun it hears what went wrong with that; others try themselves.
        const isThere = await present.ready.then(
          () => true,
          () => false,
        );
        if (isThere) return { entry: present, isNew: false };
      } else await present.closing.catch(() => undefined);
    }
  }

  async #begin(
    store: SessionStore,
    key: SessionKey,
    { create = true, request }: CheckedSession,
    portable: PortableSession | undefined,
    opener: SessionOpener,
    gone: () => void,
  ): Promise<SessionCore> {
    const found = await store.record(key);
    if (found && portable) throw exists(key.id);
    const image = await opener.find(request ?? (found && readMeta(found).request));
    if (portable) assertImage(portable.manifest, image);
    const { tenant } = key;
    const core = new SessionCore(key, image, {
      context: this.#context,
      store,
      owner: this.#owner,
      residency: (holder) =>
        new Residency({ pool: this.#pool, context: this.#context, image, tenant }, holder),
      gone,
    });
    const record = await core.open(create ? metaOf(request, image) : undefined);
    try {
      const { name, lockHash } = readMeta(record);
      assertImage({ ...core.stored.blank, image: { name, lockHash } }, image);
      if (portable) await this.#import(core, portable);
      return core;
    } catch (error) {
      await core.shut('close');
      throw error;
    }
  }

  async #import(core: SessionCore, { manifest, blobs }: PortableSession): Promise<void> {
    if (core.revision > 0) throw exists(core.key.id);
    try {
      await core.call(ownPolicy, () => core.replace(manifest, blobs));
    } catch (error) {
      await core.call(ownPolicy, () => core.remove()).catch(() => undefined);
      throw error;
    }
  }

  // ---- close -------------------------------------------------------------------------------------------------------

  /** One caller lets go of it; it's frozen with the last one. Rejects when that isn't possible: the caller still has it then. */
  async release(session: LocalSession): Promise<void> {
    const entry = this.#entries.get(nameOf(session.core.key));
    if (!entry?.handles.delete(session)) return;
    try {
      await this.#letGo(entry);
    } catch (error) {
      if (session.core.resident) entry.handles.add(session);
      throw error;
    }
  }

  /** Closes it when nobody has it open. */
  async #letGo(entry: Entry): Promise<void> {
    if (entry.closing || entry.handles.size + entry.opening > 0) return;
    const close = async () => {
      const core = await entry.ready.catch(() => undefined);
      try {
        await core?.shut('call');
      } finally {
        if (!core?.resident) this.#forget(entry);
      }
    };
    entry.closing = close();
    try {
      await entry.closing;
    } finally {
      entry.closing = undefined;
    }
  }

  /** It's neither open any more nor there. */
  #forget(entry: Entry): void {
    if (this.#entries.get(entry.name) === entry) this.#entries.delete(entry.name);
  }

  async leave(opener: SessionOpener): Promise<void> {
    const own = [...this.#entries.values()].flatMap(({ handles }) => [...handles]);
    await Promise.allSettled(
      own.filter((session) => session.opener === opener).map((session) => session.close()),
    );
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // `#closing` has to be set before anything is done.
    await undefined;
    this.#cullTimer?.cancel();
    const gate = gateOf(freezesAtOnce);
    const shut = async ({ ready, closing }: Entry) => {
      const core = await ready.catch(() => undefined);
      await closing?.catch(() => undefined);
      await core?.shut('close', gate);
    };
    await Promise.allSettled([...this.#entries.values()].map(shut));
    const store = await this.#opening?.catch(() => undefined);
    await store?.[Symbol.asyncDispose]();
  }

  async remove(id: string, options: { tenant?: string | undefined } | undefined): Promise<void> {
    assertSessionId(id);
    const { tenant = ownTenant } = checkList(options);
    const key = { tenant, id };
    const store = await this.#opened();
    const core = await this.#entries.get(nameOf(key))?.ready.catch(() => undefined);
    if (core) await core.call(ownPolicy, () => core.remove());
    else {
      const { lease } = await store.acquire(key, { owner: this.#owner, ttlMs: leaseTtlMs });
      await store.remove(lease);
    }
  }

  // ---- the store ---------------------------------------------------------------------------------------------------

  async #opened(): Promise<SessionStore> {
    if (this.#closing) throw new UsageError('closed', 'The runtime is closed.');
    this.#opening ??= this.#openStore();
    try {
      this.#store = await this.#opening;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
    if (!this.#cullTimer) this.#cull(this.#store);
    return this.#store;
  }

  /** Now and from now on. */
  #cull(store: SessionStore): void {
    const { clock, telemetry, options } = this.#context;
    const { cullTimeoutMs } = options.sessions;
    if (cullTimeoutMs === Infinity) return;
    const cull = async () => {
      try {
        for (const { id, tenant } of await store.cull(cullTimeoutMs))
          telemetry.emit({ type: 'session:cull', session: id, tenant });
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        if (!this.#closing)
          telemetry.emit({ type: 'warning', message: `Sessions could not be culled: ${why}` });
      }
    };
    const again = () => {
      if (this.#closing) return;
      const ms = Math.min(longestCullMs, Math.max(1000, cullTimeoutMs / cullShare));
      this.#cullTimer = clock.setTimeout(() => this.#cull(store), ms, { unref: true });
    };
    again();
    void cull();
  }

  async list(options: { tenant?: string | undefined } | undefined): Promise<SessionInfo[]> {
    const { tenant } = checkList(options);
    const store = await this.#opened();
    const found: SessionRecord[] = [];
    for (;;) {
      const page = await store.list({ tenant, after: found.at(-1)?.key, limit: pageSize });
      found.push(...page);
      if (page.length < pageSize) break;
    }
    return Promise.all(found.map((record) => this.#infoOf(record)));
  }

  async #infoOf(record: SessionRecord): Promise<SessionInfo> {
    const { key, storedBytes, checkpoints, createdAt, usedAt, leasedBy } = record;
    const core = await this.#entries.get(nameOf(key))?.ready.catch(() => undefined);
    const elsewhere = leasedBy !== undefined && leasedBy !== this.#owner;
    return {
      id: key.id,
      tenant: key.tenant,
      image: readMeta(record).name,
      revision: core?.revision ?? record.revision,
      status: core?.resident ? 'resident' : elsewhere ? 'elsewhere' : 'frozen',
      storedBytes,
      checkpoints,
      createdAt,
      usedAt,
    };
  }

  // ---- without a store ---------------------------------------------------------------------------------------------

  carry(job: Job, bytes: Uint8Array): Promise<void> {
    return carry(job, bytes, this.#pool, this.#context, this.bytesOptions);
  }
}

/** Lets so many work at a time, in the order of their coming. */
function gateOf(free: number): <T>(work: () => Promise<T>) => Promise<T> {
  let left = free;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (left > 0) left--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else left++;
    }
  };
}

function nameOf({ tenant, id }: SessionKey): string {
  return JSON.stringify([tenant, id]);
}

function exists(id: string): SessionError {
  return new SessionError('session_exists', `There is a session '${id}' already.`);
}
