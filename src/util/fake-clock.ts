import type { Clock, Timer } from './clock.ts';

interface Entry {
  due: number;
  callback: () => void;
}

/** A clock that a test moves by hand. */
export class FakeClock implements Clock {
  #now = 0;
  #entries: Entry[] = [];

  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void, ms: number, _options?: { unref?: boolean }): Timer {
    const entry = { due: this.#now + Math.max(ms, 0), callback };
    if (ms !== Infinity) this.#entries.push(entry);
    const cancel = () => {
      this.#entries = this.#entries.filter((other) => other !== entry);
    };
    return { cancel, [Symbol.dispose]: cancel };
  }

  /** Timers that have neither fired nor been cancelled. */
  get pending(): number {
    return this.#entries.length;
  }

  /** Moves time on and fires what falls due on the way, in order, also timers that those set. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#now = next.due;
      next.callback();
    }
    this.#now = end;
  }

  #next(end: number): Entry | undefined {
    let first: Entry | undefined;
    for (const entry of this.#entries) {
      if (entry.due <= end && (first === undefined || entry.due < first.due)) first = entry;
    }
    if (first !== undefined) this.#entries = this.#entries.filter((other) => other !== first);
    return first;
  }
}
