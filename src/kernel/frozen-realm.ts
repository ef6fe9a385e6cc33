/**
 * Freezes everything of the language that code in this realm can come by: the global names, and all objects that they,
 * literals and iteration lead to. Called once, after Pyodide has started and before others' code runs. From then on the
 * kernel's own code and Pyodide's find what they found before, whatever a guest gets hold of.
 *
 * A frozen prototype would also keep objects below it from being given a property of the same name by assignment
 * (`error.name = …`), which Pyodide and the kernel do. Where that happens, the prototype's values become accessors, which
 * let it. Not on the prototypes of arrays, promises and the like: V8 is quick with those as long as they are plain.
 */
export function freezeRealm(): void {
  const found = reach(roots());
  for (const prototype of assignedBelow()) letShadow(prototype);
  for (const each of found) {
    if (each === globalThis) continue;
    if (each === Error) freezeError();
    else Object.freeze(each);
  }
  freezeGlobals();
}

function roots(): object[] {
  const values = [].values();
  const iterators: unknown[] = [
    values,
    new Map().entries(),
    new Set().values(),
    ''[Symbol.iterator](),
    'a'.matchAll(/a/g),
    // The types of the language's version that is built for don't know them.
    (values as Iterator<unknown> & { map?: (of: () => unknown) => unknown }).map?.(() => 0),
    iteratorClass?.from({ next: () => ({ done: true, value: 0 }) }),
    new Intl.Segmenter().segment('a'),
    new Intl.Segmenter().segment('a')[Symbol.iterator](),
  ];
  const functions: unknown[] = [() => {}, function* () {}, async () => {}, async function* () {}];
  const made = [...iterators, ...functions].filter((each) => each !== undefined);
  return [globalThis, ...made.map((each) => Object.getPrototypeOf(each) as object)];
}

const iteratorClass = (globalThis as { Iterator?: { from(iterator: object): unknown } }).Iterator;
const iteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([].values())) as object;

/** All objects that these lead to by properties, accessors and prototypes. No accessor is called. */
function reach(from: readonly object[]): ReadonlySet<object> {
  const found = new Set<object>();
  const waiting: unknown[] = [...from];
  while (waiting.length > 0) {
    const each = waiting.pop();
    if ((typeof each !== 'object' && typeof each !== 'function') || each === null || found.has(each))
      continue;
    found.add(each);
    waiting.push(Object.getPrototypeOf(each));
    for (const key of Reflect.ownKeys(each)) {
      // Node and Deno keep what is theirs under symbols of their own.
      if (each === globalThis && typeof key === 'symbol') continue;
      const property = Object.getOwnPropertyDescriptor(each, key);
      if (property !== undefined) waiting.push(property.value, property.get, property.set);
    }
  }
  return found;
}

function assignedBelow(): object[] {
  const errors = [
    Error,
    AggregateError,
    EvalError,
    RangeError,
    ReferenceError,
    SyntaxError,
    TypeError,
    URIError,
    WebAssembly.CompileError,
    WebAssembly.LinkError,
    WebAssembly.RuntimeError,
  ];
  const iterators = [
    iteratorPrototype,
    ...[function* () {}, async function* () {}].map(
      (each) => Object.getPrototypeOf(each.prototype) as object,
    ),
  ];
  return [
    Object.prototype,
    Function.prototype,
    WebAssembly.Table.prototype,
    WebAssembly.Memory.prototype,
    ...iterators,
    ...errors.map((each): object => each.prototype),
  ];
}

function letShadow(prototype: object): void {
  for (const key of Reflect.ownKeys(prototype)) {
    const property = Object.getOwnPropertyDescriptor(prototype, key);
    if (property?.configurable !== true || !('value' in property)) continue;
    const { value, enumerable = false } = property as { value: unknown; enumerable?: boolean };
    const get = (): unknown => value;
    const set = function set(this: object, given: unknown): void {
      const own = { value: given, configurable: true, enumerable: true, writable: true };
      if (this === prototype || !Reflect.defineProperty(this, key, own))
        throw new TypeError(`${String(key)} can't be assigned`);
    };
    Object.freeze(get);
    Object.freeze(set.prototype);
    Object.freeze(set);
    Object.defineProperty(prototype, key, { get, set, enumerable, configurable: false });
  }
}

/** Pyodide assigns `stackTraceLimit`. A function at `prepareStackTrace` would be handed the frames of ours. */
function freezeError(): void {
  Object.defineProperty(Error, 'prepareStackTrace', { value: undefined });
  for (const key of Reflect.ownKeys(Error)) {
    if (key !== 'stackTraceLimit') fix(Error, key);
  }
  Object.preventExtensions(Error);
}

function freezeGlobals(): void {
  for (const key of Reflect.ownKeys(globalThis)) {
    if (typeof key === 'string') fix(globalThis, key);
  }
  Object.preventExtensions(globalThis);
}

function fix(target: object, key: PropertyKey): void {
  const property = Object.getOwnPropertyDescriptor(target, key);
  if (property?.configurable !== true) return;
  Object.defineProperty(
    target,
    key,
    'value' in property ? { configurable: false, writable: false } : { configurable: false },
  );
}
