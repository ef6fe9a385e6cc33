import { UsageError } from '../errors/errors.ts';
import type {
  Execution,
  Isolation,
  Progress,
  RuntimeStats,
  RuntimeStatus,
  WorkerHealth,
} from '../runtime.ts';
import type { PoolContext } from './context.ts';
import { Crew } from './crew.ts';
import { HealthChecks } from './health-checks.ts';
import type { Job } from './job.ts';
import { noWorker, PoolStatus } from './pool-status.ts';
import { Queue } from './queue.ts';
import type { Slot } from './slot.ts';
import type { After } from './slot-state.ts';

export const defaultCloseGraceMs = 5000;

/** Gives runs to workers, first come, first served. Each run that is taken ends in exactly one way. */
export class Pool {
  readonly #context: PoolContext;
  readonly #crew: Crew;
  readonly #queue: Queue<Job> = new Queue();
  readonly #running: Set<Job> = new Set();
  /** Taken in, but their files are still being read. */
  readonly #reading: Set<Job> = new Set();
  readonly #health: HealthChecks;
  readonly #status: PoolStatus;
  #lastError: Error | undefined;
  #closing: Promise<void> | undefined;
  #balancing = false;
  #unbalanced = false;

  constructor(context: PoolContext) {
    this.#context = context;
    this.#status = new PoolStatus(context);
    this.#crew = new Crew(context, {
      changed: () => this.#balance(),
      finished: (job, execution) => this.#finished(job, execution),
      progress: (progress) => this.#progress(progress),
      bootFailed: (error) => this.#bootFailed(error),
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
    return this.#running.size + this.#queue.size > 0;
  }

  get #waiting(): number {
    return this.#queue.size + this.#reading.size;
  }

  // ---- runs --------------------------------------------------------------------------------------------------------

  /** Takes the run in, or rejects it. From now on it has a place, also while its files are read. */
  admit(job: Job): boolean {
    const refusal = this.#refusal(job);
    if (refusal) this.reject(job, refusal);
    else this.#reading.add(job);
    return !refusal;
  }

  /** Queues a run that was taken in and has its message. */
  submit(job: Job): void {
    this.#reading.delete(job);
    this.#crew.start();
    job.entry = this.#queue.push(job);
    job.handle.status(this.#crew.live === 0 ? 'booting' : 'queued');
    this.#balance();
  }

  /** Takes the run out of the queue, or interrupts it. */
  abort(job: Job): void {
    if (job.settled) return;
    if (job.slot) {
      job.slot.stop();
      return;
    }
    if (job.entry) this.#queue.remove(job.entry);
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
    if (job.slot) job.slot.abandon({ code: 'interrupted', message });
    else this.abort(job);
  }

  /** Rejects a run that hasn't started. */
  withdraw(job: Job, error: Error): void {
    if (job.entry) this.#queue.remove(job.entry);
    this.reject(job, error);
    this.#balance();
  }

  reject(job: Job, error: unknown): void {
    if (job.settled) return;
    this.#reading.delete(job);
    this.#context.telemetry.counters.rejected++;
    job.reject(error);
  }

  #refusal(job: Job): Error | undefined {
    const { maxWorkers, maxQueue } = this.#context.options;
    const waiting = this.#waiting;
    if (this.#running.size + waiting >= maxWorkers + maxQueue)
      return new UsageError(
        'queue_full',
        `The queue is full: ${waiting} runs wait for ${maxWorkers} workers.`,
        {
          details: { waiting, running: this.#running.size, maxQueue, maxWorkers },
        },
      );
    return this.#unavailable(job.isolation);
  }

  #unavailable(isolation: Isolation): Error | undefined {
    const cause = this.#crew.outage;
    if (!cause || this.#crew.canServe(isolation)) return undefined;
    return noWorker(cause);
  }

  #start(job: Job, slot: Slot): void {
    const { telemetry, options } = this.#context;
    this.#running.add(job);
    telemetry.counters.started++;
    const last = slot.runs + 1 >= options.recycle.maxRequests;
    const after: After = job.isolation === 'process' ? 'discard' : job.isolation;
    // Rewinding a worker for its successor's sake would be wasted.
    slot.run(job, last && after === 'rewind' ? 'discard' : after);
  }

  #finished(job: Job, execution: Execution): void {
    this.#running.delete(job);
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

  #progress(progress: Progress): void {
    this.#context.telemetry.emit({ type: 'progress', progress });
    for (const job of this.#queue) job.progress(progress);
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
        this.#crew.fill(this.#running.size + this.#queue.size);
        // A spare may have stepped in.
        this.#dispatch();
        if (this.#crew.outage) this.#rejectUnservable();
      }
    } finally {
      this.#balancing = false;
    }
    const closing = this.#closing !== undefined;
    this.#status.update({
      crew: this.#crew,
      queued: this.#queue.size,
      running: this.#running.size,
      closing,
    });
    if (this.#crew.live > 0 && !closing) this.#health.schedule();
  }

  #dispatch(): void {
    for (let job = this.#queue.peek(); job; job = this.#queue.peek()) {
      const slot = this.#crew.take(job.isolation);
      if (!slot) return;
      this.#queue.shift();
      this.#start(job, slot);
    }
  }

  /** Without it runs would wait for workers that don't come. */
  #rejectUnservable(): void {
    for (const job of [...this.#queue]) {
      const error = this.#unavailable(job.isolation);
      if (!error || !job.entry) continue;
      this.#queue.remove(job.entry);
      this.reject(job, error);
    }
  }

  #bootFailed(error: Error): void {
    if (this.#context.options.pool) return;
    const job = this.#queue.shift();
    if (job) this.reject(job, error);
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

  stats(): RuntimeStats {
    return {
      status: this.status,
      workers: this.#crew.slots.map((slot) => slot.stats),
      queued: this.#waiting,
      running: this.#running.size,
      ...this.#context.telemetry.counters,
    };
  }
}
