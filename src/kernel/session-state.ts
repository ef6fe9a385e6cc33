import { SessionError } from '../errors/errors.ts';
import {
  assertBlobs,
  DeltaError,
  type DeltaHeader,
  deltaVersion,
  maxHeaderChars,
  parseDeltaHeader,
} from '../image/delta.ts';
import type { DecodedImage } from '../image/format.ts';
import { pageBytes } from '../image/header.ts';
import { wasmPageBytes } from '../util/wasm.ts';
import type { Interpreter } from './boot.ts';
import { applyDeltaTree, type ReadDeltaTree, readDeltaTree } from './delta-tree.ts';
import { ownDescriptors } from './devices.ts';
import { advanceClock } from './environment.ts';
import { bytesOf, type LayeredFiles } from './filesystem.ts';
import { type Baseline, heapTop, type MemoryLimit, scrubFreeMemory } from './memory.ts';
import { applyPages, type ChangedPages, changedPages } from './pages.ts';
import type { PyodideModule } from './pyodide-internals.ts';

export interface StateParts {
  interpreter: Interpreter;
  files: LayeredFiles;
  baseline: Baseline;
  limit: MemoryLimit;
  /** Null when the kernel booted plainly: nothing can be stored that refers to no image. */
  image: DecodedImage | null;
}

export interface FrozenState {
  /** The header, as JSON. */
  text: string;
  blobs: Uint8Array<ArrayBuffer>[];
}

/** Beyond it, what is free in the heap and not zero is worth clearing first. */
const scrubBytes = 16 * 1024 * 1024;

/** Throws `SessionError` when there is something in it that can't be frozen, and names it. */
export function assertFreezable(parts: StateParts): void {
  outsideOfHeap(parts, 0);
}

/** What the interpreter differs by from its image; it stays as it is. Throws `SessionError`. */
export function freezeState(parts: StateParts): FrozenState {
  const { interpreter, baseline, limit, image } = parts;
  const { module } = interpreter;
  if (image === null)
    throw new SessionError(
      'session_image',
      'The session can’t be frozen: its worker was booted without an image.',
    );
  const pages = pagesOf(module, image, limit, baseline);
  const { tree, blobs, linked } = outsideOfHeap(parts, pages.blobs.length);
  const all = [...pages.blobs, ...blobs];
  const [last, count] = pages.runs.at(-1) ?? [0, 0];
  const top = heapTop(module);
  const heapBytes = Math.max(top, (last + count) * pageBytes);
  const header: DeltaHeader = {
    version: deltaVersion,
    image: image.sums,
    heapBytes: Math.ceil(heapBytes / wasmPageBytes) * wasmPageBytes,
    heapTop: top,
    pages: pages.runs,
    regions: pages.blobs.length,
    blobs: all.map((blob) => blob.length),
    linked,
    tree,
    monotonicMs: performance.now(),
  };
  const text = JSON.stringify(header);
  if (text.length > maxHeaderChars) throw notFreezable(['more names of files than can be stored']);
  return { text, blobs: all };
}

/** Files, descriptors and libraries. `firstBlob`: the index of the first blob of a file. */
function outsideOfHeap(
  { interpreter, files, baseline }: StateParts,
  firstBlob: number,
): Pick<ReadDeltaTree, 'tree' | 'blobs'> & { linked: DeltaHeader['linked'] } {
  const { module, libraries } = interpreter;
  const { tree, blobs, obstacles } = readDeltaTree(module.FS, files, firstBlob);
  for (const slot of baseline.changedReferences())
    obstacles.push(`a JavaScript object (${typeName(module, slot)})`);
  let linked: DeltaHeader['linked'] = null;
  try {
    linked = baseline.linkingChanged ? libraries.record(module) : null;
  } catch {
    obstacles.push('a function that was made while it ran, such as a callback of ctypes');
  }
  if (obstacles.length > 0) throw notFreezable(obstacles);
  return { tree, blobs, linked };
}

/** Makes a clean interpreter what was frozen. Throws `SessionError`; what it leaves then is to be thrown away. */
export function thawState(
  { interpreter, files, baseline, limit, image }: StateParts,
  text: string,
  blobs: readonly Uint8Array[],
): void {
  const { module, libraries } = interpreter;
  const header = readHeader(text, blobs);
  if (image?.sums !== header.image)
    throw new SessionError(
      'session_image',
      'The session was frozen from another build of its image, and fits that one only.',
    );
  try {
    limit.growTo(module.memory, header.heapBytes);
  } catch (cause) {
    const { message } = cause as Error;
    throw new SessionError('session_limit', `The session does not fit into its worker: ${message}.`, {
      cause,
      details: { limit: 'memoryBytes', asked: header.heapBytes },
    });
  }
  const { tree, linked, regions } = header;
  files.unbounded(() => applyDeltaTree(module.FS, files, tree, blobs));
  if (linked !== null) {
    const added = linked.libraries.slice(libraries.count);
    // Compiled at once: nothing else goes on here, and the engine's own compilers are out of reach by now.
    const compiled = added.map(({ path }) => new WebAssembly.Module(libraryAt(module, files, path)));
    libraries.replay(module, linked, compiled);
    // Their data was written to the heap, which has to be the image's for what follows.
    baseline.restore();
  }
  applyPages(module.HEAPU8, header.pages, blobs.slice(0, regions));
  advanceClock(header.monotonicMs);
}

function readHeader(text: string, blobs: readonly Uint8Array[]): DeltaHeader {
  try {
    const header = parseDeltaHeader(text);
    assertBlobs(header, blobs);
    if (header.tree.descriptors.some(({ fd }) => ownDescriptors.has(fd)))
      throw new DeltaError('delta has a descriptor of the kernel');
    return header;
  } catch (cause) {
    if (!(cause instanceof DeltaError)) throw cause;
    throw new SessionError('session_bytes', `The session’s state can’t be read: ${cause.message}.`, {
      cause,
    });
  }
}

function pagesOf(
  module: PyodideModule,
  image: DecodedImage,
  limit: MemoryLimit,
  { deadStack }: Baseline,
): ChangedPages {
  // What lies above is nobody's, and the memory of a worker that had a larger session is long.
  const end = Math.ceil(Math.max(heapTop(module), image.header.heapTop) / pageBytes) * pageBytes;
  const pages = changedPages(module.HEAPU8.subarray(0, end), image, deadStack);
  if (pages.blobs.reduce((sum, { length }) => sum + length, 0) < scrubBytes) return pages;
  limit.set(module.HEAPU8.length);
  scrubFreeMemory(module);
  return changedPages(module.HEAPU8.subarray(0, end), image, deadStack);
}

/** As when Python loads one: never what a run has written. */
function libraryAt({ FS }: PyodideModule, files: LayeredFiles, path: string): Uint8Array<ArrayBuffer> {
  const { node } = FS.lookupPath(path, { follow: true });
  if (files.isForeign(node))
    throw new SessionError('session_bytes', 'The session’s state names a library that no package brought.');
  return bytesOf(node).slice() as Uint8Array<ArrayBuffer>;
}

export function notFreezable(objects: readonly string[]): SessionError {
  const shown = objects.slice(0, 5).join(', ');
  const more = objects.length > 5 ? ` and ${objects.length - 5} more` : '';
  return new SessionError(
    'not_freezable',
    `The session can’t be frozen: it holds ${shown}${more}. Close what is named, and try again.`,
    { details: { objects: objects.slice(0, 100) } },
  );
}

function typeName(module: PyodideModule, slot: number): string {
  try {
    return typeof module.__hiwire_get(slot);
  } catch {
    return 'gone';
  }
}
