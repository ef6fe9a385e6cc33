import type { FreezeReason } from '../runtime.ts';
import type { Clock, Timer } from '../util/clock.ts';

/** A session whose worker is wanted, but which the store doesn't take now, is asked again after so much time. */
const retryMs = 5000;

/** When a session has to give its worker back, and that it's looked at then. */
export class Rest {
  readonly #clock: Clock;
  readonly #idleTimeoutMs: number;
  readonly #look: () => void;
  /** Others wait for the worker since then. */
  #wanted: number | undefined;
  #isIdle = false;
  /** Nothing is given back before then. */
  #notBefore = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(clock: Clock, idleTimeoutMs: number, look: () => void) {
    this.#clock = clock;
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#look = look;
  }

  want(since: number): void {
    this.#wanted = Math.min(since, this.#wanted ?? since);
    this.#look();
  }

  /** What could not be given back is kept for now. */
  get isPostponed(): boolean {
    return this.#clock.now() < this.#notBefore;
  }

  postpone(): void {
    this.#notBefore = this.#clock.now() + retryMs;
  }

  /** Why it has to go before the next call, which came at `next`, if one waits. */
  reason(next: number | undefined): FreezeReason | undefined {
    if (this.#wanted !== undefined && (next === undefined || next > this.#wanted)) return 'wanted';
    return this.#isIdle && next === undefined ? 'idle' : undefined;
  }

  /** No call waits. */
  begin(): void {
    this.#timer?.cancel();
    const ms = this.isPostponed ? this.#notBefore - this.#clock.now() : this.#idleTimeoutMs;
    const over = () => {
      this.#isIdle = ms === this.#idleTimeoutMs;
      this.#look();
    };
    this.#timer = this.#clock.setTimeout(over, ms, { unref: true });
  }

  /** There is something to do. */
  end(): void {
    this.#isIdle = false;
    this.#timer?.cancel();
  }

  /** It is given back, or lost. */
  clear(): void {
    this.#wanted = undefined;
    this.end();
  }
}
