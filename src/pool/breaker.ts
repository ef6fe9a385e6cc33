/** Failures in a row that open the circuit. */
export const failuresToOpen = 5;
const firstBackoffMs = 100;
export const maxBackoffMs = 30_000;

/**
 * Remembers boots that failed. After each one the next boot waits, twice as long each time, give or take a half;
 * after `failuresToOpen` in a row the circuit is open and runs are refused until a boot succeeds.
 */
export class Breaker {
  readonly #random: () => number;
  #failures = 0;
  #open = false;
  #lastError: Error | undefined;

  constructor(random: () => number) {
    this.#random = random;
  }

  get failures(): number {
    return this.#failures;
  }

  get open(): boolean {
    return this.#open;
  }

  get lastError(): Error | undefined {
    return this.#lastError;
  }

  /** Returns the time until the next try. With `final`, trying again can't help: opens at once. */
  failed(error: Error, final: boolean): number {
    this.#failures++;
    this.#lastError = error;
    if (final || this.#failures >= failuresToOpen) this.#open = true;
    const backoff = Math.min(maxBackoffMs, firstBackoffMs * 2 ** (this.#failures - 1));
    return Math.round(backoff * (0.5 + this.#random()));
  }

  /** Returns whether the circuit was open. */
  succeeded(): boolean {
    const wasOpen = this.#open;
    this.#failures = 0;
    this.#open = false;
    return wasOpen;
  }
}
