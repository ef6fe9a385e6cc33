import { InstallError } from '../errors/errors.ts';
import type { ImageLibrary, LinkedLibraries } from '../image/header.ts';
import type { LoadedLibrary, PyodideModule, WasmFunction } from './pyodide-internals.ts';

/** A side module as it was instantiated. */
interface Instantiated {
  wasm: WebAssembly.Module;
  memoryBase: number;
  tableBase: number;
  exports: WebAssembly.Exports;
}

/** In place of a library's index: the main module's symbols, to which those of global libraries are added. */
const mainModule = -1;

/**
 * Dynamic libraries of a kernel: where each was loaded, so that an image can put it back there.
 *
 * Emscripten chooses the addresses when it loads a library, from a heap and a table that a kernel under restoration
 * does not have yet. So the tracker notes them as libraries are instantiated, and `replay` instantiates them again at
 * the same ones, without constructors and relocations: the image's heap holds their results.
 */
export class LibraryTracker {
  readonly #instantiated: Instantiated[] = [];
  /** JavaScript functions that were given an address: what stands in the table → the function. */
  readonly #wrapped = new Map<unknown, unknown>();
  #symbols: Record<string, unknown> = {};
  #ownTableLength = 0;
  #ownOffsets: ReadonlyMap<string, number> = new Map();

  /** Watches what is instantiated in this realm from now on. `imports` are the main module's. */
  watch(imports: WebAssembly.ModuleImports): void {
    this.#symbols = imports;
    const note = (wasm: WebAssembly.Module, given: unknown, { exports }: WebAssembly.Instance): void => {
      const { env, e } = (given ?? {}) as { env?: Record<string, unknown>; e?: { f?: unknown } };
      // The tiny module by which Emscripten makes a table entry of a JavaScript function.
      if (e?.f !== undefined) this.#wrapped.set(exports.f, e.f);
      const memoryBase = env?.__memory_base;
      const tableBase = env?.__table_base;
      if (typeof memoryBase !== 'number' || typeof tableBase !== 'number') return;
      this.#instantiated.push({ wasm, memoryBase, tableBase, exports });
    };
    WebAssembly.Instance = class extends WebAssembly.Instance {
      constructor(wasm: WebAssembly.Module, given?: WebAssembly.Imports) {
        super(wasm, given);
        note(wasm, given, this);
      }
    };
  }

  /** The main module is ready: what is linked from here on is the libraries' doing. */
  started(module: PyodideModule): void {
    this.#ownTableLength = module.wasmTable.length;
    this.#ownOffsets = new Map(Object.entries(module.GOT).map(([name, entry]) => [name, entry.value]));
  }

  /** What `replay` needs. Throws when a function in the table can't be named. */
  record(module: PyodideModule): LinkedLibraries {
    const libraries = this.#instantiated.map((one) => describe(module, one));
    const names = this.#functionNames();
    const free = new Set(module.freeTableIndexes);
    const slots: LinkedLibraries['slots'] = [];
    for (let slot = this.#ownTableLength; slot < module.wasmTable.length; slot += 1) {
      if (free.has(slot) || libraries.some((library) => isWithin(slot, library))) continue;
      const found: unknown = module.wasmTable.get(slot);
      const named = names.get(found) ?? names.get(this.#wrapped.get(found));
      if (named === undefined) throw unnamed(slot);
      slots.push([slot, ...named]);
    }
    return {
      libraries,
      tableLength: module.wasmTable.length,
      slots,
      freeSlots: [...module.freeTableIndexes],
      offsets: Object.entries(module.GOT)
        .map(([name, entry]): [string, number] => [name, entry.value])
        .filter(([name, value]) => this.#ownOffsets.get(name) !== value),
    };
  }

  /** How many are loaded. */
  get count(): number {
    return this.#instantiated.length;
  }

  /**
   * Loads the libraries of an image or a delta where they were, but for those that are loaded already; `compiled` in their
   * order. The memory must be large enough, and the heap is to be copied in afterwards.
   */
  replay(module: PyodideModule, linked: LinkedLibraries, compiled: readonly WebAssembly.Module[]): void {
    module.wasmTable.grow(linked.tableLength - module.wasmTable.length);
    linked.libraries.slice(this.count).forEach((library, index) => {
      const wasm = compiled[index];
      if (wasm === undefined) throw new Error(`the dynamic library ${library.path} is missing`);
      this.#load(module, library, wasm);
    });
    // `addFunction` takes the free slot that was added last, or says where the function is already.
    module.freeTableIndexes.length = 0;
    for (const [slot, library, name] of linked.slots) {
      const owner = library === mainModule ? this.#symbols : this.#instantiated[library]?.exports;
      const found = (owner as Record<string, unknown> | undefined)?.[name] as WasmFunction | undefined;
      if (typeof found !== 'function') throw new Error(`no function ${name} for table slot ${slot}`);
      module.freeTableIndexes.push(slot);
      const given = module.addFunction(found, found.sig);
      if (given !== slot) throw new Error(`${name} is in table slot ${given}, not ${slot}`);
    }
    module.freeTableIndexes.length = 0;
    module.freeTableIndexes.push(...linked.freeSlots);
    for (const [name, value] of linked.offsets) {
      const entry = module.GOT[name];
      if (entry === undefined) module.GOT[name] = newOffset(value);
      // What a library defines itself is right already, and may not be written.
      else if (entry.value !== value) entry.value = value;
    }
  }

  #functionNames(): Map<unknown, [library: number, name: string]> {
    const names = new Map<unknown, [number, string]>();
    const add = (library: number, symbols: object): void => {
      for (const [name, value] of Object.entries(symbols)) {
        if (typeof value === 'function' && !names.has(value)) names.set(value, [library, name]);
      }
    };
    add(mainModule, this.#symbols);
    this.#instantiated.forEach(({ exports }, index) => {
      add(index, exports);
    });
    return names;
  }

  #load(module: PyodideModule, library: ImageLibrary, wasm: WebAssembly.Module): void {
    const { path, memoryBase, tableBase, tableSize, handle, global } = library;
    const metadata = module.getDylinkMetadata(wasm);
    let exports: Record<string, unknown> = {};
    const known = (name: string): WasmFunction | undefined => {
      const symbol = this.#symbols[name] as WasmFunction | undefined;
      return symbol?.stub === true ? undefined : symbol;
    };
    const find = (name: string): unknown => {
      const scopes = metadata.neededDynlibs.map((needed) => exportsOf(module, needed));
      return known(name) ?? scopes.find((scope) => name in scope)?.[name] ?? exports[name];
    };
    // As Emscripten does: what isn't known yet is looked up when it's first called.
    const env = new Proxy<Record<string, unknown>>(
      {},
      {
        get(stubs, name: string) {
          if (name === '__memory_base') return memoryBase;
          if (name === '__table_base') return tableBase;
          const symbol = known(name);
          if (symbol !== undefined) return symbol;
          let found: unknown;
          stubs[name] ??= (...args: unknown[]) => {
            found ??= find(name);
            if (typeof found !== 'function') throw new Error(`${path}: no symbol ${name}`);
            return found(...args);
          };
          return stubs[name];
        },
      },
    ) as WebAssembly.ModuleImports;
    const got = new Proxy(metadata.weakImports, module.GOTHandler) as unknown as WebAssembly.ModuleImports;
    const imports = { env, wasi_snapshot_preview1: env, 'GOT.mem': got, 'GOT.func': got };
    const instance = new WebAssembly.Instance(wasm, imports);
    module.updateTableMap(tableBase, tableSize);
    exports = module.relocateExports(instance.exports, memoryBase);
    module.newDSO(path, handle, exports).global = global;
    if (global) module.mergeLibSymbols(exports, path);
  }
}

function describe(
  module: PyodideModule,
  { wasm, memoryBase, tableBase, exports }: Instantiated,
): ImageLibrary {
  const { LDSO } = module;
  const library = Object.values(LDSO.loadedLibsByName).find((one) => isLibraryOf(one, exports));
  if (library === undefined) throw new Error('a dynamic library was loaded under no name');
  const handle = Object.entries(LDSO.loadedLibsByHandle).find(([, one]) => one === library)?.[0];
  return {
    path: library.name,
    handle: handle === undefined ? null : Number(handle),
    global: library.global,
    memoryBase,
    tableBase,
    tableSize: module.getDylinkMetadata(wasm).tableSize,
  };
}

/** Emscripten keeps a relocated copy of the exports: its functions are the same ones. */
function isLibraryOf({ exports: relocated }: LoadedLibrary, exports: WebAssembly.Exports): boolean {
  const name = Object.keys(exports).find((key) => typeof exports[key] === 'function');
  return typeof relocated === 'object' && name !== undefined && relocated[name] === exports[name];
}

function exportsOf(module: PyodideModule, needed: string): Record<string, unknown> {
  const library = Object.values(module.LDSO.loadedLibsByName).find(
    ({ name }) => name === needed || name.endsWith(`/${needed}`),
  );
  return typeof library?.exports === 'object' ? library.exports : {};
}

function isWithin(slot: number, { tableBase, tableSize }: ImageLibrary): boolean {
  return slot >= tableBase && slot < tableBase + tableSize;
}

function newOffset(value: number): { value: number } {
  return new WebAssembly.Global<'i32'>({ value: 'i32', mutable: true }, value);
}

function unnamed(slot: number): InstallError {
  const message = `an image can't hold a function that was made while it was built (table slot ${slot}), such as a callback of ctypes`;
  return new InstallError(message, { reason: 'not_freezable', package: '', suggestion: '' });
}
