/**
 * Readies the JavaScript realm of a kernel before Pyodide's glue is imported. It must run first: the glue looks at the
 * globals when it loads.
 */

/** Callbacks that outlive a run would act on a rewound heap, so each registration remembers its epoch. */
let epoch = 0;

/** Everything registered before this call is dropped when it fires. */
export function advanceEpoch(): void {
  epoch += 1;
}

/**
 * Makes the realm look like a bare module worker: no Node, no Deno, no stack switching. One branch of Pyodide's glue
 * is then left on every engine, images fit all engines alike, and guest code that reaches JavaScript finds no handle
 * on the process. This is depth: the boundary is the process.
 */
export function disguiseRealm(): void {
  const realm = globalThis as Record<string, unknown>;
  for (const name of [
    'process',
    'Buffer',
    'Deno',
    'require',
    'Bun',
    'fetch',
    'XMLHttpRequest',
    'WebSocket',
  ]) {
    remove(realm, name);
  }
  realm['WorkerGlobalScope'] ??= class WorkerGlobalScope {};
  realm['location'] ??= { href: 'worker:/' };
  remove(WebAssembly as unknown as Record<string, unknown>, 'Suspending');
  remove(WebAssembly as unknown as Record<string, unknown>, 'promising');
  guardFinalizers(realm);
}

function remove(target: Record<string, unknown>, name: string): void {
  if (Reflect.deleteProperty(target, name)) return;
  Object.defineProperty(target, name, { value: undefined, configurable: false, writable: false });
}

/** A `PyProxy` that is collected after a rewind must not decrement a count in the new heap. */
function guardFinalizers(realm: Record<string, unknown>): void {
  const Native = FinalizationRegistry;
  realm['FinalizationRegistry'] = class<T> {
    readonly #native = new Native<{ epoch: number; held: T }>(({ epoch: since, held }) => {
      if (since === epoch) this.#cleanup(held);
    });
    readonly #cleanup: (held: T) => void;

    constructor(cleanup: (held: T) => void) {
      this.#cleanup = cleanup;
    }

    register(target: WeakKey, held: T, token?: WeakKey): void {
      this.#native.register(target, { epoch, held }, token);
    }

    unregister(token: WeakKey): boolean {
      return this.#native.unregister(token);
    }
  };
}
