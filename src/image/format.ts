/**
 * The image file: a frozen interpreter.
 *
 *     offset  bytes
 *          0  8    magic "VIVIMAGE"
 *          8  4    format version, u32 LE
 *         12  4    header length in bytes, u32 LE
 *         16  8    length of the whole file, u64 LE
 *         24  32   SHA-256 of everything from offset 56 to the end
 *         56  …    header, JSON in UTF-8
 *          …  …    zeros up to a multiple of `pageBytes`
 *          …  …    the heap's pages that are not all zero, in the order of `pages`
 */

import { wasmPageBytes } from '../util/wasm.ts';

export const imageVersion = 1;
export const pageBytes = 4096;

const magic = new Uint8Array([...'VIVIMAGE'].map((letter) => letter.charCodeAt(0)));
const preludeBytes = 56;
const maxHeaderBytes = 64 * 1024 * 1024;

/** What an image fits: all of it must be equal to what the kernel is. */
export interface Fingerprint {
  pyodide: string;
  /** Pyodide's hash of its glue and its main module. */
  buildId: string;
  /** Of our kernel and of the Python inside it. */
  kernelHash: string;
  /** Of the packages' lock; empty for the standard library alone. */
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

export interface ImageHeader {
  fingerprint: Fingerprint;
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
  /** Runs of pages: first page, count. */
  pages: [number, number][];
}

/** The bytes are no image, are cut or altered, or are of another version. */
export class ImageError extends Error {
  override readonly name = 'ImageError';
}

/** Finds the pages of `heap` that hold anything. */
export function usedPages(heap: Uint8Array): [number, number][] {
  const words = new BigUint64Array(heap.buffer, heap.byteOffset, heap.byteLength / 8);
  const wordsPerPage = pageBytes / 8;
  const runs: [number, number][] = [];
  let open: [number, number] | undefined;
  for (let page = 0; page * wordsPerPage < words.length; page += 1) {
    const start = page * wordsPerPage;
    let used = false;
    for (let word = start; word < start + wordsPerPage; word += 1) {
      if (words[word] !== 0n) {
        used = true;
        break;
      }
    }
    if (!used) open = undefined;
    else if (open === undefined) {
      open = [page, 1];
      runs.push(open);
    } else open[1] += 1;
  }
  return runs;
}

export async function encodeImage(
  header: Omit<ImageHeader, 'pages'>,
  heap: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const pages = usedPages(heap);
  const headerBytes = new TextEncoder().encode(JSON.stringify({ ...header, pages }));
  const dataStart = roundUp(preludeBytes + headerBytes.length);
  const dataBytes = pages.reduce((sum, [, count]) => sum + count * pageBytes, 0);
  const file = new Uint8Array(dataStart + dataBytes);
  const view = new DataView(file.buffer);
  file.set(magic);
  view.setUint32(8, imageVersion, true);
  view.setUint32(12, headerBytes.length, true);
  view.setBigUint64(16, BigInt(file.length), true);
  file.set(headerBytes, preludeBytes);
  let offset = dataStart;
  for (const [first, count] of pages) {
    file.set(heap.subarray(first * pageBytes, (first + count) * pageBytes), offset);
    offset += count * pageBytes;
  }
  file.set(await digest(file), 24);
  return file;
}

export interface DecodedImage {
  header: ImageHeader;
  /** The pages, back to back. */
  data: Uint8Array;
}

/** For the reader of an image's file: one that can't be read is as good as damaged. */
export function unreadable(cause: unknown): never {
  throw new ImageError(`image can't be read: ${cause instanceof Error ? cause.message : String(cause)}`, {
    cause,
  });
}

/** Throws `ImageError` when the checksum is not that of the bytes. */
export async function verifyImage(file: Uint8Array<ArrayBuffer>): Promise<void> {
  const stored = file.subarray(24, preludeBytes);
  const actual = await digest(file);
  if (!actual.every((byte, index) => byte === stored[index])) throw new ImageError('image checksum is wrong');
}

/**
 * Reads an image that must fit `expected`. Throws `ImageError` unless magic, version, lengths and fingerprint are all
 * right. The checksum is `verifyImage`'s: call both before anything of the image is used.
 */
export function decodeImage(file: Uint8Array, expected: Fingerprint): DecodedImage {
  const header = readImageHeader(file);
  const mismatch = fingerprintMismatch(header.fingerprint, expected);
  if (mismatch !== undefined) throw new ImageError(`image is for another ${mismatch}`);
  const headerBytes = new DataView(file.buffer, file.byteOffset).getUint32(12, true);
  return { header, data: file.subarray(roundUp(preludeBytes + headerBytes)) };
}

function readImageHeader(file: Uint8Array): ImageHeader {
  if (file.length < preludeBytes) throw new ImageError('image is cut short');
  if (!magic.every((byte, index) => byte === file[index])) throw new ImageError('not an image file');
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const version = view.getUint32(8, true);
  if (version !== imageVersion) throw new ImageError(`image has version ${version}, not ${imageVersion}`);
  const headerLength = view.getUint32(12, true);
  if (view.getBigUint64(16, true) !== BigInt(file.length)) throw new ImageError('image is cut short');
  if (headerLength > maxHeaderBytes || roundUp(preludeBytes + headerLength) > file.length) {
    throw new ImageError('image header has an impossible length');
  }
  let parsed: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(
      // A copy: the bytes may be shared between threads, which decoders refuse.
      file.slice(preludeBytes, preludeBytes + headerLength),
    );
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new ImageError('image header is not JSON', { cause });
  }
  assertHeader(parsed);
  const dataBytes = file.length - roundUp(preludeBytes + headerLength);
  let sum = 0;
  let end = 0;
  for (const [first, count] of parsed.pages) {
    if (first < end || count === 0) throw new ImageError('image pages are out of order');
    end = first + count;
    if (end * pageBytes > parsed.heapBytes) throw new ImageError('image pages lie outside its heap');
    sum += count * pageBytes;
  }
  if (sum !== dataBytes) throw new ImageError('image pages and its length disagree');
  return parsed;
}

/** Parts of a heap that are all zero already: from `start` to `end`, and from `top` on. */
export interface KnownZeros {
  start: number;
  end: number;
  top: number;
}

/** Makes the heap what the image says. Writing zeros over `known` ones would only make their pages resident. */
export function placePages(image: DecodedImage, heap: Uint8Array, known: KnownZeros): void {
  const clear = (from: number, to: number): void => {
    const end = Math.min(to, known.top);
    heap.fill(0, from, Math.min(end, known.start));
    heap.fill(0, Math.max(from, known.end), end);
  };
  let offset = 0;
  let placedTo = 0;
  for (const [first, count] of image.header.pages) {
    const start = first * pageBytes;
    const bytes = count * pageBytes;
    clear(placedTo, start);
    heap.set(image.data.subarray(offset, offset + bytes), start);
    offset += bytes;
    placedTo = start + bytes;
  }
  clear(placedTo, heap.length);
}

function fingerprintMismatch(found: Fingerprint, expected: Fingerprint): keyof Fingerprint | undefined {
  return (['pyodide', 'buildId', 'kernelHash', 'lockHash'] as const).find(
    (key) => found[key] !== expected[key],
  );
}

async function digest(file: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', file.subarray(preludeBytes)));
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / pageBytes) * pageBytes;
}

function natural(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isLinked(value: unknown): value is LinkedLibraries {
  const { libraries, tableLength, slots, freeSlots, offsets } = (value ?? {}) as Partial<LinkedLibraries>;
  const is = Array.isArray;
  return (
    natural(tableLength) &&
    is(libraries) &&
    libraries.every(isLibrary) &&
    is(slots) &&
    slots.every(
      (slot) =>
        is(slot) &&
        natural(slot[0]) &&
        slot[0] < tableLength &&
        Number.isSafeInteger(slot[1]) &&
        slot[1] < libraries.length &&
        typeof slot[2] === 'string',
    ) &&
    is(freeSlots) &&
    freeSlots.every((slot) => natural(slot) && slot < tableLength) &&
    is(offsets) &&
    offsets.every((one) => is(one) && typeof one[0] === 'string' && Number.isSafeInteger(one[1]))
  );
}

function isLibrary(value: unknown): value is ImageLibrary {
  const library = (value ?? {}) as Partial<ImageLibrary>;
  return (
    typeof library.path === 'string' &&
    (library.handle === null || natural(library.handle)) &&
    typeof library.global === 'boolean' &&
    natural(library.memoryBase) &&
    natural(library.tableBase) &&
    natural(library.tableSize)
  );
}

function assertHeader(value: unknown): asserts value is ImageHeader {
  const header = value as Partial<ImageHeader> | null;
  const numbers = [header?.heapBytes, header?.heapTop, header?.stackPointer, header?.executeAddress];
  const right =
    typeof header === 'object' &&
    header !== null &&
    numbers.every(natural) &&
    typeof header.python === 'string' &&
    typeof header.fingerprint === 'object' &&
    header.fingerprint !== null &&
    typeof header.hiwire === 'object' &&
    header.hiwire !== null &&
    isLinked(header.linked) &&
    Array.isArray(header.pages) &&
    header.pages.every((run) => Array.isArray(run) && run.length === 2 && run.every(natural));
  if (!right) throw new ImageError('image header has the wrong shape');
  const { heapBytes, heapTop, stackPointer } = header as ImageHeader;
  if (heapBytes % wasmPageBytes !== 0 || heapTop > heapBytes || stackPointer > heapBytes) {
    throw new ImageError('image header has impossible sizes');
  }
}
