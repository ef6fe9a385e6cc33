import { wasmPageBytes } from '../util/wasm.ts';
import type { PyodideModule } from './pyodide-internals.ts';

/** Bounds the growth of a module's memory: past the limit `malloc` fails and Python raises `MemoryError`. */
export class MemoryLimit {
  #limitBytes: number;

  constructor(maxHeapBytes: number) {
    this.#limitBytes = wholePages(maxHeapBytes);
  }

  /** Wraps the import through which the allocator asks for more memory. */
  wrapImports(imports: WebAssembly.ModuleImports): void {
    const resize = imports.emscripten_resize_heap;
    if (typeof resize !== 'function') throw new Error('the module does not import emscripten_resize_heap');
    imports.emscripten_resize_heap = (requested: number) =>
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
    if (bytes > limit) throw new Error(`Python needs ${bytes} bytes of memory, the limit is ${limit}`);
    this.#limitBytes = bytes;
    if (memory.buffer.byteLength < bytes) this.#resize(bytes);
    this.#limitBytes = limit;
    if (memory.buffer.byteLength !== bytes) throw new Error(`memory could not be made ${bytes} bytes large`);
  }

  set(limitBytes: number): void {
    this.#limitBytes = wholePages(limitBytes);
  }
}

/** Memory grows by pages: a limit in the middle of one would promise the allocator bytes that don't come. */
function wholePages(bytes: number): number {
  return Math.floor(bytes / wasmPageBytes) * wasmPageBytes;
}

/** What a kernel's memory was when it was clean, and the way back. */
export class Baseline {
  readonly #module: PyodideModule;
  /** What is kept, by its address: all but the dead part of the stack. */
  readonly #kept: readonly { start: number; bytes: Uint8Array }[];
  readonly #top: number;
  readonly #references: readonly number[];
  readonly #stackPointer: number;
  readonly #tableLength: number;
  readonly #libraries: number;

  constructor(module: PyodideModule) {
    this.#module = module;
    this.#top = heapTop(module);
    this.#stackPointer = module.stackSave();
    // As it is after each rewind, so that the first run finds what all find.
    clearDeadStack(module.HEAPU8, module._emscripten_stack_get_end(), this.#stackPointer);
    this.#kept = [
      [0, module._emscripten_stack_get_end()],
      [this.#stackPointer, this.#top],
    ].map(([start = 0, end]) => ({ start, bytes: module.HEAPU8.slice(start, end) }));
    this.#references = referenceSlots(module);
    this.#tableLength = module.wasmTable.length;
    this.#libraries = libraryCount(module);
  }

  /** Why the kernel can't be put back, or undefined. */
  obstacle(): string | undefined {
    const module = this.#module;
    if (libraryCount(module) !== this.#libraries) return 'the run loaded a dynamic library';
    if (module.wasmTable.length !== this.#tableLength) return 'the run added functions to the table';
    // JavaScript that a run got hold of may call into Python later: timers, promises, finalizers. Code has to dig for
    // it (nothing hands it out), and then its worker is replaced.
    const now = referenceSlots(module);
    if (
      now.length !== this.#references.length ||
      now.some((slot, index) => slot !== this.#references[index])
    ) {
      return 'the run touched JavaScript objects';
    }
    return undefined;
  }

  restore(): void {
    const module = this.#module;
    const heap = module.HEAPU8;
    const usedTop = heapTop(module);
    for (const { start, bytes } of this.#kept) heap.set(bytes, start);
    if (usedTop > this.#top) heap.fill(0, this.#top, usedTop);
    clearDeadStack(heap, module._emscripten_stack_get_end(), this.#stackPointer);
    module.stackRestore(this.#stackPointer);
  }
}

/** No frame is as large as this: where the stack is all zero for so long, it is so to its end. */
const stackGapBytes = 1024 * 1024;

/**
 * Zeroes what lies below the stack pointer, down to where it was never used. Zeroing all of the ten megabytes would
 * take longer, and would make their pages resident.
 */
export function clearDeadStack(heap: Uint8Array, stackEnd: number, stackPointer: number): void {
  const low = Math.ceil(stackEnd / 8);
  const words = new Float64Array(heap.buffer, low * 8, Math.floor(stackPointer / 8) - low);
  const gap = stackGapBytes / 8;
  let lowestUsed = words.length;
  for (let index = words.length - 1; index >= 0 && lowestUsed - index < gap; index -= 1) {
    // NaN is not zero either; only the bits of -0 would pass for it, and its neighbours don't.
    if (words[index] !== 0) lowestUsed = index;
  }
  heap.fill(0, (low + lowestUsed) * 8, stackPointer);
}

/** End of what the allocator has taken: everything above is zero. */
export function heapTop(module: PyodideModule): number {
  return module.HEAPU32[module._emscripten_get_sbrk_ptr() >>> 2] ?? 0;
}

function libraryCount(module: PyodideModule): number {
  return Object.keys(module.LDSO.loadedLibsByHandle).length;
}

/** Each slot of the JS reference table as a number that changes whenever the slot is used. */
function referenceSlots(module: PyodideModule): number[] {
  const slots: number[] = [];
  for (let index = 0; ; index += 1) {
    try {
      module.__hiwire_get(index);
    } catch {
      return slots;
    }
    slots.push(module.__hiwire_slot_info(index));
  }
}
