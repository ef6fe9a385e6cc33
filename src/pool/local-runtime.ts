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
import type { Session, SessionInfo, SessionOptions, SessionRunOptions } from '../session.ts';
import type { Timer } from '../util/clock.ts';
import { checkOptions, number, optional } from '../util/options.ts';
import type { PoolContext } from './context.ts';
import type { ImageRequest } from './images.ts';
import { Job, type JobMessage, ownTenant } from './job.ts';
import { Listeners } from './listeners.ts';
import { defaultCloseGraceMs, Pool } from './pool.ts';
import { checkRun, checkSessionRun, imageRequest, resolveLimits, runMessage } from './run-options.ts';
import type { SessionHost, SessionOpener, TakenRun } from './session-host.ts';

/** Somebody waits for the answer with a key pressed. */
const questionTimeoutMs = 2000;
/** For what is told about the workers that were ended; what a store hasn't answered then is not waited for. */
const lateMs = 2000;
const closeShape = { graceMs: optional(number({ min: 0 })) };

/** A pool and how many runtimes that aren't closed are on it. */
interface Core {
  readonly context: PoolContext;
  readonly pool: Pool;
  readonly closed: PromiseWithResolvers<void>;
  users: number;
  /** Absent before the first session. */
  sessions: Promise<SessionHost> | undefined;
}

/** A runtime whose workers are this program's own. */
export class LocalRuntime implements Runtime, SessionOpener {
  readonly #core: Core;
  readonly #jobs: Set<Job> = new Set();
  /** Its own: others may go on with the pool when this runtime is closed. */
  readonly #listeners: Listeners;
  readonly #leavePool: () => void;
  #closing: Promise<void> | undefined;
  readonly #overdue: PromiseWithResolvers<void> = Promise.withResolvers<void>();
  #end: 'closing' | 'closed' | undefined;

  constructor(context: PoolContext, core?: Core) {
    this.#core = core ?? {
      context,
      pool: new Pool(context),
      closed: Promise.withResolvers<void>(),
      users: 0,
      sessions: undefined,
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
      this.assertOpen();
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
    this.#assertFindable(request);
    if (!request) job.image = context.image;
    if (!this.#admit(job, options)) return;
    const { sessionBytes } = options;
    const message = runMessage(job.id, code, options, job.limits, () => job.settled);
    if (!(message instanceof Promise || request || sessionBytes)) {
      job.message = message;
      pool.submit(job);
      return;
    }
    job.handle.status('queued');
    const image = request ? this.#findFor(job, request) : context.image;
    const host = sessionBytes && this.#sessionHost();
    Promise.all([message, image, host]).then(
      ([ready, found, sessions]) => {
        job.message = ready;
        job.image = found;
        if (job.settled) return;
        if (sessions && sessionBytes) void sessions.carry(job, sessionBytes);
        else pool.submit(job);
      },
      (error: unknown) => pool.reject(job, error),
    );
  }

  /** False: it's settled. */
  #admit(job: Job, { signal }: Pick<RunOptions, 'signal'>): boolean {
    const { pool } = this.#core;
    if (signal?.aborted) {
      pool.abort(job);
      return false;
    }
    if (!pool.admit(job)) return false;
    this.#jobs.add(job);
    job.onSettled.push(() => this.#jobs.delete(job));
    if (signal) job.listenTo(signal);
    return true;
  }

  async #findFor(job: Job, request: ImageRequest): Promise<ImageSource> {
    const { images, image } = this.#core.context;
    const finding = new AbortController();
    job.onSettled.push(() => finding.abort());
    let found: ImageSource | undefined;
    const onProgress = (progress: Progress) => {
      if (!found && !job.settled) job.progress(progress);
    };
    found = (await images?.find(request, { signal: finding.signal, onProgress })) ?? image;
    return found;
  }

  #assertFindable(request: ImageRequest | undefined): void {
    if (request && !this.#core.context.images)
      throw new UsageError(
        'usage',
        'run: this runtime has one image: image and packages are its own options.',
      );
  }

  #job(id: string, options: RunOptions, limits: RunLimits): Job {
    const { context, pool } = this.#core;
    const isolation = context.options.pool ? (options.isolation ?? context.options.isolation) : 'process';
    const { tenant = ownTenant } = options;
    const request = { isolation, tenant, limits };
    return new Job(id, request, options, context.engine.kind, context.clock.now(), (job) => pool.abort(job));
  }

  // ---- sessions ----------------------------------------------------------------------------------------------------

  async session(id: string, options?: SessionOptions): Promise<Session> {
    this.assertOpen();
    const host = await this.#sessionHost();
    return host.open(id, options, this);
  }

  async sessions(options?: { tenant?: string | undefined }): Promise<SessionInfo[]> {
    this.assertOpen();
    const host = await this.#sessionHost();
    return host.list(options);
  }

  async removeSession(id: string, options?: { tenant?: string | undefined }): Promise<void> {
    this.assertOpen();
    const host = await this.#sessionHost();
    await host.remove(id, options);
  }

  #sessionHost(): Promise<SessionHost> {
    const core = this.#core;
    const { context, pool } = core;
    if (!context.sessions) throw new UsageError('usage', 'This runtime has no sessions.');
    core.sessions ??= context.sessions(pool, context);
    return core.sessions;
  }

  async find(request: ImageRequest | undefined): Promise<ImageSource> {
    const { images, image, telemetry } = this.#core.context;
    this.#assertFindable(request);
    if (!request || !images) return image;
    const onProgress = (progress: Progress) => telemetry.emit({ type: 'progress', progress });
    return images.find(request, { signal: new AbortController().signal, onProgress });
  }

  take(
    code: string,
    options: SessionRunOptions | undefined,
    { tenant, image, question }: Parameters<SessionOpener['take']>[2],
  ): TakenRun {
    const { pool, context } = this.#core;
    const id = crypto.randomUUID();
    let job: Job | undefined;
    let ready: Promise<void> | undefined;
    try {
      const checked = checkSessionRun(code, options);
      const limits = resolveLimits(checked, context.options);
      if (question) limits.timeoutMs = Math.min(limits.timeoutMs, questionTimeoutMs);
      this.assertOpen();
      const taken = this.#job(id, { ...checked, tenant }, limits);
      job = taken;
      job.image = image;
      if (this.#admit(job, checked)) {
        job.handle.status('queued');
        const message = runMessage(id, code, checked, limits, () => taken.settled);
        if (!(message instanceof Promise))
          job.message = question ? { ...message, purpose: question } : message;
        else ready = this.#read(job, message);
      }
    } catch (error) {
      job ??= this.#job(id, { tenant }, context.options.limits);
      pool.reject(job, error);
    }
    return { job, ready: ready ?? Promise.resolve() };
  }

  async #read(job: Job, message: Promise<JobMessage>): Promise<void> {
    const over = new Promise<void>((resolve) => job.onSettled.push(resolve));
    const read = async () => {
      try {
        job.message = await message;
      } catch (error) {
        this.#core.pool.reject(job, error);
      }
    };
    await Promise.race([read(), over]);
  }

  // ---- the whole ---------------------------------------------------------------------------------------------------

  stats(): RuntimeStats {
    return { ...this.#core.pool.stats(), status: this.status };
  }

  async warm(): Promise<void> {
    this.assertOpen();
    await this.#core.pool.warm();
  }

  async restart(): Promise<void> {
    this.assertOpen();
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
      late ??= context.clock.setTimeout(() => this.#overdue.resolve(), lateMs);
    };
    let late: Timer | undefined;
    using _timer = this.#end === 'closed' ? undefined : context.clock.setTimeout(kill, graceMs);
    try {
      await this.#closing;
    } finally {
      late?.cancel();
    }
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
    const over = last ? this.#endAll() : this.#leaveAll();
    await Promise.race([over, this.#overdue.promise]);
    // After its time it has nothing to tell any more.
    over.catch(() => undefined);
    for (const job of [...this.#jobs])
      pool.reject(
        job,
        new UsageError('closed', 'The runtime was closed before the store had what the run left.'),
      );
    if (last) {
      await context.engine[Symbol.asyncDispose]();
      closed.resolve();
    }
    this.#leavePool();
    this.#end = 'closed';
    this.#listeners.tell({ type: 'status', status: 'closed', previous: 'closing' });
    this.#listeners.clear();
  }

  async #endAll(): Promise<void> {
    const sessions = await this.#core.sessions?.catch(() => undefined);
    await Promise.all([sessions?.close(), this.#core.pool.close()]);
  }

  async #leaveAll(): Promise<void> {
    const sessions = await this.#core.sessions?.catch(() => undefined);
    await sessions?.leave(this);
    await this.drain();
  }

  assertOpen(): void {
    if (this.#end) throw new UsageError('closed', 'The runtime is closed.');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
