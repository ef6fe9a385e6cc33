import type { RuntimeEvent } from '../runtime.ts';
import type { Logger } from './runtime-options.ts';

/** Who listens to a runtime. What one of them throws is logged and stops nothing. */
export class Listeners {
  readonly #logger: Logger | undefined;
  readonly #listeners: Set<(event: RuntimeEvent) => void> = new Set();

  constructor(logger: Logger | undefined) {
    this.#logger = logger;
  }

  /** Returns what ends it. */
  add(listener: (event: RuntimeEvent) => void): () => void {
    // A function of its own for each call: the same listener may come twice.
    const own = (event: RuntimeEvent) => listener(event);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  tell(event: RuntimeEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        attempt(() => this.#logger?.error({ error }, 'a listener of the runtime threw'));
      }
    }
  }

  clear(): void {
    this.#listeners.clear();
  }
}

/** A logger that throws must not stop the pool, and there is nobody else to tell. */
export function attempt(log: () => void): void {
  try {
    log();
  } catch {}
}
