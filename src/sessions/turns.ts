import { Queue } from '../pool/queue.ts';

interface Call {
  readonly since: number;
  /** Never rejects. */
  work(): Promise<void>;
}

/** Calls of one session: one at a time, in the order of their coming. */
export class Turns {
  readonly #queue: Queue<Call> = new Queue();
  readonly #between: (next: number | undefined) => Promise<void>;
  #calling = false;
  #looping = false;
  #nudged = false;

  /** `between`: done before each call, and when there is none; told since when the next one waits. Never rejects. */
  constructor(between: (next: number | undefined) => Promise<void>) {
    this.#between = between;
  }

  /** A call is under way or waits. */
  get busy(): boolean {
    return this.#calling || this.#queue.size > 0;
  }

  take<T>(since: number, work: () => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    // Who hears of its end finds the session at rest.
    const end = (tell: () => void) => {
      this.#calling = false;
      tell();
    };
    const call = () =>
      work().then(
        (result) => end(() => resolve(result)),
        (error: unknown) => end(() => reject(error)),
      );
    this.#queue.push({ since, work: call });
    this.nudge();
    return promise;
  }

  /** Something changed that `between` should look at. */
  nudge(): void {
    this.#nudged = true;
    if (!this.#looping) void this.#loop();
  }

  async #loop(): Promise<void> {
    this.#looping = true;
    try {
      while (this.#nudged || this.#queue.size > 0) {
        this.#nudged = false;
        await this.#between(this.#queue.peek()?.since);
        const call = this.#queue.shift();
        if (!call) continue;
        this.#calling = true;
        await call.work();
        // What it left is looked at, also when it was the last.
        this.#nudged = true;
      }
    } finally {
      this.#looping = false;
    }
  }
}
