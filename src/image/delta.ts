/**
 * What a session's interpreter differs by from its image. A delta is a header (JSON) and blobs (bytes): changed pages of the
 * heap as their XOR with the image, region by region, then what files hold. It says nothing that the image says.
 */

import type { LinkedLibraries } from './header.ts';

/** Raised by one whenever a delta changes its meaning. */
export const deltaVersion = 1;

/** A blob of pages holds those of one region of the heap: equal regions of two deltas are equal blobs. */
export const regionBytes = 4 * 1024 * 1024;

/** A file's bytes are cut into blobs of so many. */
export const fileBlobBytes = 4 * 1024 * 1024;

/** A file, folder or link that differs from the image's, or isn't there. Times in milliseconds since 1970. */
export interface DeltaNode {
  /** Absolute. Of a file that was removed and is still open: empty. */
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
  /** All that are open but the kernel's own: number, index in `nodes` or path in the image, flags, position. Equal `shared` numbers share a position. */
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
