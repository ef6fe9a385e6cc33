import type { PyodideModule } from './pyodide-internals.ts';

const wasmPageBytes = 65536;
/** More references than this held by one run are not worth putting back one by one. */
const maxReferences = 10_000;

/** Bounds the growth of a module's memory: past the limit `malloc` fails and Python raises `MemoryError`. */
export class MemoryLimit {
  #limitBytes: number;

  constructor(maxHeapBytes: number) {
    this.#limitBytes = maxHeapBytes;
  }

  /** Wraps the import through which the allocator asks for more memory. */
  wrapImports(imports: WebAssembly.ModuleImports): void {
    const resize = imports['emscripten_resize_heap'];
    if (typeof resize !== 'function') throw new Error('the module does not import emscripten_resize_heap');
    imports['emscripten_resize_heap'] = (requested: number) =>
      requested >>> 0 > this.#limitBytes ? 0 : (resize as (bytes: number) => number)(requested);
    this.#resize = resize as (bytes: number) => number;
  }

  #resize: (bytes: number) => number = () => 0;

  /** Emscripten grows by a fifth more than it was asked for: keep that below the limit too. */
  install(memory: WebAssembly.Memory): void {
    const grow = memory.grow.bind(memory);
    memory.grow = (pages) => {
      const room = Math.floor((this.#limitBytes - memory.buffer.byteLength) / wasmPageBytes);
      return grow(Math.min(pages, room));
    };
  }

  /** Makes the memory exactly `bytes` large (a multiple of 64 KiB). */
  growTo(memory: WebAssembly.Memory, bytes: number): void {
    const limit = this.#limitBytes;
    this.#limitBytes = bytes;
    if (memory.buffer.byteLength < bytes) this.#resize(bytes);
    this.#limitBytes = limit;
    if (memory.buffer.byteLength !== bytes) throw new Error(`memory could not be made ${bytes} bytes large`);
  }

  set(limitBytes: number): void {
    this.#limitBytes = limitBytes;
  }
}

/** What a kernel's memory and JS side were when it was clean, and the way back. */
export class Baseline {
  readonly #module: PyodideModule;
  readonly #heap: Uint8Array;
  readonly #references: unknown[];
  readonly #stackPointer: number;
  readonly #tableLength: number;
  readonly #libraries: number;

  constructor(module: PyodideModule) {
    this.#module = module;
    this.#heap = module.HEAPU8.slice(0, heapTop(module));
    this.#references = [...references(module)];
    this.#stackPointer = module.stackSave();
    this.#tableLength = module.wasmTable.length;
    this.#libraries = libraryCount(module);
  }

  get heapTop(): number {
    return this.#heap.length;
  }

  /** Why the kernel can't be put back, or undefined. */
  obstacle(): string | undefined {
    if (libraryCount(this.#module) !== this.#libraries) return 'the run loaded a dynamic library';
    if (this.#module.wasmTable.length !== this.#tableLength) return 'the run added functions to the table';
    return undefined;
  }

  restore(): string | undefined {
    const module = this.#module;
    const usedTop = heapTop(module);
    module.HEAPU8.set(this.#heap);
    module.HEAPU8.fill(0, this.#heap.length, Math.max(this.#heap.length, usedTop));
    module.stackRestore(this.#stackPointer);
    let index = 0;
    for (const value of references(module)) {
      const wanted = index < this.#references.length ? this.#references[index] : null;
      if (value !== wanted) module.__hiwire_set(index, wanted);
      index += 1;
      if (index > maxReferences) return 'the run left too many references to JavaScript objects';
    }
    return undefined;
  }
}

/** End of what the allocator has taken: everything above is zero. */
export function heapTop(module: PyodideModule): number {
  return module.HEAPU32[module._emscripten_get_sbrk_ptr() >>> 2] ?? 0;
}

function libraryCount(module: PyodideModule): number {
  return Object.keys(module.LDSO.loadedLibsByHandle).length;
}

function* references(module: PyodideModule): Generator<unknown> {
  for (let index = 0; ; index += 1) {
    let value: unknown;
    try {
      value = module.__hiwire_get(index);
    } catch {
      return;
    }
    yield value;
  }
}
