/** By how much the clock of this realm is ahead of the engine's. */
let aheadMs = 0;

/** The time in every build of an image. */
const buildTimeMs = Date.UTC(2025, 0, 1);
const tickMs = 0.001;

/**
 * Makes whatever the realm draws or measures the same each time: with it, two builds of one image are equal to the byte, and a session
 * that was frozen on one machine fits the image that another one has built. For a kernel that builds an image and runs nothing else.
 * Called before `disguiseRealm`. Time passes by looking at it and by `advanceClock`.
 */
export function makeReproducible(): void {
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 16;
  };
  let now = 0;
  const tick = (): number => {
    now += tickMs;
    return now;
  };
  Math.random = () => next() / 2 ** 16;
  Object.defineProperty(crypto, 'getRandomValues', {
    value: (bytes: Uint8Array) => {
      const all = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let at = 0; at < all.length; at += 1) all[at] = next();
      return bytes;
    },
  });
  Object.defineProperty(performance, 'now', {
    value: tick,
  });
  Date.now = () => buildTimeMs + Math.floor(aheadMs + tick());
}

/** Sets the monotonic clock forward, so that it shows `ms` at least: it counts from the start of a thread, and Python's must not go back. */
export function advanceClock(ms: number): void {
  aheadMs += Math.max(0, ms - performance.now());
}

/** Back to the engine's. */
export function resetClock(): void {
  aheadMs = 0;
}

/**
 * Makes the realm of a kernel look like a bare module worker: the language, and the little of a platform that Pyodide and
 * the kernel use. It must run before Pyodide's glue is called, which looks at the globals then. One branch of the glue is
 * left on every engine, images fit all engines alike, and guest code that reaches JavaScript finds no handle on the
 * process, on messages or on timers. This is depth: the boundary is the process.
 */
export function disguiseRealm(): void {
  const realm = globalThis as Record<string, unknown>;
  const { performance, crypto } = globalThis;
  // Objects of the platform lead to its inner parts: what is used of them is handed on by functions of ours.
  const replaced: Record<string, unknown> = {
    performance: { now: () => performance.now() + aheadMs },
    crypto: {
      getRandomValues: (bytes: Uint8Array<ArrayBuffer>) => crypto.getRandomValues(bytes),
      subtle: {
        digest: (algorithm: string, bytes: Uint8Array<ArrayBuffer>) => crypto.subtle.digest(algorithm, bytes),
      },
    },
    // What Emscripten logs would go to the pipe that the host reads.
    console: Object.fromEntries(['log', 'info', 'warn', 'error', 'debug'].map((name) => [name, () => {}])),
    // Emscripten takes hold of them when it starts. Nothing is to call into Python when a run is over.
    ...Object.fromEntries(
      ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'].map((name) => [name, () => 0]),
    ),
    location: { href: 'worker:/' },
    self: globalThis,
    WorkerGlobalScope: class WorkerGlobalScope {},
  };
  for (const name of Object.getOwnPropertyNames(realm)) {
    if (!kept.has(name)) remove(realm, name);
    // Deno has accessors for some, behind which freezing would not look.
    else if (Object.getOwnPropertyDescriptor(realm, name)?.get !== undefined)
      Object.defineProperty(realm, name, { value: realm[name], enumerable: false, writable: true });
  }
  // In Deno what leads to events is inherited. What has been set to handle messages stays.
  for (let above = parentOf(realm); above !== null && above !== Object.prototype; above = parentOf(above)) {
    for (const name of Object.getOwnPropertyNames(above)) {
      // Deno hands messages over by it. Of what it takes nobody can make one any more.
      if (name !== 'dispatchEvent') remove(above, name);
    }
  }
  for (const [name, value] of Object.entries(replaced)) {
    Object.defineProperty(realm, name, { value, configurable: true, enumerable: false, writable: true });
  }
  const namespace = WebAssembly as unknown as Record<string, unknown>;
  for (const name of ['Suspending', 'promising']) remove(namespace, name);
  refuseCodeFromText(realm);
}

/** The language's own, and classes that do nothing but compute. */
const kept: ReadonlySet<string> = new Set(
  `AggregateError Array ArrayBuffer AsyncDisposableStack Atomics BigInt BigInt64Array BigUint64Array Boolean DataView Date
  DisposableStack Error EvalError FinalizationRegistry Float16Array Float32Array Float64Array Function Infinity Int16Array
  Int32Array Int8Array Intl Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError Reflect RegExp
  Set SharedArrayBuffer String SuppressedError Symbol SyntaxError TypeError URIError Uint16Array Uint32Array Uint8Array
  Uint8ClampedArray WeakMap WeakRef WeakSet WebAssembly decodeURI decodeURIComponent encodeURI encodeURIComponent eval
  globalThis isFinite isNaN parseFloat parseInt undefined TextDecoder TextEncoder`.split(/\s+/),
);

/** V8 is told the same where the engine can tell it; here for all. */
function refuseCodeFromText(realm: Record<string, unknown>): void {
  const makers = [() => {}, function* () {}, async () => {}, async function* () {}].map(
    (made) => Object.getPrototypeOf(made) as object,
  );
  for (const prototype of makers) {
    const refused = function refused(): never {
      throw new EvalError('code is not made from text here');
    };
    refused.prototype = prototype;
    Object.defineProperty(prototype, 'constructor', { value: refused, configurable: true, writable: true });
    if (prototype === Function.prototype) realm.Function = refused;
  }
  realm.eval = (): never => {
    throw new EvalError('code is not made from text here');
  };
}

function parentOf(each: object): Record<string, unknown> | null {
  return Object.getPrototypeOf(each) as Record<string, unknown> | null;
}

function remove(target: Record<string, unknown>, name: string): void {
  if (Reflect.deleteProperty(target, name)) return;
  Object.defineProperty(target, name, { value: undefined, configurable: false, writable: false });
}
