import { VivariumError } from '../errors/errors.ts';
import type { Timer } from '../util/clock.ts';
import { Breaker } from './breaker.ts';
import type { PoolContext } from './context.ts';

/** Another worker of an image that others are there for, after a boot of it failed. */
const otherImageRetryMs = 5000;

/**
 * When workers may be booted, after boots that failed. The circuit knows of the runtime's own image only: a run that
 * asks for another one waits for one try, and is told how that ended.
 */
export class BootRetries {
  readonly #context: PoolContext;
  readonly #own: string;
  readonly #retry: () => void;
  readonly #breaker: Breaker;
  /** Workers that died without having run anything; they booted well, so the circuit knows nothing of them. */
  readonly #stillborn: Breaker;
  readonly #timers: Map<string, Timer> = new Map();

  constructor(context: PoolContext, own: string, retry: () => void) {
    this.#context = context;
    this.#own = own;
    this.#retry = retry;
    this.#breaker = new Breaker(context.random);
    this.#stillborn = new Breaker(context.random);
  }

  get failing(): boolean {
    return this.#breaker.failures > 0;
  }

  /** The last boot's error while the circuit is open and it isn't time for another try. */
  get outage(): Error | undefined {
    return this.#breaker.open && this.#timers.has(this.#own) ? this.#breaker.lastError : undefined;
  }

  /** How many of those wanted may be booted now, beside `booting` and `live` ones of the same image. */
  allowed(key: string, wanted: number, booting: number, live: number): number {
    const waits = this.#timers.has(key);
    if (key !== this.#own) return waits && booting + live > 0 ? 0 : wanted;
    if (waits) return 0;
    // After a failure one at a time.
    return this.failing ? Math.min(wanted, 1 - booting) : wanted;
  }

  booted(key: string): void {
    if (key === this.#own && this.#breaker.succeeded())
      this.#context.telemetry.emit({ type: 'circuit', open: false });
  }

  failed(key: string, error: Error): void {
    const { telemetry, options } = this.#context;
    const wasOpen = this.#breaker.open;
    let retryInMs = 0;
    // Without a pool the run that wanted the worker fails with it; there is nothing to keep trying for.
    if (options.pool) {
      retryInMs =
        key === this.#own
          ? this.#breaker.failed(error, error instanceof VivariumError && !error.retryable)
          : otherImageRetryMs;
      this.#wait(key, retryInMs);
    }
    const attempt = key === this.#own ? Math.max(1, this.#breaker.failures) : 1;
    telemetry.emit({ type: 'worker:boot_failed', error, attempt, retryInMs });
    if (this.#breaker.open && !wasOpen) telemetry.emit({ type: 'circuit', open: true, error });
  }

  diedUnused(key: string, error: Error): void {
    if (key === this.#own) this.#wait(key, this.#stillborn.failed(error, false));
  }

  /** A worker has run something. */
  wasUsed(key: string): void {
    if (key === this.#own) this.#stillborn.succeeded();
  }

  cancel(): void {
    for (const timer of this.#timers.values()) timer.cancel();
  }

  #wait(key: string, ms: number): void {
    this.#timers.get(key)?.cancel();
    const retry = () => {
      this.#timers.delete(key);
      this.#retry();
    };
    this.#timers.set(key, this.#context.clock.setTimeout(retry, ms, { unref: true }));
  }
}
