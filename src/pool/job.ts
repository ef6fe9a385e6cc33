import type { ImageSource } from '../packages/image-source.ts';
import type { ResultMessage, RunMessage, StopReason } from '../protocol/messages.ts';
import type {
  Execution,
  Isolation,
  Progress,
  PythonErrorInfo,
  RichResult,
  RunLimits,
  RunOptions,
} from '../runtime.ts';
import { abandonedExecution, finishedExecution, type Loss, type RunFacts } from './execution.ts';
import { imageKey } from './images.ts';
import type { Place } from './lines.ts';
import { OutputCollector } from './output.ts';
import { RunHandle } from './run-handle.ts';

/** Of runs that name none. No name is empty. */
export const ownTenant = '';

export type JobMessage = Omit<RunMessage, 'kind' | 'after'>;
type Callbacks = Pick<RunOptions, 'onStdout' | 'onStderr' | 'onDisplay' | 'onProgress'>;

/** Why a slot is given up while it may have a run. `reason`: why it's replaced, when `code` doesn't say it all. */
export interface SlotLoss extends Loss {
  reason?: 'unhealthy';
}

/** What a job knows of the worker that runs it. */
export interface JobPlace {
  readonly description: Omit<RunFacts['worker'], 'lost'>;
  /** How much of its boot fell into the time since then. */
  bootMsSince(time: number): number;
  /** Interrupts the run. */
  stop(): void;
  abandon(loss: SlotLoss): void;
}

/** One run on its way through the pool. It is settled exactly once. */
export class Job {
  readonly handle: RunHandle;
  readonly isolation: Isolation;
  readonly tenant: string;
  readonly limits: RunLimits;
  readonly submittedAt: number;
  readonly output: OutputCollector = new OutputCollector();
  /** Absent while the run's files are being read. */
  message: JobMessage | undefined;
  /** Absent until it's found. */
  image: ImageSource | undefined;
  /** Among those that wait. */
  place: Place | undefined;
  /** The worker that runs it. */
  slot: JobPlace | undefined;
  /** Spent so far in installing what it asked for. */
  installMs = 0;
  /** That its worker may take to unpack what was installed so far. */
  unpackMs = 0;
  /** Spent in thawing the session that it's a run of. */
  thawMs = 0;
  /** It doesn't run any more, though its session may have to be stored before it's settled: its worker may be another one's by then. */
  ended = false;
  settled = false;
  readonly onSettled: (() => void)[] = [];
  /** Of a run of a session: what has to be done when it has ended, before its caller is told. */
  onEnd: ((execution: Execution) => Promise<Execution>) | undefined;
  readonly #callbacks: Callbacks;
  readonly #backend: string;
  #callbackError: { reason: unknown } | undefined;
  #signal: AbortSignal | undefined;
  #onAbort: (() => void) | undefined;
  #startedAt: number | undefined;

  constructor(
    id: string,
    request: { isolation: Isolation; tenant: string; limits: RunLimits },
    options: Callbacks,
    backend: string,
    now: number,
    abort: (job: Job) => void,
  ) {
    this.isolation = request.isolation;
    this.tenant = request.tenant;
    this.limits = request.limits;
    this.submittedAt = now;
    this.#callbacks = options;
    this.#backend = backend;
    this.handle = new RunHandle(id, () => abort(this));
  }

  get id(): string {
    return this.handle.id;
  }

  /** Of its image: a run enters workers with the same key only. */
  get key(): string {
    if (!this.image) throw new TypeError('The image of the run has not been found yet.');
    return imageKey(this.image);
  }

  listenTo(signal: AbortSignal): void {
    this.#signal = signal;
    this.#onAbort = () => this.handle.interrupt();
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  // ---- while it runs -----------------------------------------------------------------------------------------------

  started(slot: JobPlace, now: number): void {
    this.slot = slot;
    this.#startedAt = now;
    this.handle.status('running');
  }

  write(stream: 'stdout' | 'stderr', data: Uint8Array): void {
    const text = this.output.write(stream, data);
    const callback = stream === 'stdout' ? this.#callbacks.onStdout : this.#callbacks.onStderr;
    if (callback) this.#call(() => callback(text, data));
    if (this.handle.observed) this.handle.emit({ type: stream, data, text });
  }

  display(shown: Omit<RichResult, 'isMainResult'>): void {
    const result = this.output.display(shown);
    const { onDisplay } = this.#callbacks;
    if (onDisplay) this.#call(() => onDisplay(result));
    if (this.handle.observed) this.handle.emit({ type: 'display', result });
  }

  progress(progress: Progress): void {
    const { onProgress } = this.#callbacks;
    if (onProgress) this.#call(() => onProgress(progress));
    if (this.handle.observed) this.handle.emit({ type: 'progress', ...progress });
  }

  // ---- how it ends -------------------------------------------------------------------------------------------------

  /** Builds the execution; throws when the worker's reply can't be read. */
  executionOf(
    result: ResultMessage,
    requested: StopReason | undefined,
    now: number,
    hint?: (error: PythonErrorInfo) => string | undefined,
  ): Execution {
    return finishedExecution(this.#facts(now, false), result, requested, hint);
  }

  abandoned(loss: Loss, now: number): Execution {
    const runMs = this.#startedAt === undefined ? 0 : now - this.#startedAt - this.installMs;
    return abandonedExecution(this.#facts(now, this.slot !== undefined), loss, runMs);
  }

  settle(execution: Execution): void {
    const { onEnd } = this;
    this.onEnd = undefined;
    this.ended = true;
    if (onEnd) {
      onEnd(execution).then(
        (told) => this.settle(told),
        (error: unknown) => this.reject(error),
      );
    } else if (this.#callbackError) this.reject(this.#callbackError.reason);
    else if (this.#end()) this.handle.resolve(execution);
  }

  reject(reason: unknown): void {
    if (this.#end()) this.handle.reject(reason);
  }

  #end(): boolean {
    if (this.settled) return false;
    this.settled = true;
    if (this.#onAbort) this.#signal?.removeEventListener('abort', this.#onAbort);
    for (const tell of this.onSettled) tell();
    return true;
  }

  /** An exception of a callback stops the run, which then rejects with it. */
  #call(callback: () => void): void {
    if (this.#callbackError) return;
    try {
      callback();
    } catch (reason) {
      this.#callbackError = { reason };
      this.handle.interrupt();
    }
  }

  #facts(now: number, lost: boolean): RunFacts {
    const waitedMs = (this.#startedAt ?? now) - this.submittedAt;
    const restoreMs = (this.slot?.bootMsSince(this.submittedAt) ?? 0) + this.thawMs;
    const nowhere = { id: '', backend: this.#backend, pyodide: '', image: this.image?.name ?? '' };
    const { installMs } = this;
    return {
      id: this.id,
      limits: this.limits,
      output: this.output,
      worker: { ...(this.slot?.description ?? nowhere), lost },
      timings: { queuedMs: waitedMs - restoreMs, restoreMs, installMs, totalMs: now - this.submittedAt },
    };
  }
}
