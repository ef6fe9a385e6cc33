import { wasmPageBytes } from '../util/wasm.ts';

export const pageBytes = 4096;

/** Larger ones are refused: what is read in one piece ends here. */
export const maxImageBytes: number = 2 ** 31 - 1;

/** What an image fits: all of it must be equal to what the kernel is. */
export interface Fingerprint {
  pyodide: string;
  /** Pyodide's hash of its glue and its main module. */
  buildId: string;
  /** Of our kernel and of the Python inside it. */
  kernelHash: string;
  /** Of the packages' lock, imports and warm-up; empty for the standard library alone. */
  lockHash: string;
}

/** A dynamic library of the image. */
export interface ImageLibrary {
  /** In Python's file system. */
  path: string;
  /** Address of its record in the heap; null when nothing in the heap refers to it. */
  handle: number | null;
  /** Whether its symbols are for every library. */
  global: boolean;
  memoryBase: number;
  tableBase: number;
  tableSize: number;
}

/** The dynamic libraries, in the order of loading, and what linking them made of table and offsets. */
export interface LinkedLibraries {
  libraries: ImageLibrary[];
  tableLength: number;
  /** Table slots outside the libraries' own: slot, index of the library (-1: the main module), name of the function. */
  slots: [slot: number, library: number, name: string][];
  freeSlots: number[];
  /** Entries of the global offset table that aren't the main module's. */
  offsets: [name: string, value: number][];
}

/** Everything in Python's file system but devices and the standard library's archive. Paths are absolute. */
export interface ImageTree {
  /** Parents before their children. */
  folders: string[];
  /** In the order of their bytes, which lie back to back. */
  files: [path: string, bytes: number, mode: number][];
  links: [path: string, target: string][];
  /** Descriptors that were open: number, path, flags, position. */
  descriptors: [fd: number, path: string, flags: number, position: number][];
}

/** For people: what the image was built from. */
export interface ImageContents {
  /** File names. */
  wheels: string[];
  imports: string[];
  warm: string[];
}

export interface ImageHeader {
  fingerprint: Fingerprint;
  contents: ImageContents;
  python: string;
  /** Size of the WebAssembly memory. */
  heapBytes: number;
  /** End of the allocator's arena. */
  heapTop: number;
  stackPointer: number;
  /** Address of the harness's `execute`. */
  executeAddress: number;
  /** Pyodide's JS reference table, as `serializeHiwire` gives it. */
  hiwire: unknown;
  linked: LinkedLibraries;
  tree: ImageTree;
  /** Runs of pages: first page, count. */
  pages: [number, number][];
}

/** The bytes are no image, are cut or altered, or are of another version. */
export class ImageError extends Error {
  override readonly name = 'ImageError';
}

/** Checks a header's shape, and that its pages and files add up to what the file holds of them. */
export function assertHeader(
  value: unknown,
  pagesBytes: number,
  filesBytes: number,
): asserts value is ImageHeader {
  const header = (value ?? {}) as Partial<ImageHeader>;
  const numbers = [header.heapBytes, header.heapTop, header.stackPointer, header.executeAddress];
  const right =
    numbers.every(natural) &&
    typeof header.python === 'string' &&
    isFingerprint(header.fingerprint) &&
    isContents(header.contents) &&
    typeof header.hiwire === 'object' &&
    header.hiwire !== null &&
    isLinked(header.linked) &&
    isTree(header.tree) &&
    listOf(header.pages, (run) => tuple(run, 2) && run.every(natural));
  if (!right) throw new ImageError('image header has the wrong shape');
  const { heapBytes, heapTop, stackPointer, pages, tree } = header as ImageHeader;
  if (heapBytes % wasmPageBytes !== 0 || heapTop > heapBytes || stackPointer > heapBytes)
    throw new ImageError('image header has impossible sizes');
  let sum = 0;
  let end = 0;
  for (const [first, count] of pages) {
    if (first < end || count === 0) throw new ImageError('image pages are out of order');
    end = first + count;
    if (end * pageBytes > heapBytes) throw new ImageError('image pages lie outside its heap');
    sum += count * pageBytes;
  }
  if (sum !== pagesBytes) throw new ImageError('image pages and its length disagree');
  if (tree.files.reduce((total, [, bytes]) => total + bytes, 0) !== filesBytes)
    throw new ImageError('image files and its length disagree');
}

export function natural(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function tuple(value: unknown, length: number): value is unknown[] {
  return Array.isArray(value) && value.length === length;
}

function listOf(value: unknown, is: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(is);
}

function isFingerprint(value: unknown): boolean {
  const { pyodide, buildId, kernelHash, lockHash } = (value ?? {}) as Partial<Fingerprint>;
  return [pyodide, buildId, kernelHash, lockHash].every(isText);
}

function isContents(value: unknown): boolean {
  const { wheels, imports, warm } = (value ?? {}) as Partial<ImageContents>;
  return [wheels, imports, warm].every((list) => listOf(list, isText));
}

export function isLinked(value: unknown): boolean {
  const { libraries, tableLength, slots, freeSlots, offsets } = (value ?? {}) as Partial<LinkedLibraries>;
  return (
    natural(tableLength) &&
    Array.isArray(libraries) &&
    libraries.every(isLibrary) &&
    listOf(
      slots,
      (slot) =>
        tuple(slot, 3) &&
        natural(slot[0]) &&
        slot[0] < tableLength &&
        Number.isSafeInteger(slot[1]) &&
        (slot[1] as number) >= -1 &&
        (slot[1] as number) < libraries.length &&
        isText(slot[2]),
    ) &&
    listOf(freeSlots, (slot) => natural(slot) && slot < tableLength) &&
    listOf(offsets, (one) => tuple(one, 2) && isText(one[0]) && Number.isSafeInteger(one[1]))
  );
}

function isLibrary(value: unknown): boolean {
  const library = (value ?? {}) as Partial<ImageLibrary>;
  return (
    isPath(library.path) &&
    (library.handle === null || natural(library.handle)) &&
    typeof library.global === 'boolean' &&
    natural(library.memoryBase) &&
    natural(library.tableBase) &&
    natural(library.tableSize)
  );
}

/** As on every system that Python knows; of millions of segments the expression below would overflow the stack. */
const maxPathChars = 4096;

/** Absolute, and without segments that lead elsewhere. */
export function isPath(value: unknown): value is string {
  return isText(value) && value.length <= maxPathChars && /^(\/(?!\.{1,2}(\/|$))[^/\0]+)+$/.test(value);
}

function isTree(value: unknown): boolean {
  const { folders, files, links, descriptors } = (value ?? {}) as Partial<ImageTree>;
  return (
    listOf(folders, isPath) &&
    listOf(files, (file) => tuple(file, 3) && isPath(file[0]) && natural(file[1]) && natural(file[2])) &&
    listOf(links, (link) => tuple(link, 2) && isPath(link[0]) && isText(link[1])) &&
    listOf(descriptors, (one) => tuple(one, 4) && isPath(one[1]) && [one[0], one[2], one[3]].every(natural))
  );
}
