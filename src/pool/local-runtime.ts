import { UsageError } from '../errors/errors.ts';
import type { ImageSource } from '../packages/image-source.ts';
import type {
  Progress,
  Run,
  RunLimits,
  RunOptions,
  Runtime,
  RuntimeEvent,
  RuntimeStats,
  RuntimeStatus,
  WorkerHealth,
} from '../runtime.ts';
import { checkOptions, number, optional } from '../util/options.ts';
import type { PoolContext } from './context.ts';
import type { ImageRequest } from './images.ts';
import { Job, ownTenant } from './job.ts';
import { Listeners } from './listeners.ts';
import { defaultCloseGraceMs, Pool } from './pool.ts';
import { checkRun, imageRequest, resolveLimits, runMessage } from './run-options.ts';

const closeShape = { graceMs: optional(number({ min: 0 })) };

/** A pool and how many runtimes that aren't closed are on it. */
interface Core {
  readonly context: PoolContext;
  readonly pool: Pool;
  readonly closed: PromiseWithResolvers<void>;
  users: number;
}

/** A runtime whose workers are this program's own. */
export class LocalRuntime implements Runtime {
  readonly #core: Core;
  readonly #jobs: Set<Job> = new Set();
  /** Its own: others may go on with the pool when this runtime is closed. */
  readonly #listeners: Listeners;
  readonly #leavePool: () => void;
  #closing: Promise<void> | undefined;
  #end: 'closing' | 'closed' | undefined;

  constructor(context: PoolContext, core?: Core) {
    this.#core = core ?? {
      context,
      pool: new Pool(context),
      closed: Promise.withResolvers<void>(),
      users: 0,
    };
    this.#core.users++;
    this.#listeners = new Listeners(context.options.logger);
    this.#leavePool = context.telemetry.listeners.add((event) => {
      if (event.type !== 'status' || !this.#end) this.#listeners.tell(event);
    });
  }

  /** Another runtime on the same pool; undefined when the pool is being closed. */
  share(): LocalRuntime | undefined {
    return this.#core.users > 0 ? new LocalRuntime(this.#core.context, this.#core) : undefined;
  }

  /** Resolves when the last runtime on the pool has been closed. */
  get poolClosed(): Promise<void> {
    return this.#core.closed.promise;
  }

  get status(): RuntimeStatus {
    return this.#end ?? this.#core.pool.status;
  }

  get lastError(): Error | undefined {
    return this.#core.pool.lastError;
  }

  // ---- runs --------------------------------------------------------------------------------------------------------

  run(code: string, options?: RunOptions): Run {
    const { pool, context } = this.#core;
    const id = crypto.randomUUID();
    let job: Job | undefined;
    try {
      const checked = checkRun(code, options);
      const limits = resolveLimits(checked, context.options);
      this.#assertOpen();
      job = this.#job(id, checked, limits);
      this.#submit(job, code, checked);
    } catch (error) {
      job ??= this.#job(id, {}, context.options.limits);
      pool.reject(job, error);
    }
    return job.handle;
  }

  #submit(job: Job, code: string, options: RunOptions): void {
    const { pool, context } = this.#core;
    const request = imageRequest(options);
    if (request && !context.images)
      throw new UsageError(
        'usage',
        'run: this runtime has one image: image and packages are its own options.',
      );
    if (!request) job.image = context.image;
    if (options.signal?.aborted) {
      pool.abort(job);
      return;
    }
    if (!pool.admit(job)) return;
    this.#jobs.add(job);
    const finding = request && new AbortController();
    job.onSettled.push(() => {
      this.#jobs.delete(job);
      finding?.abort();
    });
    if (options.signal) job.listenTo(options.signal);
    const message = runMessage(job.id, code, options, job.limits, () => job.settled);
    if (!(message instanceof Promise || finding)) {
      job.message = message;
      pool.submit(job);
      return;
    }
    job.handle.status('queued');
    const image = finding ? this.#find(job, request, finding.signal) : context.image;
    Promise.all([message, image]).then(
      ([ready, found]) => {
        job.message = ready;
        job.image = found;
        if (!job.settled) pool.submit(job);
      },
      (error: unknown) => pool.reject(job, error),
    );
  }

  async #find(job: Job, request: ImageRequest, signal: AbortSignal): Promise<ImageSource> {
    const { images, image } = this.#core.context;
    let found: ImageSource | undefined;
    const onProgress = (progress: Progress) => {
      if (!found && !job.settled) job.progress(progress);
    };
    found = (await images?.find(request, { signal, onProgress })) ?? image;
    return found;
  }

  #job(id: string, options: RunOptions, limits: RunLimits): Job {
    const { context, pool } = this.#core;
    const isolation = context.options.pool ? (options.isolation ?? context.options.isolation) : 'process';
    const { tenant = ownTenant } = options;
    const request = { isolation, tenant, limits };
    return new Job(id, request, options, context.engine.kind, context.clock.now(), (job) => pool.abort(job));
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
    return this.#end ? [] : this.#core.pool.healthCheckAll();
  }

  subscribe(listener: (event: RuntimeEvent) => void): () => void {
    return this.#listeners.add(listener);
  }

  /** A later call with a shorter grace period hastens the first. */
  async close(options?: { graceMs?: number | undefined }): Promise<void> {
    const { graceMs = defaultCloseGraceMs } = checkOptions('close', options, closeShape);
    this.#closing ??= this.#close();
    const { context, pool } = this.#core;
    const kill = () => {
      for (const job of [...this.#jobs]) pool.abandon(job, 'Interrupted: the runtime was closed.');
      if (this.#core.users === 0) pool.kill();
    };
    using _timer = this.#end === 'closed' ? undefined : context.clock.setTimeout(kill, graceMs);
    await this.#closing;
  }

  /** With others on the pool only this runtime's own runs are ended. */
  async #close(): Promise<void> {
    const { context, pool, closed } = this.#core;
    const previous = this.status;
    this.#end = 'closing';
    // `#closing` has to be set before anything is told.
    await undefined;
    this.#listeners.tell({ type: 'status', status: 'closing', previous });
    const last = --this.#core.users === 0;
    for (const job of [...this.#jobs]) {
      if (job.slot) continue;
      // Who closes the runtime knows what becomes of it; a run that nobody awaits must not end the program.
      job.handle.catch(() => undefined);
      pool.withdraw(job, new UsageError('closed', 'The runtime was closed before the run started.'));
    }
    if (last) {
      await pool.close();
      await context.engine[Symbol.asyncDispose]();
      closed.resolve();
    } else await this.drain();
    this.#leavePool();
    this.#end = 'closed';
    this.#listeners.tell({ type: 'status', status: 'closed', previous: 'closing' });
    this.#listeners.clear();
  }

  #assertOpen(): void {
    if (this.#end) throw new UsageError('closed', 'The runtime is closed.');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
