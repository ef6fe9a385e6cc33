import type { StopReason } from '../protocol/messages.ts';
import type { Clock, Timer } from '../util/clock.ts';

/** The kernel stops itself at its deadline; the host says it once more this much later. */
const interruptSlackMs = 100;

export interface StopActions {
  interrupt(reason: StopReason): void;
  /** The run did not end within the grace period. */
  kill(reason: StopReason): void;
}

/** Stops one run: at its deadline or when asked, by an interrupt first, by force after `killGraceMs`. One timer. */
export class Stopper {
  readonly #clock: Clock;
  readonly #killGraceMs: number;
  readonly #actions: StopActions;
  #timer: Timer;
  #dueAt: number;
  #requested: StopReason | undefined;
  /** Until the deadline, while its clock stands. */
  #leftMs: number | undefined;

  constructor(clock: Clock, timeoutMs: number, killGraceMs: number, actions: StopActions) {
    this.#clock = clock;
    this.#killGraceMs = killGraceMs;
    this.#actions = actions;
    this.#dueAt = clock.now() + timeoutMs + interruptSlackMs;
    this.#timer = this.#deadline();
  }

  /** Why it was told to stop, if it was. */
  get requested(): StopReason | undefined {
    return this.#requested;
  }

  /** Only the first call counts. */
  stop(reason: StopReason): void {
    if (this.#requested) return;
    this.#requested = reason;
    this.#timer.cancel();
    this.#timer = this.#clock.setTimeout(() => this.#actions.kill(reason), this.#killGraceMs);
    this.#actions.interrupt(reason);
  }

  /** The deadline's clock stands until `resume`, and then goes on so much later. */
  pause(): void {
    if (this.#requested) return;
    this.#leftMs = this.#dueAt - this.#clock.now();
    this.#timer.cancel();
  }

  resume(extraMs = 0): void {
    if (this.#requested || this.#leftMs === undefined) return;
    this.#dueAt = this.#clock.now() + this.#leftMs + extraMs;
    this.#leftMs = undefined;
    this.#timer = this.#deadline();
  }

  /** For good: nothing stops any more. */
  cancel(): void {
    this.#leftMs = undefined;
    this.#timer.cancel();
  }

  // A timer in any case, and one that counts: a run under way keeps the process alive.
  #deadline(): Timer {
    const ms = this.#dueAt - this.#clock.now();
    return ms === Infinity
      ? this.#clock.setTimeout(() => undefined, 2 ** 31 - 1)
      : this.#clock.setTimeout(() => this.stop('timeout'), ms);
  }
}
