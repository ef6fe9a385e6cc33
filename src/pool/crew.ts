import { VivariumError } from '../errors/errors.ts';
import type { Execution, Isolation, Progress, RecycleReason, RestartReason } from '../runtime.ts';
import type { Timer } from '../util/clock.ts';
import { Breaker } from './breaker.ts';
import type { PoolContext } from './context.ts';
import { IdleSweep } from './idle-sweep.ts';
import type { Job } from './job.ts';
import { count, isIdle, Roster, suits } from './roster.ts';
import { Slot, type SlotOwner } from './slot.ts';

/** A worker that is ended in order may take so long. */
const shutdownGraceMs = 1000;
/** Of a worker that nobody waits for: cold code makes its first runs slow. */
const warmingRuns = 1;

export interface CrewHooks {
  /** Something changed that may let a waiting run start, or never start. */
  changed(): void;
  finished(job: Job, execution: Execution): void;
  progress(progress: Progress): void;
  bootFailed(error: Error): void;
  failed(error: Error): void;
}

/** The workers of a pool: boots, replaces and ends them, so that there are as many as are wanted. */
export class Crew implements SlotOwner {
  readonly #context: PoolContext;
  readonly #hooks: CrewHooks;
  readonly #breaker: Breaker;
  /** Workers that died without having run anything; they booted well, so the circuit knows nothing of them. */
  readonly #stillborn: Breaker;
  readonly #prefix = `w${crypto.randomUUID().slice(0, 8)}`;
  readonly #roster = new Roster();
  readonly #idleSweep: IdleSweep;
  #lastNumber = 0;
  #started = false;
  #closing = false;
  #everReady = false;
  /** Runs that run or wait. */
  #demand = 0;
  #retry: Timer | undefined;

  constructor(context: PoolContext, hooks: CrewHooks) {
    this.#context = context;
    this.#hooks = hooks;
    this.#breaker = new Breaker(context.random);
    this.#stillborn = new Breaker(context.random);
    this.#idleSweep = new IdleSweep(context.clock, context.options.idleTimeoutMs, {
      idle: () => this.slots.filter(isIdle),
      hasSurplus: (slot) => this.#hasSurplus(slot),
      end: (slot) => this.#recycle(slot, 'idle'),
    });
  }

  /** All that are booting or live, spares last. */
  get slots(): Slot[] {
    return this.#roster.slots;
  }

  get live(): number {
    return this.#roster.live;
  }

  get booting(): number {
    return this.#roster.booting;
  }

  get failing(): boolean {
    return this.#breaker.failures > 0;
  }

  /** The last boot's error while the circuit is open and it isn't time for another try. */
  get outage(): Error | undefined {
    return this.#breaker.open && this.#retry && this.booting === 0 ? this.#breaker.lastError : undefined;
  }

  /** Whether one of the present workers can take such a run, now or after its present one. */
  canServe(isolation: Isolation): boolean {
    return this.slots.some((slot) => slot.live && suits(slot, isolation));
  }

  // ---- give out ----------------------------------------------------------------------------------------------------

  /** The next idle worker, round robin, that suits such a run. */
  take(isolation: Isolation): Slot | undefined {
    if (isolation === 'none')
      return this.#roster.next((slot) => !slot.clean) ?? this.#roster.next(() => true);
    return this.#roster.next((slot) => suits(slot, isolation)) ?? this.#makeRoom(isolation);
  }

  /** Workers may be idle though none of them suits: one gives way to a spare, or is replaced. */
  #makeRoom(isolation: 'rewind' | 'process'): Slot | undefined {
    const misfit = this.#roster.members.find(isIdle);
    if (!misfit) return undefined;
    const spare = this.#roster.idleSpare(isolation);
    if (spare && misfit.clean) {
      // It has nothing wrong but its age, so it stands by in the other's place.
      this.#roster.swap(misfit, spare);
      return spare;
    }
    if (!spare && (this.booting > 0 || this.#retry)) return undefined;
    this.#recycle(misfit, 'isolation');
    this.#roster.promote(this.#wanted());
    return this.#roster.next((slot) => suits(slot, isolation));
  }

  // ---- keep the number ---------------------------------------------------------------------------------------------

  start(): void {
    this.#started = true;
  }

  /** Boots what is missing for so many runs under way or waiting. */
  fill(demand: number): void {
    this.#demand = demand;
    if (!this.#started || this.#closing) return;
    this.#roster.promote(this.#wanted());
    const { members, spares } = this.#roster;
    for (let n = this.#mayBoot(this.#wanted() - members.length); n > 0; n--) this.#boot(false);
    if (!this.#everReady) return;
    const wantedSpares = this.#context.options.spares + count(members, (slot) => this.#isLastRun(slot));
    for (let n = this.#mayBoot(wantedSpares - spares.length); n > 0; n--) this.#boot(true);
  }

  /** It is to be replaced after the run that it has now: its successor is booted meanwhile. */
  #isLastRun(slot: Slot): boolean {
    return slot.state.name === 'running' && slot.runs >= this.#context.options.recycle.maxRequests;
  }

  #wanted(): number {
    const { minWorkers, maxWorkers, pool } = this.#context.options;
    // The first boot has the machine for itself; the others follow when it's ready.
    const floor = this.#everReady || !pool ? minWorkers : 1;
    return Math.min(maxWorkers, Math.max(floor, this.#demand));
  }

  /** After a failure one boot at a time, and none before its time has come. */
  #mayBoot(wanted: number): number {
    if (this.#retry) return 0;
    return this.#breaker.failures > 0 ? Math.min(wanted, 1 - this.booting) : wanted;
  }

  #boot(reserve: boolean): void {
    const slot = new Slot(`${this.#prefix}-${++this.#lastNumber}`, this.#context, this);
    slot.reserve = reserve;
    const awaited = !reserve && this.#roster.members.length < this.#demand;
    this.#roster.add(slot);
    void slot.boot(awaited ? 0 : warmingRuns);
  }

  #retryAfter(ms: number): void {
    this.#retry?.cancel();
    const retry = () => {
      this.#retry = undefined;
      this.#hooks.changed();
    };
    this.#retry = this.#context.clock.setTimeout(retry, ms, { unref: true });
  }

  // ---- what slots tell ---------------------------------------------------------------------------------------------

  ready(slot: Slot): void {
    const { telemetry } = this.#context;
    this.#everReady = true;
    if (this.#breaker.succeeded()) telemetry.emit({ type: 'circuit', open: false });
    telemetry.emit({ type: 'worker:start', ...slot.identity, bootMs: slot.bootMs });
    this.#idleSweep.schedule();
    this.#hooks.changed();
  }

  bootFailed(slot: Slot, error: Error): void {
    const { telemetry, options } = this.#context;
    this.#roster.forget(slot);
    let retryInMs = 0;
    const wasOpen = this.#breaker.open;
    // Without a pool the run that wanted the worker fails with it; there is nothing to keep trying for.
    if (options.pool) {
      retryInMs = this.#breaker.failed(error, error instanceof VivariumError && !error.retryable);
      this.#retryAfter(retryInMs);
    }
    this.#hooks.failed(error);
    telemetry.emit({
      type: 'worker:boot_failed',
      error,
      attempt: Math.max(1, this.#breaker.failures),
      retryInMs,
    });
    if (this.#breaker.open && !wasOpen) telemetry.emit({ type: 'circuit', open: true, error });
    this.#hooks.bootFailed(error);
    this.#hooks.changed();
  }

  progress(progress: Progress): void {
    this.#hooks.progress(progress);
  }

  finished(slot: Slot, job: Job, execution: Execution): void {
    const { recycle } = this.#context.options;
    if (slot.live) {
      this.#stillborn.succeeded();
      if (this.#closing) this.#dismiss(slot);
      else if (slot.retire) this.replace(slot, slot.retire);
    } else if (!execution.worker.lost) {
      this.#stillborn.succeeded();
      this.#roster.leave(slot);
      this.#tellRecycled(slot, slot.runs >= recycle.maxRequests ? 'requests' : 'isolation');
    }
    this.#hooks.finished(job, execution);
    this.#hooks.changed();
  }

  idle(slot: Slot): void {
    const { options, telemetry } = this.#context;
    telemetry.counters.rewinds++;
    if (slot.runs >= options.recycle.maxRequests) this.#recycle(slot, 'requests');
    else if (slot.heapBytes >= options.recycle.maxHeapBytes) this.#recycle(slot, 'heap');
    else this.#idleSweep.schedule();
    this.#hooks.changed();
  }

  lost(slot: Slot, reason: RestartReason, error?: Error): void {
    const { telemetry } = this.#context;
    this.#roster.leave(slot);
    if (this.#closing) return;
    if (error && (reason === 'crashed' || reason === 'unhealthy')) this.#hooks.failed(error);
    if (error && reason === 'crashed' && slot.runs === 0)
      this.#retryAfter(this.#stillborn.failed(error, false));
    const lost = { ...slot.identity, reason, ms: slot.uptimeMs };
    telemetry.emit({ type: 'worker:restart', ...lost, ...(error && { error }) });
    this.#hooks.changed();
  }

  gone(slot: Slot, expected: boolean): void {
    this.#roster.forget(slot);
    this.#context.telemetry.emit({ type: 'worker:exit', ...slot.identity, expected });
    this.#hooks.changed();
  }

  // ---- end ---------------------------------------------------------------------------------------------------------

  /** Ends a slot, at once when it doesn't run anything; another one takes its place. */
  replace(slot: Slot, reason: RestartReason): void {
    if (slot.state.name === 'running') {
      slot.retire = reason;
      return;
    }
    // A listener may ask while the loss of this one is being told.
    if (!slot.live && slot.state.name !== 'booting') return;
    slot.end(shutdownGraceMs);
    this.lost(slot, reason);
  }

  /** Ends every slot that is idle, booting or rewinding, now and from now on. Resolves when all are gone. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#retry?.cancel();
    this.#idleSweep.cancel();
    for (const slot of this.slots) {
      if (slot.state.name !== 'running') this.#dismiss(slot);
    }
    await this.#roster.whenEmpty();
  }

  #recycle(slot: Slot, reason: RecycleReason): void {
    this.#dismiss(slot);
    this.#tellRecycled(slot, reason);
  }

  #tellRecycled(slot: Slot, reason: RecycleReason): void {
    this.#context.telemetry.emit({ type: 'worker:recycle', ...slot.identity, reason, ms: slot.uptimeMs });
  }

  #dismiss(slot: Slot): void {
    slot.end(shutdownGraceMs);
    this.#roster.leave(slot);
  }

  #hasSurplus(slot?: Slot): boolean {
    const spare = this.#roster.spares.length > this.#context.options.spares;
    const member = this.#roster.members.length > this.#wanted();
    if (slot) return slot.reserve ? spare : member;
    return spare || member;
  }
}
