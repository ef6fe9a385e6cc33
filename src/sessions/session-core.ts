import type { FileWrite } from '../engines/engine.ts';
import { SessionError, WorkerError } from '../errors/errors.ts';
import type { PoolContext } from '../pool/context.ts';
import { withSession } from '../pool/execution.ts';
import type { Seat } from '../pool/seat.ts';
import type { TakenRun } from '../pool/session-host.ts';
import type { Execution, FreezeReason } from '../runtime.ts';
import type { Lease, SessionKey, SessionRecord } from '../store/store.ts';
import { packBlobs } from './blobs.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { isSameState, type Manifest } from './manifest.ts';
import type { Residency } from './residency.ts';
import { Rest } from './rest.ts';
import {
  backAt,
  backAtRevision,
  isInDoubt,
  isNotFound,
  isOfStore,
  isOthers,
  isStale,
  notThere,
  outOfReach,
} from './session-errors.ts';
import type { CallPolicy, CoreParts, Watcher } from './session-parts.ts';
import { SessionTeller } from './session-teller.ts';
import { damaged, StoredState } from './stored-state.ts';
import { Turns } from './turns.ts';

/**
 * One open session, whoever has opened it here. Its state lies in a worker, in the store, or in both; `revision` counts its states. Calls
 * are one after another; what is called `run`, `change`, `settle` … here is done within a call.
 */
export class SessionCore {
  readonly key: SessionKey;
  readonly image: PoolContext['image'];
  readonly stored: StoredState;
  readonly watchers: Set<Watcher> = new Set();
  readonly #parts: CoreParts;
  readonly #teller: SessionTeller;
  readonly #residency: Residency;
  readonly #lease: LeaseKeeper;
  readonly #turns: Turns;
  /** Of the latest call. */
  #policy: CallPolicy = { durability: 'run', whenBusy: 'queue', tasks: 'keep' };
  #revision = 0;
  /** The greatest that a caller has been told. */
  #told = 0;
  #createdAt: number | undefined;
  /** What the next call has to hear: the state isn't what the one before left. */
  #loss: Error | undefined;
  #calling = false;
  /** The call under way relies on the lease. */
  #secured = false;
  #saving = false;
  /** The store has it with its tasks, whatever was asked for. */
  #keptTasks = false;
  /** When the latest call came. */
  #since = 0;
  #removed = false;
  /** The store failed: what it has isn't known. */
  #inDoubt = false;
  readonly #rest: Rest;

  constructor(key: SessionKey, image: PoolContext['image'], parts: CoreParts) {
    this.key = key;
    this.image = image;
    this.#parts = parts;
    this.#teller = new SessionTeller(parts.context.telemetry, key);
    const { name, lockHash } = image;
    const { maxResidentBytes } = parts.context.options;
    this.stored = new StoredState(parts.store, key, { name, lockHash }, maxResidentBytes);
    this.#residency = parts.residency({
      wanted: (since) => this.#rest.want(since),
      lost: (error) => this.#lost(error),
    });
    this.#lease = new LeaseKeeper(parts.store, key, parts.owner, parts.context.clock, {
      lost: (error) => this.#taken(error),
      expired: () => {
        // What idles may still be renewed later, and what is being saved the store takes only if nobody else has had the session.
        if (this.#secured && !this.#saving) this.#taken(outOfReach());
      },
    });
    this.#turns = new Turns((next) => this.#between(next));
    const { clock, options } = parts.context;
    this.#rest = new Rest(clock, options.sessions.idleTimeoutMs, () => this.#turns.nudge());
  }

  get removed(): boolean {
    return this.#removed;
  }

  get revision(): number {
    return this.#revision;
  }

  get resident(): boolean {
    return this.#residency.seat !== undefined;
  }

  get lease(): Lease {
    return this.#lease.lease;
  }

  get #unsaved(): boolean {
    return this.#revision > this.stored.revision;
  }

  /** Before it can be frozen as its callers want that. */
  get #unfrozen(): boolean {
    return this.#unsaved || (this.#keptTasks && this.#policy.tasks !== 'keep');
  }

  // ---- calls -------------------------------------------------------------------------------------------------------

  /** Takes the session, which begins with `create` when it isn't there. */
  async open(create: Readonly<Record<string, unknown>> | undefined): Promise<SessionRecord> {
    const record = await this.#lease.acquire(create);
    this.#sync(record);
    return record;
  }

  /** Does `work` when it's its turn. */
  async call<T>(policy: CallPolicy, work: () => Promise<T>): Promise<T> {
    if (policy.whenBusy === 'reject' && this.#turns.busy)
      throw new SessionError('session_busy', 'Another call of the session is under way.');
    const since = this.#now();
    const called = async () => {
      if (this.#removed) throw notThere(this.key);
      this.#since = since;
      this.#policy = policy;
      try {
        await this.#secure();
        const result = await work();
        this.#told = this.#revision;
        return result;
      } catch (error) {
        throw await this.#judge(error);
      }
    };
    return this.#turns.take(since, () => this.#attend(called));
  }

  /** What happens meanwhile is for `work` to notice. */
  async #attend<T>(work: () => Promise<T>): Promise<T> {
    this.#calling = true;
    this.#rest.end();
    this.#lease.keep(true);
    try {
      return await work();
    } finally {
      this.#calling = this.#secured = false;
      this.#lease.keep(this.resident);
      if (!this.resident) {
        if (this.#unsaved) this.#lose(new WorkerError('crashed', 'The worker was lost.'));
        this.#revision = this.#told = this.stored.revision;
      }
    }
  }

  /** The session is this runtime's own, and what is known of it is true. */
  async #secure(): Promise<void> {
    const loss = this.#loss;
    this.#loss = undefined;
    if (loss) throw loss;
    const record = await this.#lease.ensure();
    if (record && this.#createdAt !== undefined && record.createdAt !== this.#createdAt) {
      await this.#lease.release();
      throw notThere(this.key);
    }
    if (record) this.#sync(record);
    await this.#clearUp();
    this.#secured = true;
    // That may have taken long.
    await this.#lease.confirm();
  }

  /** What the store has, when it failed before. */
  async #clearUp(): Promise<void> {
    if (!this.#inDoubt) return;
    await this.#lease.renew();
    const record = await this.#parts.store.record(this.key);
    if (!record) throw notThere(this.key);
    this.#inDoubt = false;
    this.stored.sync(record);
    if (this.resident && record.revision <= this.#revision) return;
    await this.#goBack();
  }

  #sync(record: SessionRecord): void {
    this.stored.sync(record);
    this.#createdAt = record.createdAt;
    this.#revision = this.#told = record.revision;
  }

  /** What became of the session by a failure. */
  async #judge(error: unknown): Promise<unknown> {
    if (isNotFound(error)) this.#end();
    if (isStale(error)) {
      this.#lease.forget();
      this.#loss = undefined;
      await this.#goBack();
      return error;
    }
    if (isInDoubt(error)) this.#inDoubt = true;
    if (this.resident || !this.#unsaved) return error;
    await this.#goBack();
    this.#teller.lost(this.stored.revision, error);
    return this.#inDoubt ? error : backAt(error, this.#revision);
  }

  #end(): void {
    this.#removed = true;
    this.#parts.gone();
  }

  /**
   * Lets go of it when the calls before are done. For a caller's `call` it rejects with what stands in the way, and the session is
   * as before if its worker is still there; for `close`, what can't be stored is lost. `gate`: what takes memory is done when that lets it.
   */
  async shut(reason: 'call' | 'close', gate?: <T>(work: () => Promise<T>) => Promise<T>): Promise<void> {
    const shut = async () => {
      let failure: unknown;
      try {
        if (this.#unfrozen || this.#inDoubt) await this.#secure();
        await this.freeze(reason);
      } catch (error) {
        this.#inDoubt ||= isInDoubt(error);
        if (reason === 'call' && this.resident) throw error;
        failure = error;
        if (this.#unsaved) this.#teller.lost(this.stored.revision, error);
      }
      await this.#goBack();
      // It runs out, if that fails.
      await this.#lease.release().catch(() => undefined);
      failure ??= this.#loss;
      this.#loss = undefined;
      if (failure !== undefined && reason === 'call') throw failure;
    };
    await this.#turns.take(this.#now(), () => this.#attend(() => (gate ? gate(shut) : shut())));
  }

  // ---- within a call -----------------------------------------------------------------------------------------------

  /**
   * Resolves with what the run has come to, and with nothing when it was settled before it began. Its caller gets `told`.
   * `changes`: false for a question, which isn't counted as a run.
   */
  async run(
    { job, ready }: TakenRun,
    told: Promise<Execution>,
    changes: boolean,
  ): Promise<Execution | undefined> {
    await ready;
    if (job.settled) return undefined;
    const seat = await this.#seat(job);
    if (job.settled) return undefined;
    const ended = Promise.withResolvers<Execution>();
    job.onEnd = (execution) => {
      ended.resolve(this.#ended(execution, changes));
      return told;
    };
    seat.run(job);
    return ended.promise;
  }

  async change(changes: readonly FileWrite[]): Promise<void> {
    const seat = await this.#seat();
    await seat.changeFiles(changes);
    await this.#changed();
  }

  /** The store has its present state, and Python hasn't noticed. */
  async settle(): Promise<void> {
    if (this.#unsaved) await this.#save('keep');
  }

  async freeze(reason: FreezeReason): Promise<void> {
    const worker = this.#residency.seat?.worker.id;
    if (worker === undefined) return;
    const startedAt = this.#now();
    if (this.#unfrozen) await this.#save(this.#policy.tasks);
    await this.#giveBack();
    const ms = this.#now() - startedAt;
    this.#teller.frozen({ worker, reason, ms });
  }

  /** That is its state from now on, and what its worker has is of no use. Of blobs that the store has, but for the `fresh` ones. */
  async replace(manifest: Manifest, fresh: ReadonlyMap<string, Uint8Array> = new Map()): Promise<void> {
    await this.#fenced(() => this.#put(Math.max(this.#revision, this.#told) + 1, manifest, fresh));
    await this.#giveBack();
    this.#revision = this.stored.revision;
  }

  async remove(): Promise<void> {
    await this.#giveBack();
    this.#revision = this.stored.revision;
    await this.#parts.store.remove(this.lease);
    this.#lease.forget();
    this.#end();
  }

  /** Its worker, with its state in it. */
  async #seat(job?: TakenRun['job']): Promise<Seat> {
    const { seat: present } = this.#residency;
    if (present) {
      present.use();
      return present;
    }
    const { seat, ms, bytes } = await this.#residency.thaw(this.stored, this.#since, job, damaged);
    const worker = seat.worker.id;
    this.#teller.trace('thawed', this.stored.revision);
    this.#teller.thawed({ worker, ms, bytes });
    return seat;
  }

  /** Python came to an end, or its worker. */
  async #ended(execution: Execution, changes: boolean): Promise<Execution> {
    const { id } = this.key;
    if (execution.worker.lost) {
      await this.#goBack();
      const loss = this.#loss;
      this.#loss = undefined;
      if (loss) throw loss;
      this.#teller.lost(
        this.stored.revision,
        new WorkerError('crashed', execution.error?.value ?? 'The worker was lost.'),
      );
      const session = { id, revision: this.#revision };
      return withSession(execution, { session, persistMs: 0, note: backAtRevision(this.#revision) });
    }
    if (!changes) return execution;
    const startedAt = this.#now();
    try {
      await this.#changed();
    } catch (error) {
      throw await this.#judge(error);
    }
    this.#told = this.#revision;
    const session = { id, revision: this.#revision };
    return withSession(execution, { session, persistMs: this.#now() - startedAt });
  }

  /** It has another state. What is durable but can't be stored didn't happen. */
  async #changed(): Promise<void> {
    this.#revision++;
    if (this.#policy.durability === 'run') {
      try {
        await this.#save(this.#policy.tasks);
      } catch (error) {
        await this.#giveBack();
        throw error;
      }
      return;
    }
    try {
      if (this.watchers.size > 0)
        await this.#save('keep').catch((error: unknown) => {
          if (isOthers(error)) throw error;
          this.#teller.failed('what it changed is not told', error);
        });
      if (this.#unsaved) await this.#lease.confirm();
    } catch (error) {
      await this.#giveBack();
      throw error;
    }
  }

  #save(tasks: CallPolicy['tasks']): Promise<void> {
    return this.#fenced(() => this.#saveNow(tasks));
  }

  /** What the store takes from nobody but who has the session. */
  async #fenced(work: () => Promise<void>): Promise<void> {
    this.#saving = true;
    try {
      await work();
    } finally {
      this.#saving = false;
    }
  }

  async #saveNow(tasks: CallPolicy['tasks']): Promise<void> {
    const frozen = await this.#residency.freeze({ tasks });
    this.#teller.cancelled(frozen.cancelled);
    this.#teller.trace('frozen', this.#revision);
    const before = await this.stored.manifest();
    const { header, blobs } = frozen.delta;
    const { hashes, fresh } = await packBlobs(blobs, new Set(before.blobs));
    const manifest: Manifest = { ...this.stored.blank, pyodide: frozen.pyodide, header, blobs: hashes };
    // A revision that was told has to be there.
    if (this.stored.revision > 0 && this.#told === this.stored.revision && isSameState(before, manifest))
      this.#revision = this.stored.revision;
    else await this.#put(Math.max(this.#revision, this.stored.revision + 1), manifest, fresh);
    this.#keptTasks = tasks === 'keep';
  }

  async #put(revision: number, manifest: Manifest, fresh: ReadonlyMap<string, Uint8Array>): Promise<void> {
    const startedAt = this.#now();
    const before = this.watchers.size > 0 ? await this.stored.manifest() : undefined;
    const bytes = await this.stored.save(this.lease, revision, manifest, fresh);
    // Also when somebody has taken the session meanwhile: that was later.
    this.#revision = revision;
    this.#teller.trace('saved', revision);
    const ms = this.#now() - startedAt;
    this.#teller.saved({ revision, ms, bytes });
    if (before) for (const tell of this.watchers) tell(before, manifest);
  }

  // ---- between calls -----------------------------------------------------------------------------------------------

  async #between(next: number | undefined): Promise<void> {
    const { seat } = this.#residency;
    if (!seat) return;
    await seat.whenReady();
    if (!this.resident) return;
    if (this.#rest.isPostponed) {
      if (next === undefined) this.#rest.begin();
      return;
    }
    // The pool may ask for it at once.
    seat.rest();
    const reason = this.#rest.reason(next);
    if (reason && this.resident) {
      await this.#attend(() => this.#evict(seat, reason));
      // What could not be given back is looked at again.
      if (this.resident) this.#turns.nudge();
    } else if (next === undefined && this.resident) this.#rest.begin();
  }

  async #evict(seat: Seat, reason: FreezeReason): Promise<void> {
    seat.use();
    this.#rest.clear();
    try {
      if (this.#unfrozen || this.#inDoubt) {
        await this.#lease.ensure();
        await this.#clearUp();
        this.#secured = true;
      }
      await this.freeze(reason);
    } catch (error) {
      this.#inDoubt ||= isInDoubt(error);
      // Nobody needs the worker of one that idles; for others what the store doesn't take now is kept, too.
      if (this.resident && (isOfStore(error) || (reason === 'idle' && !isOthers(error)))) {
        this.#teller.failed('it could not be stored, and keeps its worker for now', error);
        if (isOfStore(error)) this.#rest.postpone();
        seat.keep();
        return;
      }
      if (isStale(error)) this.#lease.forget();
      await this.#giveBack();
      if (this.#unsaved) this.#lose(error);
    }
  }

  // ---- losses ------------------------------------------------------------------------------------------------------

  /** Its worker is gone. A call that is under way hears of it by itself. */
  #lost(error: Error): void {
    if (this.#calling) return;
    this.#rest.clear();
    this.#lease.keep(false);
    if (this.#unsaved) this.#lose(error);
  }

  /** What came after the revision that is stored is lost: the next call is told. */
  #lose(error: unknown): void {
    this.#loss = isStale(error) && error instanceof Error ? error : backAt(error, this.stored.revision);
    this.#revision = this.#told = this.stored.revision;
    this.#teller.lost(this.stored.revision, error);
  }

  /** Somebody else has the session, or may have it. */
  #taken(error: SessionError): void {
    this.#loss = error;
    this.#lease.keep(false);
    this.#revision = this.#told = this.stored.revision;
    this.#residency.abandon(error.message);
  }

  async #goBack(): Promise<void> {
    await this.#giveBack();
    this.#revision = this.#told = this.stored.revision;
  }

  async #giveBack(): Promise<void> {
    this.#rest.clear();
    this.#keptTasks = false;
    await this.#residency.giveBack();
    this.stored.forget();
  }

  #now(): number {
    return this.#parts.context.clock.now();
  }
}
