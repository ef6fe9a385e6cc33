/**
 * What a session's interpreter differs by from its image. A delta is a header (JSON) and blobs (bytes): changed pages of the
 * heap as their XOR with the image, region by region, then what files hold. It says nothing that the image says.
 */

import { wasmPageBytes } from '../util/wasm.ts';
import { isLinked, isPath, type LinkedLibraries, natural, pageBytes } from './header.ts';

/** Raised by one whenever a delta changes its meaning. */
export const deltaVersion = 1;

/** A blob of pages holds those of one region of the heap: equal regions of two deltas are equal blobs. */
export const regionBytes: number = 4 * 1024 * 1024;

/** A file's bytes are cut into blobs of so many. */
export const fileBlobBytes: number = 4 * 1024 * 1024;

/** A file, folder or link that differs from the image's, or isn't there. Times in milliseconds since 1970. */
export interface DeltaNode {
  /** Absolute. Of a file that is in no folder any more and still open: empty. */
  path: string;
  kind: 'file' | 'folder' | 'link';
  /** Permission bits. */
  mode: number;
  atimeMs: number;
  mtimeMs: number;
  ctimeMs: number;
  /** Of a file. */
  size: number;
  /** Of a file: it holds what the image's file of this path does. */
  original: string | null;
  /** Of a link. */
  target: string;
  /** Of a file that isn't `original`: index of its first blob, and how many. */
  blob: number;
  blobs: number;
  /** A run has written it, so that no library is loaded from it. */
  foreign: boolean;
}

export interface DeltaTree {
  /** Of the image, and gone. Children before their parents. */
  removed: string[];
  /** Parents before their children. */
  nodes: DeltaNode[];
  /** All that are open but the kernel's own. `node`: a path, or the index in `nodes` of a file that has none. Those with one number `shared` share a position. */
  descriptors: { fd: number; node: number | string; flags: number; position: number; shared: number }[];
  cwd: string;
}

export interface DeltaHeader {
  version: number;
  /** Of the image: its checksums, in hexadecimal. */
  image: string;
  heapBytes: number;
  heapTop: number;
  /** Changed pages: first, count; in the order of the blobs. */
  pages: [first: number, count: number][];
  /** The number of blobs that hold pages. */
  regions: number;
  /** Bytes of each blob. */
  blobs: number[];
  /** Libraries, when some were loaded or the table was changed. */
  linked: LinkedLibraries | null;
  tree: DeltaTree;
  /** What Python's monotonic clock showed, in milliseconds. */
  monotonicMs: number;
}

export interface Delta {
  header: DeltaHeader;
  blobs: Uint8Array[];
}

/** The bytes are no delta, are cut or altered, or of another version. */
export class DeltaError extends Error {
  override readonly name = 'DeltaError';
}

/** Nodes and descriptors of a session; what a run may create, twice. */
export const maxNodes: number = 200_000;
const maxRemoved = 1_000_000;
export const maxPathChars: number = 4096;
/** Of a header's JSON: it has to fit into a message. */
export const maxHeaderChars: number = 2 ** 24;
const maxDescriptor = 4096;
/** A hundred years: a clock far beyond would lose its milliseconds. */
const maxMonotonicMs = 100 * 365 * 24 * 3_600_000;
const permissionBits = 0o7777;

/** Checks everything: a kernel that runs hostile code has written it. Throws `DeltaError`. */
export function parseDeltaHeader(text: string): DeltaHeader {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DeltaError('delta header is not JSON', { cause });
  }
  const header = (value ?? {}) as Partial<DeltaHeader>;
  const { version } = header;
  if (version !== deltaVersion)
    throw new DeltaError(
      `delta has ${natural(version) ? `version ${version}` : 'no version'}, not version ${deltaVersion}`,
    );
  const { heapBytes, heapTop, regions, monotonicMs, image } = header;
  const right =
    hasOnly(value, 10) &&
    [heapBytes, heapTop, regions].every(natural) &&
    typeof monotonicMs === 'number' &&
    monotonicMs >= 0 &&
    monotonicMs <= maxMonotonicMs &&
    typeof image === 'string' &&
    /^[0-9a-f]{128}$/.test(image) &&
    listOf(header.blobs, maxNodes + maxRemoved, natural) &&
    listOf(header.pages, maxRemoved, isRun) &&
    (header.linked === null || (isLinked(header.linked) && hasOnly(header.linked, 5))) &&
    isTree(header.tree);
  if (!right) throw new DeltaError('delta header has the wrong shape');
  const whole = header as DeltaHeader;
  assertSizes(whole);
  return whole;
}

/** Throws `DeltaError` unless the blobs are those that the header speaks of. */
export function assertBlobs({ blobs: sizes }: DeltaHeader, blobs: readonly Uint8Array[]): void {
  if (sizes.length !== blobs.length || sizes.some((size, index) => size !== blobs[index]?.byteLength))
    throw new DeltaError('delta and its blobs disagree');
}

/** Pages lie in order in the heap and fill their blobs, files theirs, and descriptors refer to what is there. */
function assertSizes({ heapBytes, heapTop, pages, regions, blobs, tree }: DeltaHeader): void {
  if (heapBytes % wasmPageBytes !== 0 || heapTop > heapBytes || heapBytes > 2 ** 32)
    throw new DeltaError('delta has impossible sizes');
  let end = 0;
  let bytes = 0;
  for (const [first, count] of pages) {
    if (first < end) throw new DeltaError('delta pages are out of order');
    end = first + count;
    bytes += count * pageBytes;
  }
  if (end * pageBytes > heapBytes) throw new DeltaError('delta pages lie outside its heap');
  if (blobs.slice(0, regions).some((size) => size === 0 || size % pageBytes !== 0))
    throw new DeltaError('delta has parts of pages');
  if (regions > blobs.length || sum(blobs.slice(0, regions)) !== bytes)
    throw new DeltaError('delta pages and its blobs disagree');
  let next = regions;
  for (const node of tree.nodes) {
    if (node.kind !== 'file' || node.original !== null) continue;
    if (node.blob !== next || sum(blobs.slice(next, next + node.blobs)) !== node.size)
      throw new DeltaError('delta files and its blobs disagree');
    next += node.blobs;
  }
  if (next !== blobs.length) throw new DeltaError('delta has blobs that nothing names');
  for (const { node } of tree.descriptors)
    if (typeof node === 'number' && tree.nodes[node]?.path !== '')
      throw new DeltaError('delta has a descriptor of nothing');
}

/** Of an object whose fields are all looked at: it has no others, which would be stored unseen. */
function hasOnly(value: unknown, fields: number): boolean {
  return Object.keys(value ?? {}).length === fields;
}

function listOf(value: unknown, max: number, is: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.length <= max && value.every(is);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

function isRun(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [first, count] = value as unknown[];
  return natural(first) && natural(count) && count > 0;
}

function isTree(value: unknown): boolean {
  const { removed, nodes, descriptors, cwd } = (value ?? {}) as Partial<DeltaTree>;
  return (
    hasOnly(value, 4) &&
    listOf(removed, maxRemoved, isPath) &&
    listOf(nodes, maxNodes, isNode) &&
    listOf(descriptors, maxNodes, isDescriptor) &&
    (cwd === '/' || isPath(cwd))
  );
}

function isNode(value: unknown): boolean {
  const node = (value ?? {}) as Partial<DeltaNode>;
  const { kind, path, original, target } = node;
  const times = [node.atimeMs, node.mtimeMs, node.ctimeMs];
  return (
    hasOnly(value, 12) &&
    (kind === 'file' || kind === 'folder' || kind === 'link') &&
    (isPath(path) || (path === '' && kind === 'file')) &&
    natural(node.mode) &&
    node.mode <= permissionBits &&
    times.every((time) => typeof time === 'number' && Number.isFinite(time)) &&
    [node.size, node.blob, node.blobs].every(natural) &&
    (original === null || (kind === 'file' && isPath(original))) &&
    typeof target === 'string' &&
    target.length <= maxPathChars &&
    typeof node.foreign === 'boolean'
  );
}

function isDescriptor(value: unknown): boolean {
  const { fd, node, flags, position, shared } = (value ?? {}) as Partial<DeltaTree['descriptors'][number]>;
  return (
    hasOnly(value, 5) &&
    (natural(node) || isPath(node)) &&
    [fd, flags, position, shared].every(natural) &&
    (fd as number) <= maxDescriptor
  );
}
