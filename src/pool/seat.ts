import type { FileWrite, FreezeOptions, Frozen, Worker } from '../engines/engine.ts';
import { SessionError, UsageError } from '../errors/errors.ts';
import type { Delta } from '../image/delta.ts';
import type { ImageSource } from '../packages/image-source.ts';
import type { Progress } from '../runtime.ts';
import { imageKey } from './images.ts';
import type { Job } from './job.ts';
import type { Place } from './lines.ts';
import type { Slot } from './slot.ts';

/** Of a heap of gigabytes on a slow machine; a worker that takes longer hangs. */
const workLimitMs = 120_000;

/** What a pool tells the session that has a seat. */
export interface SeatHolder {
  /**
   * It should be given back before any call that came after `since` (by the clock; -Infinity: before any further one). At once
   * when it rests.
   */
  wanted(since: number): void;
  /** The worker is gone, with the session's state. */
  lost(error: Error): void;
}

/** What a pool does for a seat. */
export interface SeatPool {
  start(job: Job, slot: Slot): void;
  changed(): void;
  giveBack(slot: Slot): void;
}

/** A session's call that waits for a worker, in the same lines as runs. */
export class SeatRequest {
  readonly image: ImageSource;
  readonly key: string;
  readonly tenant: string;
  readonly isolation: 'rewind' | 'process';
  /** When the call came. */
  readonly since: number;
  /** The run that waits for it, if one does: it has been taken in already. */
  readonly job: Job | undefined;
  readonly holder: SeatHolder;
  place: Place | undefined;
  readonly #granted: PromiseWithResolvers<Seat> = Promise.withResolvers<Seat>();

  constructor(
    wish: Pick<SeatRequest, 'image' | 'tenant' | 'isolation' | 'since' | 'job'>,
    holder: SeatHolder,
  ) {
    this.image = wish.image;
    this.key = imageKey(wish.image);
    this.tenant = wish.tenant;
    this.isolation = wish.isolation;
    this.since = wish.since;
    this.job = wish.job;
    this.holder = holder;
    // Who gave up waiting needn't look.
    this.#granted.promise.catch(() => undefined);
  }

  get granted(): Promise<Seat> {
    return this.#granted.promise;
  }

  progress(progress: Progress): void {
    if (this.job && !this.job.settled) this.job.progress(progress);
  }

  grant(seat: Seat): void {
    this.#granted.resolve(seat);
  }

  reject(error: unknown): void {
    this.#granted.reject(error);
  }
}

/** A worker that a session has for itself, until it gives it back or the worker is gone. One call at a time. */
export class Seat {
  readonly #slot: Slot;
  readonly #pool: SeatPool;
  readonly #holder: SeatHolder;
  /** Pending while a run of the session, or what comes after it, goes on. */
  #ready: PromiseWithResolvers<void> | undefined;
  #lost: Error | undefined;
  #over = false;

  constructor(slot: Slot, { tenant, holder }: SeatRequest, pool: SeatPool) {
    this.#slot = slot;
    this.#pool = pool;
    this.#holder = holder;
    slot.hold(tenant, {
      wanted: (since) => {
        if (!this.#over) this.#holder.wanted(since);
      },
      ready: () => this.#ready?.resolve(),
      lost: (error) => this.#gone(error),
    });
  }

  get worker(): { id: string; pyodide: string } {
    return this.#slot.description;
  }

  /** Resolves, never rejects, when the run before is over or the worker is gone. */
  async whenReady(): Promise<void> {
    await this.#ready?.promise.catch(() => undefined);
  }

  /** Runs it where the session left off. The job is settled like every other. Throws when the worker is gone. */
  run(job: Job): void {
    if (this.#lost) throw this.#lost;
    this.#ready = Promise.withResolvers<void>();
    // Whoever works with the seat next hears of it.
    this.#ready.promise.catch(() => undefined);
    this.#pool.start(job, this.#slot);
  }

  /** Rejects with `not_freezable`, and the state is still there; with anything else, and the worker is gone. */
  freeze(options: FreezeOptions): Promise<Frozen> {
    return this.#work('Freezing a session', (worker) => worker.freeze(options), isUnfreezable);
  }

  /** When it rejects the worker is gone. */
  thaw(delta: Delta): Promise<void> {
    return this.#work(
      'Thawing a session',
      (worker) => worker.thaw(delta),
      () => false,
    );
  }

  /** Rejects with `usage`, and the state is as before; with anything else, and the worker is gone. */
  changeFiles(changes: readonly FileWrite[]): Promise<void> {
    return this.#work('Changing files of a session', (worker) => worker.changeFiles(changes), isCallers);
  }

  /** The session doesn't use it now, and may be asked to give it back. */
  rest(): void {
    if (this.#slot.state.name !== 'held' || this.#slot.resting) return;
    this.#slot.rest();
    this.#pool.changed();
  }

  use(): void {
    if (this.#slot.resting) this.#slot.use();
  }

  /** It can't be given back now. It may be asked for again. */
  keep(): void {
    this.#slot.asked = undefined;
    this.#pool.changed();
  }

  /** Gives the worker back, with what is in it. Nothing comes of the seat any more. */
  release(): void {
    if (this.#over) return;
    this.#over = true;
    if (!this.#lost) this.#pool.giveBack(this.#slot);
  }

  /** Ends the worker: somebody else has the session. */
  abandon(message: string): void {
    if (!this.#lost) this.#slot.abandon({ code: 'interrupted', message });
  }

  async #work<T>(
    what: string,
    work: (worker: Worker) => Promise<T>,
    spares: (error: unknown) => boolean,
  ): Promise<T> {
    await this.#ready?.promise;
    if (this.#lost) throw this.#lost;
    try {
      return await this.#slot.work(what, workLimitMs, work);
    } catch (error) {
      if (!spares(error)) this.#slot.spoil(error);
      throw error instanceof SessionError ? error : (this.#lost ?? error);
    }
  }

  #gone(error: Error): void {
    this.#lost = error;
    this.#ready?.reject(error);
    if (this.#over) return;
    this.#over = true;
    this.#holder.lost(error);
  }
}

function isUnfreezable(error: unknown): boolean {
  return error instanceof SessionError && error.code === 'not_freezable';
}

function isCallers(error: unknown): boolean {
  return error instanceof UsageError;
}
