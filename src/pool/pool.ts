import { UsageError } from '../errors/errors.ts';
import type { Execution, Progress, RuntimeStats, RuntimeStatus, WorkerHealth } from '../runtime.ts';
import type { PoolContext } from './context.ts';
import { Crew } from './crew.ts';
import { HealthChecks } from './health-checks.ts';
import { imageKey } from './images.ts';
import { Job } from './job.ts';
import { type Guest, Lines, type Place } from './lines.ts';
import { Pace } from './pace.ts';
import { noWorker, PoolStatus } from './pool-status.ts';
import { Seat, type SeatPool, type SeatRequest } from './seat.ts';
import type { Slot } from './slot.ts';
import type { After } from './slot-state.ts';

export const defaultCloseGraceMs = 5000;

/**
 * Gives runs to workers of their image and tenant. Tenants take turns, and each one's runs are first come, first served:
 * a run without a worker lets those behind it have the workers of theirs, until it's its turn for a place. Each run that
 * is taken ends in exactly one way.
 */
export class Pool {
  readonly #context: PoolContext;
  readonly #own: string;
  readonly #crew: Crew;
  readonly #lines: Lines = new Lines();
  readonly #running: Set<Job> = new Set();
  /** Taken in, but their image is being found or their files read. */
  readonly #reading: Set<Job> = new Set();
  readonly #health: HealthChecks;
  readonly #status: PoolStatus;
  readonly #pace: Pace = new Pace();
  readonly #seats: SeatPool = {
    start: (job, slot) => this.#startIn(slot, job, 'hold'),
    changed: () => this.#balance(),
    giveBack: (slot) => this.#crew.giveBack(slot),
  };
  #lastError: Error | undefined;
  #closing: Promise<void> | undefined;
  #balancing = false;
  #unbalanced = false;

  constructor(context: PoolContext) {
    this.#context = context;
    this.#own = imageKey(context.image);
    this.#status = new PoolStatus(context);
    this.#crew = new Crew(context, this.#lines, {
      changed: () => this.#balance(),
      finished: (job, execution) => this.#finished(job, execution),
      progress: (key, progress) => this.#progress(key, progress),
      bootFailed: (key, error) => this.#bootFailed(key, error),
      failed: (error) => {
        this.#lastError = error;
      },
    });
    this.#health = new HealthChecks(context, () => this.#crew.slots.filter((slot) => slot.live));
  }

  /** As long as it isn't being closed: what follows is its runtimes' own. */
  get status(): RuntimeStatus {
    return this.#status.present;
  }

  get lastError(): Error | undefined {
    return this.#lastError;
  }

  /** Something waits or runs. */
  get busy(): boolean {
    return this.#running.size + this.#lines.size > 0;
  }

  get #waiting(): number {
    return this.#lines.size + this.#reading.size;
  }

  // ---- runs --------------------------------------------------------------------------------------------------------

  /** Takes the run in, or rejects it. From now on it has a place, also while its image is found and its files read. */
  admit(job: Job): boolean {
    const refusal = this.#refusal(job) ?? (job.image && this.#unavailable(job));
    if (refusal) this.reject(job, refusal);
    else this.#reading.add(job);
    return !refusal;
  }

  /** Queues a run that was taken in and has its message. */
  submit(job: Job): void {
    this.#reading.delete(job);
    this.#crew.start();
    this.#lines.push(job, this.#context.clock.now());
    job.handle.status(this.#crew.isLive(job) ? 'queued' : 'booting');
    this.#balance();
  }

  /** Takes the run out of the queue, or interrupts it. */
  abort(job: Job): void {
    if (job.settled) return;
    if (job.slot) {
      if (!job.ended) job.slot.stop();
      return;
    }
    this.#lines.remove(job);
    this.#settle(
      job,
      job.abandoned(
        { code: 'interrupted', message: 'Interrupted before it started.' },
        this.#context.clock.now(),
      ),
    );
    this.#balance();
  }

  /** Kills the worker that runs it. */
  abandon(job: Job, message: string): void {
    if (job.settled) return;
    if (!job.slot) this.abort(job);
    else if (!job.ended) job.slot.abandon({ code: 'interrupted', message });
  }

  /** Rejects a run that hasn't started. */
  withdraw(job: Job, error: Error): void {
    this.#lines.remove(job);
    this.reject(job, error);
    this.#balance();
  }

  reject(job: Job, error: unknown): void {
    if (job.settled) return;
    this.#reading.delete(job);
    this.#context.telemetry.counters.rejected++;
    job.reject(error);
  }

  #refusal({ tenant }: Guest): Error | undefined {
    if (!this.#hasRoom(tenant)) {
      const { maxWorkers, maxQueue } = this.#context.options;
      const waiting = this.#waiting;
      const running = this.#running.size;
      const retryAfterMs = this.#pace.estimate(waiting / maxWorkers);
      return new UsageError(
        'queue_full',
        `The queue is full: ${waiting} runs wait for ${maxWorkers} workers.`,
        { details: { waiting, running, maxQueue, maxWorkers, ...(retryAfterMs && { retryAfterMs }) } },
      );
    }
    return undefined;
  }

  /** Who has nothing in a full queue may still wait with one run, as long as it isn't twice as long: a flood is its sender's. */
  #hasRoom(tenant: string): boolean {
    const { maxWorkers, maxQueue } = this.#context.options;
    const free = maxWorkers + maxQueue - this.#running.size - this.#waiting;
    if (free > 0) return true;
    if (free <= -maxQueue || this.#lines.has(tenant)) return false;
    return ![...this.#running, ...this.#reading].some((job) => job.tenant === tenant);
  }

  #unavailable(guest: Guest): Error | undefined {
    const cause = guest.key === this.#own ? this.#crew.outage : undefined;
    if (!cause || this.#crew.canServe(guest)) return undefined;
    return noWorker(cause);
  }

  #start(job: Job, slot: Slot): void {
    const { options } = this.#context;
    const last = slot.runs + 1 >= options.recycle.maxRequests;
    const after: After = job.isolation === 'process' ? 'discard' : job.isolation;
    // Rewinding a worker for its successor's sake would be wasted.
    this.#startIn(slot, job, last && after === 'rewind' ? 'discard' : after);
  }

  #startIn(slot: Slot, job: Job, after: After): void {
    this.#reading.delete(job);
    this.#running.add(job);
    this.#context.telemetry.counters.started++;
    slot.run(job, after);
  }

  // ---- sessions ----------------------------------------------------------------------------------------------------

  /** A clean worker for a session alone, when it's its turn. Rejects as runs do. */
  seat(request: SeatRequest): Promise<Seat> {
    const { job } = request;
    const closed = this.#closing && new UsageError('closed', 'The runtime is closed.');
    const refusal = closed ?? (job ? undefined : this.#refusal(request)) ?? this.#unavailable(request);
    if (refusal) {
      request.reject(refusal);
      return request.granted;
    }
    // It waits in the lines instead.
    if (job) this.#reading.delete(job);
    this.#crew.start();
    this.#lines.push(request, request.since);
    job?.handle.status(this.#crew.isLive(request) ? 'queued' : 'booting');
    this.#balance();
    return request.granted;
  }

  /** Nobody waits for it any more. */
  withdrawSeat(request: SeatRequest): void {
    if (!this.#lines.remove(request)) return;
    request.reject(new UsageError('closed', 'Nobody waits for the worker any more.'));
    this.#balance();
  }

  #seat(request: SeatRequest, slot: Slot): void {
    const { job } = request;
    if (job && !job.settled) this.#reading.add(job);
    request.grant(new Seat(slot, request, this.#seats));
  }

  #finished(job: Job, execution: Execution): void {
    this.#running.delete(job);
    this.#lines.hadTurn(job.tenant);
    this.#pace.note(execution.timings.runMs);
    this.#settle(job, execution);
  }

  #settle(job: Job, execution: Execution): void {
    this.#reading.delete(job);
    const { counters } = this.#context.telemetry;
    counters.completed++;
    switch (execution.status) {
      case 'ok':
        break;
      case 'error':
      case 'oom':
        counters.failed++;
        break;
      case 'timeout':
        counters.timeouts++;
        break;
      case 'interrupted':
        counters.interrupted++;
        break;
      case 'crashed':
        counters.crashes++;
        break;
      default:
        execution.status satisfies never;
    }
    job.settle(execution);
  }

  #progress(key: string, progress: Progress): void {
    this.#context.telemetry.emit({ type: 'progress', progress });
    for (const guest of this.#lines.of(key)) guest.progress(progress);
  }

  // ---- balance -----------------------------------------------------------------------------------------------------

  /** After every change: gives waiting runs to idle workers and has missing ones booted. */
  #balance(): void {
    this.#unbalanced = true;
    // What it does reports back here; the outer call sees to that.
    if (this.#balancing) return;
    this.#balancing = true;
    try {
      while (this.#unbalanced) {
        this.#unbalanced = false;
        this.#dispatch();
        this.#crew.fill();
        // A spare may have stepped in.
        this.#dispatch();
        this.#crew.reclaim(this.#lines);
        if (this.#crew.outage) this.#rejectUnservable();
      }
    } finally {
      this.#balancing = false;
    }
    const closing = this.#closing !== undefined;
    this.#status.update({
      crew: this.#crew,
      queued: this.#lines.size,
      running: this.#running.size,
      closing,
    });
    if (this.#crew.live > 0 && !closing) this.#health.schedule();
  }

  #dispatch(): void {
    // Each run that starts moves its line up. Without an idle worker none starts, and none gives way.
    while (this.#crew.hasIdle && this.#startNext());
    const { image, clock } = this.#context;
    if (this.#status.awaited) this.#crew.makeWay({ image, key: this.#own, since: clock.now() });
  }

  /** The first that finds a worker, or rather whose turn it is; those before it have workers make way for them. */
  #startNext(): boolean {
    const heads = this.#lines.heads();
    return heads.some((place) => this.#startOrMakeWay(place, heads));
  }

  #startOrMakeWay(place: Place, heads: readonly Place[]): boolean {
    const guest = place.entry.item;
    // What is told on the way may have ended it.
    if (guest.place !== place) return false;
    let slot = this.#crew.take(guest);
    // A spare that takes the other's place is for this run, not for those behind it.
    if (!slot && this.#crew.makeWay(place, heads)) slot = this.#crew.take(guest);
    if (!slot || !this.#lines.start(guest)) return slot !== undefined;
    if (guest instanceof Job) this.#start(guest, slot);
    else this.#seat(guest, slot);
    return true;
  }

  /** Without it runs would wait for workers that don't come. */
  #rejectUnservable(): void {
    for (const guest of this.#lines.of(this.#own)) {
      const error = this.#unavailable(guest);
      if (error) this.#turnAway(guest, error);
    }
  }

  #bootFailed(key: string, error: Error): void {
    const { pool } = this.#context.options;
    // Of the runtime's own image it's tried again, until the circuit opens.
    if (pool && key === this.#own) return;
    const waiting = this.#lines.of(key);
    const given = pool ? waiting.filter((guest) => !this.#crew.hasAny(guest)) : waiting.slice(0, 1);
    for (const guest of given) this.#turnAway(guest, error);
  }

  #turnAway(guest: Guest, error: Error): void {
    if (!this.#lines.remove(guest)) return;
    if (guest instanceof Job) this.reject(guest, error);
    else guest.reject(error);
  }

  // ---- the whole ---------------------------------------------------------------------------------------------------

  healthCheckAll(): Promise<WorkerHealth[]> {
    return this.#health.checkAll();
  }

  async warm(): Promise<void> {
    if (this.#closing) throw new UsageError('closed', 'The runtime is closed.');
    if (!this.#context.options.pool) return;
    this.#crew.start();
    const ready = this.#status.whenReady();
    this.#balance();
    await ready;
  }

  async restart(): Promise<void> {
    if (this.#closing) throw new UsageError('closed', 'The runtime is closed.');
    const { slots } = this.#crew;
    if (slots.length === 0) return;
    for (const slot of slots) this.#crew.replace(slot, 'restart');
    await Promise.all(slots.map((slot) => slot.whenGone));
    if (!this.#closing) await this.warm();
  }

  async drain(): Promise<void> {
    if (this.busy) await this.#status.whenDrained();
  }

  /** Takes no more runs; resolves when those under way have ended and every worker is gone. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // `#closing` has to be set before anything is told.
    await undefined;
    this.#health.end();
    this.#balance();
    const gone = this.#crew.close();
    await this.drain();
    await gone;
  }

  /** Of a pool that is being closed: there is no more time. */
  kill(): void {
    this.#crew.kill();
  }

  stats(): RuntimeStats {
    return {
      status: this.status,
      workers: this.#crew.slots.map((slot) => slot.stats),
      queued: this.#waiting,
      running: this.#running.size,
      residents: this.#crew.slots.filter((slot) => slot.held).length,
      ...this.#context.telemetry.counters,
    };
  }
}
