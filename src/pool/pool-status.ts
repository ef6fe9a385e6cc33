import { InstallError, InternalError, UsageError } from '../errors/errors.ts';
import type { RuntimeStatus } from '../runtime.ts';
import type { Timer } from '../util/clock.ts';
import type { PoolContext } from './context.ts';
import type { Crew } from './crew.ts';

/** A pool at one moment. */
export interface PoolSnapshot {
  readonly crew: Pick<Crew, 'hasOwn' | 'live' | 'booting' | 'failing' | 'outage'>;
  readonly queued: number;
  readonly running: number;
  readonly closing: boolean;
}

/** What a pool tells of itself as a whole: its status, that it is ready, that it has drained. */
export class PoolStatus {
  readonly #context: PoolContext;
  #status: RuntimeStatus = 'idle';
  #ready: PromiseWithResolvers<void> | undefined;
  #drained: PromiseWithResolvers<void> | undefined;
  #hasDrained = true;
  /** What waits keeps the process alive, as runs under way do by their own timers. */
  #keepAlive: Timer | undefined;

  constructor(context: PoolContext) {
    this.#context = context;
  }

  get present(): RuntimeStatus {
    return this.#status;
  }

  /** Somebody waits for a worker of the runtime's own image. */
  get awaited(): boolean {
    return this.#ready !== undefined;
  }

  /** Resolves with an update that finds a worker of the runtime's own image live; rejects with one that finds that none will be. */
  whenReady(): Promise<void> {
    this.#ready ??= Promise.withResolvers<void>();
    return this.#ready.promise;
  }

  /** Of a pool that has something to do: resolves with the update that finds nothing. */
  whenDrained(): Promise<void> {
    this.#drained ??= Promise.withResolvers<void>();
    return this.#drained.promise;
  }

  update(snapshot: PoolSnapshot): void {
    this.#settleReady(snapshot);
    this.#stayAlive(snapshot.queued > 0 || this.#ready !== undefined);
    this.#settleDrained(snapshot.queued + snapshot.running > 0);
    if (!snapshot.closing) this.#set(statusOf(snapshot.crew));
  }

  #settleReady({ crew, closing }: PoolSnapshot): void {
    const cause = crew.outage;
    if (crew.hasOwn) this.#ready?.resolve();
    else if (closing) this.#ready?.reject(new UsageError('closed', 'The runtime is closed.'));
    else if (cause) this.#ready?.reject(noWorker(cause));
    else return;
    this.#ready = undefined;
  }

  #stayAlive(wanted: boolean): void {
    if (wanted) {
      this.#keepAlive ??= this.#context.clock.setTimeout(() => undefined, 2 ** 31 - 1);
      return;
    }
    this.#keepAlive?.cancel();
    this.#keepAlive = undefined;
  }

  #settleDrained(busy: boolean): void {
    const drained = !busy && !this.#hasDrained;
    this.#hasDrained = !busy;
    if (!drained) return;
    this.#drained?.resolve();
    this.#drained = undefined;
    this.#context.telemetry.emit({ type: 'drain' });
  }

  #set(status: RuntimeStatus): void {
    const previous = this.#status;
    if (status === previous) return;
    this.#status = status;
    this.#context.telemetry.emit({ type: 'status', status, previous });
  }
}

/** What packages are to blame for says so itself. */
export function noWorker(cause: Error): Error {
  if (cause instanceof InstallError) return cause;
  return new InternalError('unavailable', `No worker starts: ${cause.message}`, { cause });
}

function statusOf({ failing, live, booting }: PoolSnapshot['crew']): RuntimeStatus {
  if (failing) return 'degraded';
  if (live > 0) return 'ready';
  return booting > 0 ? 'booting' : 'idle';
}
