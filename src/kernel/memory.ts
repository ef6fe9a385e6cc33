import type { DecodedImage } from '../image/format.ts';
import { pageBytes } from '../image/header.ts';
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

  /** Makes the memory `bytes` large (a multiple of 64 KiB), if it isn't larger from the start. */
  growTo(memory: WebAssembly.Memory, bytes: number): void {
    const limit = this.#limitBytes;
    if (bytes > limit) throw new Error(`Python needs ${bytes} bytes of memory, the limit is ${limit}`);
    this.#limitBytes = bytes;
    if (memory.buffer.byteLength < bytes) this.#resize(bytes);
    this.#limitBytes = limit;
    if (memory.buffer.byteLength < bytes) throw new Error(`memory could not be made ${bytes} bytes large`);
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
  /** What is kept, by its address; what lies between is zero, and the dead part of the stack is left out. */
  readonly #kept: readonly Kept[];
  readonly #zeros: readonly (readonly [start: number, end: number])[];
  readonly #top: number;
  readonly #references: readonly number[];
  readonly #stackPointer: number;
  readonly #tableLength: number;
  readonly #freeSlots: number;
  readonly #libraries: number;
  #tableWrites = 0;

  /** With the image that has just been restored nothing has to be copied: the heap is what its pages say. */
  constructor(module: PyodideModule, image: DecodedImage | null) {
    this.#module = module;
    this.#top = heapTop(module);
    this.#stackPointer = module.stackSave();
    // As it is after each rewind, so that the first run finds what all find.
    clearDeadStack(module.HEAPU8, module._emscripten_stack_get_end(), this.#stackPointer);
    const stackEnd = module._emscripten_stack_get_end();
    this.#kept =
      image === null ? copied(module.HEAPU8, stackEnd, this.#stackPointer, this.#top) : pagesOf(image);
    this.#zeros = gapsBetween(this.#kept, [stackEnd, this.#stackPointer], this.#top);
    this.#references = referenceSlots(module);
    this.#tableLength = module.wasmTable.length;
    this.#freeSlots = module.freeTableIndexes.length;
    this.#libraries = libraryCount(module);
    this.#watch(module.wasmTable);
  }

  /** A run with the right bytes in the heap can have libffi free and fill any slot, and the length stays the same. */
  #watch(table: WebAssembly.Table): void {
    const set = table.set.bind(table);
    table.set = (index, value) => {
      this.#tableWrites += 1;
      set(index, value);
    };
  }

  /** Why the kernel can't be put back, or undefined. */
  obstacle(): string | undefined {
    const module = this.#module;
    if (libraryCount(module) !== this.#libraries) return 'the run loaded a dynamic library';
    if (module.wasmTable.length !== this.#tableLength) return 'the run added functions to the table';
    if (this.#tableWrites > 0 || module.freeTableIndexes.length !== this.#freeSlots)
      return 'the run changed the table of functions';
    // JavaScript that a run got hold of may call into Python later: timers, promises, finalizers. Code has to dig for
    // it (nothing hands it out), and then its worker is replaced.
    if (this.changedReferences().length > 0) return 'the run touched JavaScript objects';
    return undefined;
  }

  /** A library was loaded, or the table of functions changed. */
  get linkingChanged(): boolean {
    const module = this.#module;
    return (
      libraryCount(module) !== this.#libraries ||
      module.wasmTable.length !== this.#tableLength ||
      this.#tableWrites > 0 ||
      module.freeTableIndexes.length !== this.#freeSlots
    );
  }

  /** Slots of the JS reference table that a run has used. */
  changedReferences(): number[] {
    const now = referenceSlots(this.#module);
    const slots = Array.from({ length: Math.max(now.length, this.#references.length) }, (_, slot) => slot);
    return slots.filter((slot) => now[slot] !== this.#references[slot]);
  }

  /** Where no frame of the stack is: what lies there is never seen again. */
  get deadStack(): [start: number, end: number] {
    return [this.#module._emscripten_stack_get_end(), this.#stackPointer];
  }

  restore(): void {
    const module = this.#module;
    const heap = module.HEAPU8;
    for (const { start, bytes } of this.#kept) heap.set(bytes, start);
    for (const [start, end] of this.#zeros) heap.fill(0, start, end);
    // Not only what the allocator took: raw memory can be written to anywhere.
    heap.fill(0, this.#top);
    clearDeadStack(heap, module._emscripten_stack_get_end(), this.#stackPointer);
    module.stackRestore(this.#stackPointer);
  }
}

interface Kept {
  start: number;
  bytes: Uint8Array;
}

function copied(heap: Uint8Array, stackEnd: number, stackPointer: number, top: number): Kept[] {
  return [
    { start: 0, bytes: heap.slice(0, stackEnd) },
    { start: stackPointer, bytes: heap.slice(stackPointer, top) },
  ];
}

function pagesOf({ header, pages }: DecodedImage): Kept[] {
  let offset = 0;
  return header.pages.map(([first, count]) => {
    const start = offset;
    offset += count * pageBytes;
    return { start: first * pageBytes, bytes: pages.subarray(start, offset) };
  });
}

/** What `kept` leaves out below `top`, without the dead part of the stack. */
function gapsBetween(
  kept: readonly Kept[],
  [deadStart, deadEnd]: readonly [number, number],
  top: number,
): [number, number][] {
  const gaps: [number, number][] = [];
  const add = (start: number, end: number): void => {
    if (start < end) gaps.push([start, end]);
  };
  const addAround = (start: number, end: number): void => {
    add(start, Math.min(end, deadStart));
    add(Math.max(start, deadEnd), end);
  };
  let end = 0;
  for (const { start, bytes } of kept) {
    addAround(end, Math.min(start, top));
    end = start + bytes.length;
  }
  addAround(end, top);
  return gaps;
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

/**
 * Zeroes what the allocator has free: importing and warming leave much there that nobody needs, which an image would
 * have to store and every rewind to copy. Memory doesn't grow by it.
 */
export function scrubFreeMemory(module: PyodideModule): void {
  const top = heapTop(module);
  module._sbrk(module.HEAPU8.length - top);
  const taken: number[] = [];
  for (let bytes = largestScrubBytes; bytes >= pageBytes; bytes /= 2) {
    for (let pointer = module._malloc(bytes); pointer !== 0; pointer = module._malloc(bytes)) {
      module.HEAPU8.fill(0, pointer, pointer + bytes);
      taken.push(pointer);
    }
  }
  for (const pointer of taken) module._free(pointer);
  // `sbrk` takes what is negative for a very large number.
  module.HEAPU32[module._emscripten_get_sbrk_ptr() >>> 2] = top;
}

const largestScrubBytes = 64 * 1024 * 1024;

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
