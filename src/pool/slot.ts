import { buildTimeoutMs, type Worker, type WorkerExit } from '../engines/engine.ts';
import { InternalError, LimitError, WorkerError } from '../errors/errors.ts';
import { type ImageSource, stdlibImage } from '../packages/image-source.ts';
import type { RewoundMessage } from '../protocol/messages.ts';
import type { Execution, Progress, RestartReason, WorkerStats } from '../runtime.ts';
import type { Timer } from '../util/clock.ts';
import { ActiveRun } from './active-run.ts';
import type { PoolContext } from './context.ts';
import { lossError } from './execution.ts';
import { imageKey } from './images.ts';
import type { Job, JobPlace, SlotLoss } from './job.ts';
import type { Kind } from './roster.ts';
import {
  type After,
  initialSlotState,
  isHeld,
  isLive,
  type SlotAction,
  type SlotState,
  transition,
} from './slot-state.ts';
import { memoryLoss, Watchdog } from './watchdog.ts';

/** The engine times its boots itself; one that forgets to is given up this much later. */
const bootSlackMs = 5000;
/** A kernel that isn't clean after this time is replaced. */
const rewindTimeoutMs = 10_000;

export interface SlotOwner {
  ready(slot: Slot): void;
  bootFailed(slot: Slot, error: Error): void;
  progress(slot: Slot, progress: Progress): void;
  /** The run has its execution; the slot rewinds or, after `discard`, ends. */
  finished(slot: Slot, job: Job, execution: Execution): void;
  idle(slot: Slot): void;
  /** The slot is on its way out and has to be replaced. */
  lost(slot: Slot, reason: RestartReason, error?: Error): void;
  /** Nothing is left of it. */
  gone(slot: Slot, expected: boolean): void;
}

/** What a slot tells the session that has it. */
export interface SlotHolder {
  /** It should be given back: others wait for it since then, or (-Infinity) before any further call. */
  wanted(since: number): void;
  /** The run is over, and the kernel takes the next call. */
  ready(): void;
  /** The worker is gone, with the session's state. */
  lost(error: Error): void;
}

/** One worker's place in the pool, from the start of its boot to the end of its process. */
export class Slot {
  readonly id: string;
  /** For life. */
  readonly image: ImageSource;
  readonly key: string;
  /** Resolves when nothing is left of it. */
  readonly whenGone: Promise<void>;
  /** A spare: booted, but not given runs. */
  reserve = false;
  /** Set: replaced as soon as its run has ended. */
  retire: RestartReason | undefined;
  /** Whose code it has run, and so the only one whose code it will run. Undefined before its first run. */
  tenant: string | undefined;
  runs = 0;
  heapBytes = 0;
  /** When it became idle, or the session that has it came to rest. */
  idleSince = 0;
  /** Its session has been asked to give it back, for whom. */
  asked: Kind | undefined;
  readonly #context: PoolContext;
  readonly #owner: SlotOwner;
  readonly #startedAt: number;
  readonly #boot = new AbortController();
  readonly #gone = Promise.withResolvers<void>();
  #state: SlotState = initialSlotState;
  #worker: Worker | undefined;
  #run: ActiveRun | undefined;
  #holder: SlotHolder | undefined;
  #rewindTimer: Timer | undefined;
  #watchdog: Watchdog | undefined;
  #readyAt: number | undefined;

  constructor(id: string, image: ImageSource, context: PoolContext, owner: SlotOwner) {
    this.id = id;
    this.image = image;
    this.key = imageKey(image);
    this.#context = context;
    this.#owner = owner;
    this.#startedAt = context.clock.now();
    this.whenGone = this.#gone.promise;
  }

  get state(): SlotState {
    return this.#state;
  }

  get live(): boolean {
    return isLive(this.#state);
  }

  /** A session has it: no other run may enter. */
  get held(): boolean {
    return isHeld(this.#state);
  }

  /** A session has it and doesn't use it now. */
  get resting(): boolean {
    return this.#state.name === 'held' && this.#state.resting;
  }

  /** Idle or about to be, with nothing of a stateful run in it. */
  get clean(): boolean {
    return 'clean' in this.#state && this.#state.clean;
  }

  get uptimeMs(): number {
    return this.#context.clock.now() - this.#startedAt;
  }

  get bootMs(): number {
    return this.#worker?.bootMs ?? 0;
  }

  get identity(): { worker: string; pid?: number } {
    const pid = this.#worker?.pid;
    return { worker: this.id, ...(pid === undefined ? {} : { pid }) };
  }

  get description(): JobPlace['description'] {
    const { worker: id, ...pid } = this.identity;
    const pyodide = this.#worker?.pyodide ?? '';
    return { id, ...pid, backend: this.#context.engine.kind, pyodide, image: this.image.name };
  }

  get stats(): WorkerStats {
    const { worker: id, ...pid } = this.identity;
    const { runs, heapBytes, uptimeMs, tenant } = this;
    return {
      id,
      ...pid,
      state: this.reserve ? `spare ${this.#state.name}` : this.#state.name,
      image: this.image.name,
      ...(tenant === undefined ? {} : { tenant }),
      runs,
      heapBytes,
      uptimeMs,
    };
  }

  /** How long its first run, submitted at `time`, had to wait for its boot. */
  bootMsSince(time: number): number {
    if (this.runs > 1 || this.#readyAt === undefined) return 0;
    return Math.max(0, this.#readyAt - Math.max(this.#startedAt, time));
  }

  // ---- boot --------------------------------------------------------------------------------------------------------

  /** `warmingRuns`: 0 when a run waits for it. */
  async boot(warmingRuns: number): Promise<void> {
    const { engine, options, clock, telemetry } = this.#context;
    const { bootTimeoutMs, maxHeapBytes, maxResidentBytes, env } = options;
    // Fetching packages and building their image is part of it, and has a time of its own.
    const limitMs = bootTimeoutMs + (this.key === imageKey(stdlibImage) ? 0 : buildTimeoutMs);
    const late = () => this.#bootFailed(new WorkerError('boot_timeout', `No worker after ${limitMs} ms.`));
    using _timer = clock.setTimeout(late, limitMs + bootSlackMs, { unref: true });
    let worker: Worker;
    try {
      worker = await engine.start({
        id: this.id,
        image: this.image,
        init: { maxHeapBytes, env, warmingRuns },
        maxResidentBytes,
        bootTimeoutMs,
        onProgress: (progress) => this.#owner.progress(this, progress),
        onWarning: (message) => telemetry.emit({ type: 'warning', message }),
        signal: this.#boot.signal,
      });
    } catch (error) {
      this.#bootFailed(error instanceof Error ? error : new WorkerError('boot_failed', String(error)));
      return;
    }
    this.#booted(worker);
  }

  #booted(worker: Worker): void {
    this.#worker = worker;
    void worker.exited.then((exit) => this.#exited(exit));
    if (this.#state.name !== 'booting') {
      worker.kill();
      return;
    }
    const { clock, options } = this.#context;
    this.#watchdog = new Watchdog(worker, clock, options.maxResidentBytes, (loss) => this.abandon(loss));
    this.#apply({ type: 'booted' });
    this.#readyAt = this.idleSince = this.#context.clock.now();
    this.#owner.ready(this);
  }

  #bootFailed(error: Error): void {
    if (this.#state.name === 'dead') return;
    const wanted = this.#state.name === 'booting';
    this.#apply({ type: 'exited' });
    this.#boot.abort();
    this.#gone.resolve();
    if (wanted) this.#owner.bootFailed(this, error);
    else this.#owner.gone(this, true);
  }

  // ---- run ---------------------------------------------------------------------------------------------------------

  run(job: Job, after: After): void {
    const { message } = job;
    if (!this.#worker || !message) throw new TypeError('A run needs a worker that is ready and a message.');
    this.#bind(job.tenant);
    this.#apply({ type: 'start', after });
    this.runs++;
    const run = new ActiveRun(job, this.#worker, this.#context, {
      finished: (execution, heapBytes) => this.#finished(job, execution, heapBytes),
      rewound: (rewound) => this.#rewound(rewound),
      lost: (loss) => this.abandon(loss),
    });
    this.#run = run;
    job.started(this, this.#context.clock.now());
    this.#watchdog?.watch(job);
    run.start(message, after);
  }

  /** It has run the tenant's code, or is about to. */
  #bind(tenant: string): void {
    if (this.tenant !== undefined && this.tenant !== tenant)
      throw new InternalError('internal', 'A worker must never be given the code of a second tenant.');
    this.tenant = tenant;
  }

  stop(): void {
    this.#run?.stop();
  }

  /** Kills the worker and ends its run. */
  abandon(loss: SlotLoss): void {
    const run = this.#run;
    this.end();
    if (run) {
      run.end();
      this.#settle(run.job, run.job.abandoned(loss, this.#context.clock.now()));
    }
    const reason = loss.reason ?? (loss.code === 'output' ? 'crashed' : loss.code);
    this.#tellLost(reason, loss);
  }

  #finished(job: Job, execution: Execution, heapBytes: number): void {
    this.heapBytes = heapBytes;
    this.#apply({ type: 'finished' });
    if (this.#state.name === 'dying') {
      this.#watchdog?.end();
      this.#worker?.kill();
    } else this.#boundRewind();
    this.#settle(job, execution);
  }

  #boundRewind(): void {
    this.#rewindTimer = this.#context.clock.setTimeout(
      () => this.#lose('dirty', { code: 'crashed', message: 'rewinding takes too long' }),
      rewindTimeoutMs,
      { unref: true },
    );
  }

  #rewound(message: Omit<RewoundMessage, 'kind' | 'id'>): void {
    if (this.#state.name !== 'rewinding') return;
    this.heapBytes = message.heapBytes;
    if (message.dirty !== null) {
      this.#lose('dirty', { code: 'crashed', message: message.dirty });
      return;
    }
    this.#rewindTimer?.cancel();
    this.#watchdog?.rest();
    this.#apply({ type: 'rewound' });
    this.idleSince = this.#context.clock.now();
    if (this.held) {
      this.#holder?.ready();
      return;
    }
    this.asked = undefined;
    this.#owner.idle(this);
  }

  #settle(job: Job, execution: Execution): void {
    this.#run = undefined;
    this.#owner.finished(this, job, execution);
  }

  // ---- a session ---------------------------------------------------------------------------------------------------

  /** A session of that tenant has it from now on, until `release` or its end. */
  hold(tenant: string, holder: SlotHolder): void {
    this.#bind(tenant);
    this.#apply({ type: 'hold' });
    this.#holder = holder;
  }

  /** The session doesn't use it, until `use`. */
  rest(): void {
    this.#apply({ type: 'rest' });
    this.idleSince = this.#context.clock.now();
  }

  use(): void {
    this.#apply({ type: 'use' });
  }

  /** Asks its session to give it back. */
  ask(since: number, kind: Kind): void {
    this.asked = kind;
    this.#holder?.wanted(since);
  }

  /** Has the worker do something for the session, between its runs. One thing at a time. */
  async work<T>(what: string, limitMs: number, work: (worker: Worker) => Promise<T>): Promise<T> {
    if (this.#state.name !== 'held' || !this.#worker)
      throw new TypeError(`${what} needs a worker that is held.`);
    const late = () =>
      this.abandon({
        code: 'crashed',
        reason: 'unhealthy',
        message: `${what} took its worker more than ${limitMs} ms: it was killed.`,
      });
    this.#watchdog?.work();
    // It counts: what is under way keeps the process alive.
    using _timer = this.#context.clock.setTimeout(late, limitMs);
    try {
      return await work(this.#worker);
    } finally {
      if (this.live) this.#watchdog?.rest();
    }
  }

  /** It isn't known any more what is in it. */
  spoil(error: unknown): void {
    if (!this.live) return;
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof LimitError && error.code === 'memory' ? 'memory' : 'crashed';
    const reason = code === 'memory' || error instanceof WorkerError ? code : 'dirty';
    this.#lose(reason, { code, message, cause: error });
  }

  /** The session has given it back: it's rewound. */
  release(): void {
    this.#apply({ type: 'release' });
    this.#holder = undefined;
    this.#boundRewind();
    // Async: what an engine throws is a loss too.
    const rewind = async () => this.#worker?.rewind();
    rewind().then(
      (rewound) => rewound && this.#rewound(rewound),
      (error: unknown) => this.spoil(error),
    );
  }

  // ---- end ---------------------------------------------------------------------------------------------------------

  /** Ends the place: in order within `graceMs` when it's given, else at once. */
  end(graceMs?: number): void {
    const booting = this.#state.name === 'booting';
    this.#apply({ type: 'end' });
    this.#rewindTimer?.cancel();
    this.#watchdog?.end();
    if (booting) this.#boot.abort();
    else if (graceMs === undefined) this.#worker?.kill();
    else this.#worker?.shutdown(graceMs).catch(() => this.#worker?.kill());
  }

  /** At once, whatever it was granted. */
  kill(): void {
    this.#worker?.kill();
  }

  /** False when no answer came in time. */
  async ping(timeoutMs: number): Promise<boolean> {
    try {
      const pong = await this.#worker?.ping(timeoutMs);
      if (pong) this.heapBytes = pong.heapBytes;
      return pong !== undefined;
    } catch {
      return false;
    }
  }

  /** Why it has to go for what it holds, if it has. */
  async excess(): Promise<SlotLoss | undefined> {
    const usage = await this.#worker?.usage().catch(() => null);
    return usage ? memoryLoss(usage, this.#context.options.maxResidentBytes) : undefined;
  }

  #lose(reason: RestartReason, loss: SlotLoss): void {
    this.end();
    this.#tellLost(reason, loss);
  }

  #tellLost(reason: RestartReason, loss: SlotLoss): void {
    const error = lossError(loss);
    const holder = this.#holder;
    this.#holder = undefined;
    holder?.lost(error);
    this.#owner.lost(this, reason, error);
  }

  #exited(exit: WorkerExit): void {
    if (this.#state.name === 'dead') return;
    const loss = { code: exit.outOfMemory ? 'memory' : 'crashed', message: exit.reason } as const;
    if (this.#run) this.#run.crashed(lossError(loss));
    else if (this.live) this.#lose(loss.code, loss);
    this.#apply({ type: 'exited' });
    this.#gone.resolve();
    this.#owner.gone(this, exit.expected);
  }

  #apply(action: SlotAction): void {
    this.#state = transition(this.#state, action);
  }
}
