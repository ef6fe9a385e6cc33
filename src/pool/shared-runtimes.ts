import type { LocalRuntime } from './local-runtime.ts';
import type { ResolvedRuntimeOptions } from './runtime-options.ts';

/** Runtimes by their options: those with equal ones, the same logger included, share one pool. */
export class SharedRuntimes {
  readonly #founders: Map<string, Promise<LocalRuntime>> = new Map();
  readonly #loggers: WeakMap<object, number> = new WeakMap();
  #lastLogger = 0;

  /** Kinds of which a pool is open. */
  get size(): number {
    return this.#founders.size;
  }

  /** `create` is called for the first of its kind. The pool ends with the last runtime on it that is closed. */
  async join(options: ResolvedRuntimeOptions, create: () => Promise<LocalRuntime>): Promise<LocalRuntime> {
    const key = this.#key(options);
    const founder = this.#founders.get(key);
    if (founder) {
      const runtime = (await founder).share();
      if (runtime) return runtime;
      // Its pool is being closed; who comes first founds the next one.
      if (this.#founders.get(key) === founder) this.#founders.delete(key);
      return this.join(options, create);
    }
    const created = create();
    this.#founders.set(key, created);
    const forget = () => {
      if (this.#founders.get(key) === created) this.#founders.delete(key);
    };
    try {
      const runtime = await created;
      void runtime.poolClosed.then(forget);
      return runtime;
    } catch (error) {
      forget();
      throw error;
    }
  }

  #key({ logger, ...options }: ResolvedRuntimeOptions): string {
    let id = logger === undefined ? 0 : this.#loggers.get(logger);
    if (logger !== undefined && id === undefined) {
      id = ++this.#lastLogger;
      this.#loggers.set(logger, id);
    }
    return JSON.stringify({ ...options, logger: id }, (_, value: unknown) => {
      if (value === Infinity) return 'Infinity';
      if (typeof value !== 'object' || value === null) return value;
      return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
    });
  }
}
