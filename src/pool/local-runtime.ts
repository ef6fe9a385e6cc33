import { UsageError } from '../errors/errors.ts';
import type {
  Run,
  RunLimits,
  RunOptions,
  Runtime,
  RuntimeEvent,
  RuntimeStats,
  RuntimeStatus,
  WorkerHealth,
} from '../runtime.ts';
import type { PoolContext } from './context.ts';
import { Job } from './job.ts';
import { defaultCloseGraceMs, Pool } from './pool.ts';
import { checkRun, resolveLimits, runMessage } from './run-options.ts';

/** A pool and how many runtimes that aren't closed are on it. */
interface Core {
  readonly context: PoolContext;
  readonly pool: Pool;
  users: number;
}

/** A runtime whose workers are this program's own. */
export class LocalRuntime implements Runtime {
  readonly #core: Core;
  readonly #jobs: Set<Job> = new Set();
  #closing: Promise<void> | undefined;
  #closed = false;

  constructor(context: PoolContext, core: Core = { context, pool: new Pool(context), users: 0 }) {
    this.#core = core;
    core.users++;
  }

  /** Another runtime on the same pool; undefined when the pool has been closed. */
  share(): LocalRuntime | undefined {
    return this.#core.users > 0 ? new LocalRuntime(this.#core.context, this.#core) : undefined;
  }

  get status(): RuntimeStatus {
    if (this.#closed) return 'closed';
    return this.#closing ? 'closing' : this.#core.pool.status;
  }

  get lastError(): Error | undefined {
    return this.#core.pool.lastError;
  }

  // ---- runs --------------------------------------------------------------------------------------------------------

  run(code: string, options: RunOptions = {}): Run {
    const { pool, context } = this.#core;
    const id = crypto.randomUUID();
    try {
      checkRun(code, options);
      return this.#submit(id, code, options, resolveLimits(options, context.options));
    } catch (error) {
      const job = this.#job(id, {}, context.options.limits);
      pool.reject(job, error);
      return job.handle;
    }
  }

  #submit(id: string, code: string, options: RunOptions, limits: RunLimits): Run {
    const { pool } = this.#core;
    this.#assertOpen();
    const message = runMessage(id, code, options, limits);
    const job = this.#job(id, options, limits);
    if (options.signal?.aborted) {
      pool.abort(job);
      return job.handle;
    }
    this.#jobs.add(job);
    job.onSettled = () => void this.#jobs.delete(job);
    if (options.signal) job.listenTo(options.signal);
    if (!(message instanceof Promise)) {
      job.message = message;
      pool.submit(job);
      return job.handle;
    }
    job.handle.status('queued');
    message.then(
      (ready) => {
        job.message = ready;
        if (!job.settled) pool.submit(job);
      },
      (error: unknown) => pool.reject(job, error),
    );
    return job.handle;
  }

  #job(id: string, options: RunOptions, limits: RunLimits): Job {
    const { context, pool } = this.#core;
    const isolation = context.options.pool ? (options.isolation ?? context.options.isolation) : 'process';
    return new Job(id, { isolation, limits }, options, context.engine.kind, context.clock.now(), (job) =>
      pool.abort(job),
    );
  }

  // ---- the whole ---------------------------------------------------------------------------------------------------

  stats(): RuntimeStats {
    return { ...this.#core.pool.stats(), status: this.status };
  }

  async warm(): Promise<void> {
    this.#assertOpen();
    await this.#core.pool.warm();
  }

  async restart(): Promise<void> {
    this.#assertOpen();
    await this.#core.pool.restart();
  }

  async drain(): Promise<void> {
    while (this.#jobs.size > 0) await Promise.allSettled([...this.#jobs].map((job) => job.handle));
  }

  async healthCheckAll(): Promise<WorkerHealth[]> {
    return this.#closing ? [] : this.#core.pool.healthCheckAll();
  }

  subscribe(listener: (event: RuntimeEvent) => void): () => void {
    return this.#core.pool.subscribe(listener);
  }

  /** A later call with a shorter grace period hastens the first. */
  close({ graceMs = defaultCloseGraceMs }: { graceMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close();
    const { context, pool } = this.#core;
    const kill = () => {
      for (const job of [...this.#jobs]) pool.abandon(job, 'Interrupted: the runtime was closed.');
    };
    const timer = this.#closed ? undefined : context.clock.setTimeout(kill, graceMs);
    return this.#closing.finally(() => timer?.cancel());
  }

  /** With others on the pool only this runtime's own runs are ended. */
  async #close(): Promise<void> {
    const { context, pool } = this.#core;
    // `#closing` has to be set before anything is told.
    await undefined;
    const last = --this.#core.users === 0;
    for (const job of [...this.#jobs])
      if (!job.slot)
        pool.withdraw(job, new UsageError('closed', 'The runtime was closed before the run started.'));
    if (last) {
      await pool.close();
      await context.engine[Symbol.asyncDispose]();
    } else await this.drain();
    this.#closed = true;
  }

  #assertOpen(): void {
    if (this.#closing) throw new UsageError('closed', 'The runtime is closed.');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
