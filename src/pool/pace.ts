/** Runs whose length is remembered: enough for a middle, few enough to follow a change. */
const remembered = 32;
/** Without a run that has ended nothing is known; with runs that end at their limits it would be too much. */
const longestMs = 60_000;

/** How long runs take, from the last ones that ended. */
export class Pace {
  readonly #last: number[] = [];
  #next = 0;

  note(runMs: number): void {
    this.#last[this.#next] = runMs;
    this.#next = (this.#next + 1) % remembered;
  }

  /** Milliseconds in which so many runs, one after another, will have ended. Undefined as long as none has. */
  estimate(runs: number): number | undefined {
    const sorted = [...this.#last].sort((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)];
    return median === undefined ? undefined : Math.min(longestMs, Math.max(1, Math.ceil(median * runs)));
  }
}
