import type { Clock, Timer } from '../util/clock.ts';
import type { Slot } from './slot.ts';

export interface Idlers {
  /** Idle slots, those to keep longest first. */
  idle(): Slot[];
  /** Whether there are more of its kind than are wanted. */
  hasSurplus(slot: Slot): boolean;
  end(slot: Slot): void;
}

/** Ends slots that nobody needed for some time. One timer at most: it looks at all slots when the first is due. */
export class IdleSweep {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #idlers: Idlers;
  #timer: Timer | undefined;

  constructor(clock: Clock, timeoutMs: number, idlers: Idlers) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#idlers = idlers;
  }

  /** To be called when a slot becomes idle. */
  schedule(): void {
    if (this.#timer || this.#timeoutMs === Infinity) return;
    const surplus = this.#idlers.idle().filter((slot) => this.#idlers.hasSurplus(slot));
    const oldest = Math.min(...surplus.map((slot) => slot.idleSince));
    if (oldest === Infinity) return;
    const ms = Math.max(0, oldest + this.#timeoutMs - this.#clock.now());
    this.#timer = this.#clock.setTimeout(() => this.#sweep(), ms, { unref: true });
  }

  cancel(): void {
    this.#timer?.cancel();
  }

  #sweep(): void {
    this.#timer = undefined;
    const due = this.#clock.now() - this.#timeoutMs;
    for (const slot of this.#idlers.idle().reverse())
      if (slot.idleSince <= due && this.#idlers.hasSurplus(slot)) this.#idlers.end(slot);
    this.schedule();
  }
}
