import type { ImageSource } from '../packages/image-source.ts';
import type { Execution, Progress, RecycleReason, RestartReason } from '../runtime.ts';
import { BootRetries } from './boot-retries.ts';
import type { PoolContext } from './context.ts';
import { IdleSweep } from './idle-sweep.ts';
import { imageKey } from './images.ts';
import { type Job, ownTenant } from './job.ts';
import type { Lines } from './lines.ts';
import { isIdle, type Kind, Roster, serves, suits, type Wish } from './roster.ts';
import { Slot, type SlotOwner } from './slot.ts';
import { Staffing, type Wanting } from './staffing.ts';

/** A worker that is ended in order may take so long. */
const shutdownGraceMs = 1000;
/** Of a worker that nobody waits for: cold code makes its first runs slow. That of packages takes longer to get warm. */
const warmingRuns = { stdlib: 1, packages: 3 };

export interface CrewHooks {
  /** Something changed that may let a waiting run start, or never start. */
  changed(): void;
  finished(job: Job, execution: Execution): void;
  /** Of the boot of such a worker. */
  progress(key: string, progress: Progress): void;
  bootFailed(key: string, error: Error): void;
  failed(error: Error): void;
}

/** The workers of a pool: gives them to runs, boots, replaces and ends them. */
export class Crew implements SlotOwner {
  readonly #context: PoolContext;
  readonly #hooks: CrewHooks;
  readonly #own: string;
  readonly #retries: BootRetries;
  readonly #prefix = `w${crypto.randomUUID().slice(0, 8)}`;
  readonly #roster = new Roster();
  readonly #staffing: Staffing;
  readonly #idleSweep: IdleSweep;
  #lastNumber = 0;
  #closing = false;

  constructor(context: PoolContext, lines: Lines, hooks: CrewHooks) {
    this.#context = context;
    this.#hooks = hooks;
    this.#own = imageKey(context.image);
    const changed = () => hooks.changed();
    this.#retries = new BootRetries(context, this.#own, changed);
    this.#staffing = new Staffing(context, lines, this.#roster, this.#retries, {
      boot: (image, how) => this.#boot(image, how),
      giveUp: (slot, reason) => this.#recycle(slot, reason),
      changed,
    });
    this.#idleSweep = new IdleSweep(context.clock, context.options.idleTimeoutMs, {
      idle: () => this.slots.filter(isIdle),
      hasSurplus: (slot) => this.#staffing.hasSurplus(slot),
      end: (slot) => this.#recycle(slot, 'idle'),
    });
  }

  /** All that are booting or live, spares last. */
  get slots(): Slot[] {
    return this.#roster.slots;
  }

  get live(): number {
    return this.#roster.live();
  }

  get booting(): number {
    return this.#roster.booting();
  }

  /** A worker of the runtime's own image is live. */
  get hasOwn(): boolean {
    return this.#roster.live(this.#own) > 0;
  }

  get failing(): boolean {
    return this.#retries.failing;
  }

  /** Why no worker of the runtime's own image boots, while the circuit is open and it isn't time for another try. */
  get outage(): Error | undefined {
    return this.#roster.booting(this.#own) === 0 ? this.#retries.outage : undefined;
  }

  /** Whether one of the present workers can take such a run, now or after its present one. */
  canServe(wish: Wish): boolean {
    return this.slots.some((slot) => slot.live && suits(slot, wish));
  }

  /** Whether there are workers that take such runs, or will be. */
  hasAny(kind: Kind): boolean {
    return this.#roster.members.some((slot) => serves(slot, kind));
  }

  isLive(kind: Kind): boolean {
    return this.#roster.members.some((slot) => slot.live && serves(slot, kind));
  }

  get hasIdle(): boolean {
    return this.#roster.hasIdle;
  }

  // ---- give out ----------------------------------------------------------------------------------------------------

  /** The next idle worker, round robin, that suits such a run. */
  take(wish: Wish): Slot | undefined {
    const next = (test: (slot: Slot) => boolean) =>
      this.#roster.next((slot) => suits(slot, wish) && test(slot));
    return (
      (wish.isolation === 'none' ? next((slot) => !slot.clean) : undefined) ??
      // Where tenants are named, fresh workers are kept for those that have none.
      (wish.tenant === ownTenant ? undefined : next((slot) => slot.tenant !== undefined)) ??
      next(() => true) ??
      this.#makeRoom(wish)
    );
  }

  /** Workers of its tenant may be idle though none of them suits: one is replaced, at once where a spare stands by. */
  #makeRoom(wish: Wish): Slot | undefined {
    const { key, tenant } = wish;
    const misfit = this.#roster.bound(wish).find(isIdle);
    if (!misfit) return undefined;
    const replaceable = this.#roster.booting(key) === 0 && this.#staffing.mayBoot(key, 1) > 0;
    if (!replaceable && !this.#roster.hasIdleSpare(wish)) return undefined;
    this.#recycle(misfit, 'isolation');
    this.#roster.promote({ key, tenant });
    return this.#roster.next((slot) => suits(slot, wish));
  }

  // ---- keep the number ---------------------------------------------------------------------------------------------

  start(): void {
    this.#staffing.start();
  }

  fill(): void {
    this.#staffing.fill();
  }

  /** Has sessions give workers back for those that wait. */
  reclaim(lines: Lines): void {
    if (lines.size === 0 || this.#roster.resting().length === 0) return;
    const heads = lines.heads();
    for (const head of heads) this.#staffing.reclaim(head, heads);
  }

  /** Has a worker of another image or tenant give way, if it's time. `heads`: of all lines. */
  makeWay(wanting: Wanting, heads?: readonly Wanting[]): boolean {
    return this.#staffing.makeWay(wanting, heads);
  }

  #boot(image: ImageSource, { reserve, awaited }: { reserve: boolean; awaited: boolean }): void {
    const slot = new Slot(`${this.#prefix}-${++this.#lastNumber}`, image, this.#context, this);
    slot.reserve = reserve;
    this.#roster.add(slot);
    void slot.boot(awaited ? 0 : warmingRuns[image.lockHash === '' ? 'stdlib' : 'packages']);
  }

  // ---- what slots tell ---------------------------------------------------------------------------------------------

  ready(slot: Slot): void {
    this.#staffing.booted();
    this.#retries.booted(slot.key);
    this.#context.telemetry.emit({ type: 'worker:start', ...slot.identity, bootMs: slot.bootMs });
    this.#idleSweep.schedule();
    this.#hooks.changed();
  }

  bootFailed(slot: Slot, error: Error): void {
    this.#roster.forget(slot);
    if (slot.key === this.#own) this.#hooks.failed(error);
    this.#retries.failed(slot.key, error);
    this.#hooks.bootFailed(slot.key, error);
    this.#hooks.changed();
  }

  progress(slot: Slot, progress: Progress): void {
    this.#hooks.progress(slot.key, progress);
  }

  finished(slot: Slot, job: Job, execution: Execution): void {
    const { recycle } = this.#context.options;
    if (slot.live) {
      this.#retries.wasUsed(slot.key);
      // A session gives its worker back itself.
      if (slot.held) {
        if (slot.runs >= recycle.maxRequests) this.#reclaim(slot);
      } else if (this.#closing) this.#dismiss(slot);
      else if (slot.retire) this.replace(slot, slot.retire);
    } else if (!execution.worker.lost) {
      this.#retries.wasUsed(slot.key);
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

  /** A session has given its worker back. */
  giveBack(slot: Slot): void {
    const { pool, recycle, isolation } = this.#context.options;
    if (!slot.live) return;
    if (this.#closing) this.#dismiss(slot);
    else if (slot.retire) this.#end(slot, slot.retire);
    else if (slot.runs >= recycle.maxRequests) this.#recycle(slot, 'requests');
    else if (!pool || isolation === 'process') this.#recycle(slot, 'isolation');
    else slot.release();
    this.#hooks.changed();
  }

  /** Whoever waits: its session is to give it back before its next call. */
  #reclaim(slot: Slot): void {
    slot.ask(Number.NEGATIVE_INFINITY, { key: slot.key });
  }

  lost(slot: Slot, reason: RestartReason, error?: Error): void {
    this.#roster.leave(slot);
    if (this.#closing) return;
    if (error && (reason === 'crashed' || reason === 'unhealthy')) this.#hooks.failed(error);
    if (error && (reason === 'crashed' || reason === 'memory') && slot.runs === 0)
      this.#retries.diedUnused(slot.key, error);
    const lost = { ...slot.identity, reason, ms: slot.uptimeMs };
    this.#context.telemetry.emit({ type: 'worker:restart', ...lost, ...(error && { error }) });
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
    if (slot.state.name === 'running' && !slot.held) {
      slot.retire = reason;
      return;
    }
    if (slot.held) {
      slot.retire = reason;
      this.#reclaim(slot);
      return;
    }
    // A listener may ask while the loss of this one is being told.
    if (slot.live || slot.state.name === 'booting') this.#end(slot, reason);
  }

  #end(slot: Slot, reason: RestartReason): void {
    slot.end(shutdownGraceMs);
    this.lost(slot, reason);
  }

  /** Ends every slot that is idle, booting or rewinding, now and from now on, those of sessions when they're given back. Resolves when all are gone. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#retries.cancel();
    this.#staffing.end();
    this.#idleSweep.cancel();
    for (const slot of this.slots) {
      if (slot.state.name !== 'running' && !slot.held) this.#dismiss(slot);
    }
    await this.#roster.whenEmpty();
  }

  /** Of a crew that is being closed: ends at once what is still there. */
  kill(): void {
    const message = 'The runtime was closed before the session was frozen.';
    for (const slot of this.slots) if (slot.held) slot.abandon({ code: 'interrupted', message });
    for (const slot of this.#roster.leaving) slot.kill();
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
}
