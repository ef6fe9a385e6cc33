/** Boots a kernel plainly, and tells what its realm is like for code that got hold of what Pyodide keeps. */
import { parentPort, workerData } from 'node:worker_threads';
import { noPackages } from '../../src/kernel/boot.ts';
import { disguiseRealm } from '../../src/kernel/environment.ts';
import { Kernel } from '../../src/kernel/kernel.ts';
import type { PyodideGlue, PyodideModule, WasmFunction } from '../../src/kernel/pyodide-internals.ts';
import { signalWords } from '../../src/protocol/signals.ts';
import type { Surroundings } from './inside.ts';

export interface RealmReport {
  globals: string[];
  /** Of what must not be reached from Pyodide's own objects: how it was. And of one thing that is. */
  reached: [name: string, path: string][];
  /** Objects and functions that were looked at. */
  seen: number;
  /** Properties that could be changed, of the language's objects. */
  open: string[];
  /** What each change came to. */
  changes: Record<string, string>;
  /** What assignments that Pyodide makes came to. */
  assigned: Record<string, unknown>;
  functionsFromText: Record<string, string>;
  /** Imports of the main module that are about JavaScript objects: how many, and those that looked at one they were given. */
  bridge: { size: number; looked: string[] };
}

interface Settings {
  instantiateWasm(imports: { env: Record<string, WasmFunction> }, done: () => void): object;
}

const data = workerData as Surroundings;
const port = parentPort;
const { setTimeout, setInterval, eval: evaluate, Function: makeFunction, process } = globalThis;
const { compile, Table } = WebAssembly;
const forbidden = new Map<unknown, string>(
  Object.entries({
    globalThis,
    setTimeout,
    setInterval,
    evaluate,
    makeFunction,
    process,
    port,
    compile,
    Table,
  }).map(([name, value]) => [value, name]),
);
// Some accessors of Pyodide's begin what needs the bridge.
process.on('unhandledRejection', () => {});
let module: PyodideModule | undefined;
let imports: Record<string, WasmFunction> = {};
const imported = (await import(data.glueUrl)) as PyodideGlue;
disguiseRealm();
const post = (): void => {};
forbidden.set(post, 'post');
await Kernel.boot(
  {
    glue: {
      default: async (settings) => {
        const { instantiateWasm } = settings as Settings;
        (settings as Settings).instantiateWasm = (wanted, done) => {
          const started = instantiateWasm(wanted, done);
          imports = wanted.env;
          return started;
        };
        module = await imported.default(settings);
        return module;
      },
    },
    wasm: data.wasm,
    stdlib: data.stdlib,
    image: null,
    packages: noPackages,
  },
  {
    signals: new Int32Array(new SharedArrayBuffer(signalWords.length * 4)),
    maxHeapBytes: 256 * 2 ** 20,
    env: {},
    post,
    receive() {
      throw new Error('nobody answers');
    },
    progress() {},
  },
);
if (module === undefined) throw new Error('no module');

// ---- what is reached -------------------------------------------------------------------------------------------------

function references({ __hiwire_get: get }: PyodideModule): unknown[] {
  const found: unknown[] = [];
  for (let index = 0; ; index += 1) {
    try {
      found.push(get(index));
    } catch {
      return found;
    }
  }
}

function attempt<T>(what: () => T): T | undefined {
  try {
    return what();
  } catch {
    return undefined;
  }
}

const reached: RealmReport['reached'] = [];
const seen = new Map<unknown, string>();
const waiting: [unknown, string][] = [
  [module, 'Module'],
  ...references(module).map((each, index): [unknown, string] => [each, `[${index}]`]),
];
for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
  const [each, path] = next;
  if ((typeof each !== 'object' && typeof each !== 'function') || each === null || seen.has(each)) continue;
  seen.set(each, path);
  const name = forbidden.get(each);
  if (name !== undefined) {
    reached.push([name, path]);
    continue;
  }
  waiting.push([attempt(() => Object.getPrototypeOf(each)), `${path}.__proto__`]);
  if (ArrayBuffer.isView(each)) continue;
  // Proxies of Python's objects ask Python.
  for (const key of attempt(() => Reflect.ownKeys(each)) ?? []) {
    const property = attempt(() => Object.getOwnPropertyDescriptor(each, key));
    const at = `${path}.${String(key)}`;
    waiting.push([property?.value, at], [property?.get, `${at}(get)`], [property?.set, `${at}(set)`]);
    if (property?.get !== undefined) waiting.push([attempt(() => Reflect.get(each, key)), `${at}()`]);
  }
}

// ---- what can be changed ---------------------------------------------------------------------------------------------

const open: string[] = [];
const language = Object.getOwnPropertyNames(globalThis);
const looked = new Set<unknown>();
const queue: [unknown, string][] = language.map((name) => [Reflect.get(globalThis, name), name]);
for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
  const [each, path] = next;
  if ((typeof each !== 'object' && typeof each !== 'function') || each === null || looked.has(each)) continue;
  looked.add(each);
  if (each !== globalThis && Object.isExtensible(each)) open.push(`${path} (extensible)`);
  queue.push([Object.getPrototypeOf(each), `${path}.__proto__`]);
  for (const key of Reflect.ownKeys(each)) {
    if (each === globalThis && typeof key === 'symbol') continue;
    const property = Object.getOwnPropertyDescriptor(each, key);
    const at = `${path}.${String(key)}`;
    if (property?.configurable === true || property?.writable === true) open.push(at);
    queue.push([property?.value, at], [property?.get, at], [property?.set, at]);
  }
}

function outcome(change: () => unknown): string {
  try {
    return `did: ${String(change())}`;
  } catch (error) {
    return (error as Error).name;
  }
}

const changes: RealmReport['changes'] = {};
const evil = (): string => 'evil';
const targets: [string, object, string][] = [
  ['toJSON', Object.prototype, 'toJSON'],
  ['stringify', JSON, 'stringify'],
  ['then', Promise.prototype, 'then'],
  ['postMessage', globalThis, 'postMessage'],
  ['TextEncoder', globalThis, 'TextEncoder'],
  ['encode', TextEncoder.prototype, 'encode'],
  ['decode', TextDecoder.prototype, 'decode'],
  ['Atomics', Atomics, 'load'],
  ['set', Uint8Array.prototype, 'set'],
  ['push', Array.prototype, 'push'],
  ['iterator', Array.prototype, Symbol.iterator as unknown as string],
  ['prepareStackTrace', Error, 'prepareStackTrace'],
  ['Instance', WebAssembly, 'Instance'],
  ['defineProperty', Object, 'defineProperty'],
  ['now', performance, 'now'],
  ['getRandomValues', crypto, 'getRandomValues'],
];
for (const [name, target, key] of targets) {
  changes[name] = outcome(() => {
    Reflect.set(target, key, evil);
    Reflect.defineProperty(target, key, { value: evil });
    return Reflect.get(target, key) === evil;
  });
}

const error = new Error('a');
error.name = 'Named';
error.message = 'b';
const plain: Record<string, unknown> = {};
Object.assign(plain, { toString: 'own', constructor: 1 });
Error.stackTraceLimit = 3;
const assigned: RealmReport['assigned'] = {
  error: String(error),
  plain: JSON.stringify(plain),
  others: [{}.toString(), new Error('c').name],
  stackTraceLimit: Error.stackTraceLimit,
};

const functionsFromText: RealmReport['functionsFromText'] = {};
const text = 'return 6 * 7';
for (const [name, made] of Object.entries({
  arrow: () => {},
  generator: function* () {},
  async: async () => {},
  asyncGenerator: async function* () {},
})) {
  functionsFromText[name] = outcome(() => (made.constructor as FunctionConstructor)(text)());
}
functionsFromText.Function = outcome(() => new Function(text)());
const { eval: refused } = globalThis;
functionsFromText.eval = outcome(() => refused('6 * 7'));

// ---- what the main module may ask for -------------------------------------------------------------------------------

const bridge: RealmReport['bridge'] = { size: 0, looked: [] };
for (const [name, call] of Object.entries(imports)) {
  if (call.sig?.includes('e') !== true) continue;
  bridge.size += 1;
  let looked = false;
  const look = (): undefined => {
    looked = true;
  };
  const traps = ['get', 'has', 'apply', 'construct', 'getPrototypeOf', 'ownKeys', 'getOwnPropertyDescriptor'];
  const bait: unknown = new Proxy(() => {}, Object.fromEntries(traps.map((trap) => [trap, look])));
  attempt(() => call(bait, bait, bait, bait, bait));
  module._PyErr_Clear();
  if (looked) bridge.looked.push(name);
}

port?.postMessage({
  bridge,
  globals: Object.getOwnPropertyNames(globalThis),
  reached,
  seen: seen.size,
  open,
  changes,
  assigned,
  functionsFromText,
} satisfies RealmReport);
