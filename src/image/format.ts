/**
 * The image file: a frozen interpreter.
 *
 *     offset  bytes
 *          0  8    magic "VIVIMAGE"
 *          8  4    format version, u32 LE
 *         12  4    header length in bytes, u32 LE
 *         16  8    length of the whole file, u64 LE
 *         24  8    offset of the files, u64 LE
 *         32  32   SHA-256 of everything from offset 96 to the files
 *         64  32   SHA-256 of the files
 *         96  …    header, JSON in UTF-8
 *          …  …    zeros up to a multiple of `pageBytes`
 *          …  …    the heap's pages that are not all zero, in the order of `pages`
 *          …  …    the contents of the files, in the order of `tree.files`
 *
 * Two sums, since two threads make them sooner, and since the two halves are kept for different reasons: pages are what
 * a rewind goes back to, files are what Python reads.
 */

import { assertHeader, type Fingerprint, ImageError, type ImageHeader, pageBytes } from './header.ts';

export const imageVersion = 2;

const magic = new Uint8Array([...'VIVIMAGE'].map((letter) => letter.charCodeAt(0)));
export const preludeBytes = 96;
const maxHeaderBytes = 64 * 1024 * 1024;

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

/** The file as two pieces: prelude, header and pages; and the files, which it takes in the order of `tree.files`. */
export async function encodeImage(
  header: Omit<ImageHeader, 'pages'>,
  heap: Uint8Array,
  contents: readonly Uint8Array[],
): Promise<[Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>]> {
  const pages = usedPages(heap);
  const headerBytes = new TextEncoder().encode(JSON.stringify({ ...header, pages }));
  const pagesStart = roundUp(preludeBytes + headerBytes.length);
  const first = new Uint8Array(pages.reduce((sum, [, count]) => sum + count * pageBytes, pagesStart));
  first.set(headerBytes, preludeBytes);
  let offset = pagesStart;
  for (const [page, count] of pages) {
    first.set(heap.subarray(page * pageBytes, (page + count) * pageBytes), offset);
    offset += count * pageBytes;
  }
  const files = new Uint8Array(contents.reduce((sum, bytes) => sum + bytes.length, 0));
  let end = 0;
  for (const bytes of contents) {
    files.set(bytes, end);
    end += bytes.length;
  }
  const view = new DataView(first.buffer);
  first.set(magic);
  view.setUint32(8, imageVersion, true);
  view.setUint32(12, headerBytes.length, true);
  view.setBigUint64(16, BigInt(first.length + files.length), true);
  view.setBigUint64(24, BigInt(first.length), true);
  first.set(await digest(first.subarray(preludeBytes)), 32);
  first.set(await digest(files), 64);
  return [first, files];
}

/** What the beginning of an image file says about the rest. */
export interface ImagePrelude {
  headerBytes: number;
  fileBytes: number;
  filesOffset: number;
}

/** Reads the first `preludeBytes`. Throws `ImageError` when they are no image's, or not of a file of that length. */
export function decodePrelude(prelude: Uint8Array, fileBytes: number): ImagePrelude {
  if (prelude.length < preludeBytes) throw new ImageError('image is cut short');
  if (!magic.every((byte, index) => byte === prelude[index])) throw new ImageError('not an image file');
  const view = new DataView(prelude.buffer, prelude.byteOffset, prelude.byteLength);
  const version = view.getUint32(8, true);
  if (version !== imageVersion) throw new ImageError(`image has version ${version}, not ${imageVersion}`);
  const headerBytes = view.getUint32(12, true);
  if (view.getBigUint64(16, true) !== BigInt(fileBytes)) throw new ImageError('image is cut short');
  const filesOffset = Number(view.getBigUint64(24, true));
  if (
    headerBytes > maxHeaderBytes ||
    filesOffset > fileBytes ||
    roundUp(preludeBytes + headerBytes) > filesOffset
  )
    throw new ImageError('image header has an impossible length');
  return { headerBytes, fileBytes, filesOffset };
}

export interface DecodedImage {
  header: ImageHeader;
  /** The pages, back to back. */
  pages: Uint8Array;
  /** The files' contents, back to back. */
  files: Uint8Array;
  /** Its checksums, in hexadecimal: equal images have equal ones. */
  sums: string;
}

/** An image file, read in its two pieces: up to its files, and these. */
export interface ImageBytes {
  first: Uint8Array;
  files: Uint8Array;
}

/** Cuts a whole file at its files. Throws `ImageError`. */
export function splitImage(file: Uint8Array): ImageBytes {
  const { filesOffset } = decodePrelude(file, file.length);
  return { first: file.subarray(0, filesOffset), files: file.subarray(filesOffset) };
}

/** For the reader of an image's file: one that can't be read is as good as damaged. */
export function unreadable(cause: unknown): never {
  throw new ImageError(`image can't be read: ${cause instanceof Error ? cause.message : String(cause)}`, {
    cause,
  });
}

/** Throws `ImageError` when a checksum is not that of the bytes. */
export async function verifyImage({ first, files }: ImageBytes): Promise<void> {
  const [sumOfFirst, sumOfFiles] = await Promise.all([digest(first.subarray(preludeBytes)), digest(files)]);
  const right =
    sumOfFirst.every((byte, index) => byte === first[32 + index]) &&
    sumOfFiles.every((byte, index) => byte === first[64 + index]);
  if (!right) throw new ImageError('image checksum is wrong');
}

/**
 * Reads an image that must fit `expected`. Throws `ImageError` unless magic, version, lengths and fingerprint are all
 * right. The checksums are `verifyImage`'s: call both before anything of the image is used.
 */
export function decodeImage({ first, files }: ImageBytes, expected: Fingerprint): DecodedImage {
  const header = readHeader(first, files.length);
  const mismatch = fingerprintMismatch(header.fingerprint, expected);
  if (mismatch !== undefined) throw new ImageError(`image is for another ${mismatch}`);
  const { headerBytes, filesOffset } = decodePrelude(first, first.length + files.length);
  if (filesOffset !== first.length) throw new ImageError('image is cut at another place than its files');
  const sums = [...first.subarray(32, preludeBytes)]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('');
  return { header, pages: first.subarray(roundUp(preludeBytes + headerBytes)), files, sums };
}

/** The header alone, whatever it fits. `first` may end after the header. Throws `ImageError`. */
export function readHeader(first: Uint8Array, filesBytes: number): ImageHeader {
  const { headerBytes, filesOffset } = decodePrelude(first, fileLength(first));
  let parsed: unknown;
  try {
    // A copy: the bytes may be shared between threads, which decoders refuse.
    const text = first.slice(preludeBytes, preludeBytes + headerBytes);
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (cause) {
    throw new ImageError('image header is not JSON', { cause });
  }
  assertHeader(parsed, filesOffset - roundUp(preludeBytes + headerBytes), filesBytes);
  return parsed;
}

function fileLength(first: Uint8Array): number {
  if (first.length < preludeBytes) throw new ImageError('image is cut short');
  return Number(new DataView(first.buffer, first.byteOffset).getBigUint64(16, true));
}

/** The image's dynamic libraries, in their order. Throws `ImageError` when one isn't among its files. */
export function libraryBytes({ header, files }: Pick<DecodedImage, 'header' | 'files'>): Uint8Array[] {
  const found = new Map<string, Uint8Array>();
  let offset = 0;
  for (const [path, bytes] of header.tree.files) {
    found.set(path, files.subarray(offset, offset + bytes));
    offset += bytes;
  }
  return header.linked.libraries.map(({ path }) => {
    const bytes = found.get(path);
    if (bytes === undefined) throw new ImageError(`image needs the dynamic library ${path}`);
    return bytes;
  });
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
    heap.set(image.pages.subarray(offset, offset + bytes), start);
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

async function digest(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / pageBytes) * pageBytes;
}
