import { SessionError, UsageError } from '../../errors/errors.ts';
import { type Delta, type DeltaNode, deltaVersion, fileBlobBytes } from '../../image/delta.ts';
import { pageBytes } from '../../image/header.ts';
import { wasmPageBytes } from '../../util/wasm.ts';
import type { FileWrite, FreezeOptions } from '../engine.ts';

/** Where runs work. */
export const fakeHome = '/home/pyodide';

/** What a fake worker holds, for scripts to change: gone with a rewind, kept while a session has the worker. */
export interface FakeState {
  /** Stands for Python's heap. */
  readonly values: Map<string, string>;
  /** By absolute path. */
  readonly files: Map<string, { bytes: Uint8Array; modifiedAt: number }>;
  /** Names of asyncio tasks that are pending. */
  readonly tasks: Set<string>;
  /** What can't be stored. */
  readonly obstacles: Set<string>;
}

export function emptyFakeState(): FakeState {
  return { values: new Map(), files: new Map(), tasks: new Set(), obstacles: new Set() };
}

/** Throws `not_freezable`. */
export function freezeFakeState(
  state: FakeState,
  { tasks }: FreezeOptions,
  image: string,
  monotonicMs: number,
): { delta: Delta; cancelled: string[] } {
  const refused = tasks === 'refuse' ? [...state.tasks].map((name) => `the task ${name}`) : [];
  const objects = [...state.obstacles, ...refused];
  if (objects.length > 0)
    throw new SessionError('not_freezable', `It can't be stored: ${objects.join(', ')}.`, {
      details: { objects },
    });
  const cancelled = tasks === 'cancel' ? [...state.tasks] : [];
  for (const name of cancelled) state.tasks.delete(name);

  const text = JSON.stringify({ values: [...state.values], tasks: [...state.tasks] });
  const empty = state.values.size + state.tasks.size === 0;
  const heap = empty ? new Uint8Array() : padded(new TextEncoder().encode(text));
  const pages = heap.byteLength / pageBytes;
  const blobs = empty ? [] : [heap];
  const nodes: DeltaNode[] = [...state.files]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, { bytes, modifiedAt }]) => {
      const pieces = piecesOf(bytes);
      const node = fileNode(path, bytes.byteLength, modifiedAt, blobs.length, pieces.length);
      blobs.push(...pieces);
      return node;
    });
  return {
    cancelled,
    delta: {
      header: {
        version: deltaVersion,
        image: fakeSum(image),
        heapBytes: Math.max(1, Math.ceil(heap.byteLength / wasmPageBytes)) * wasmPageBytes,
        heapTop: heap.byteLength,
        pages: empty ? [] : [[0, pages]],
        regions: empty ? 0 : 1,
        blobs: blobs.map((blob) => blob.byteLength),
        linked: null,
        tree: { removed: [], nodes, descriptors: [], cwd: fakeHome },
        monotonicMs,
      },
      blobs,
    },
  };
}

/** Throws `session_image`. */
export function thawFakeState({ header, blobs }: Delta, image: string): FakeState {
  if (header.image !== fakeSum(image))
    throw new SessionError('session_image', 'The session was made with another build of its image.');
  const state = emptyFakeState();
  const heap = header.regions > 0 ? blobs[0] : undefined;
  if (heap) {
    const { values, tasks } = JSON.parse(new TextDecoder().decode(heap)) as {
      values: [string, string][];
      tasks: string[];
    };
    for (const [name, value] of values) state.values.set(name, value);
    for (const name of tasks) state.tasks.add(name);
  }
  for (const { path, blob, blobs: count, size, mtimeMs } of header.tree.nodes) {
    const bytes = new Uint8Array(size);
    let at = 0;
    for (const piece of blobs.slice(blob, blob + count)) {
      bytes.set(piece, at);
      at += piece.byteLength;
    }
    state.files.set(path, { bytes, modifiedAt: mtimeMs });
  }
  return state;
}

/** Throws `usage`. */
export function changeFakeFiles(state: FakeState, changes: readonly FileWrite[], now: number): void {
  for (const { path, bytes } of changes) {
    if (!path.startsWith('/')) throw new UsageError('usage', `${path} is no absolute path.`);
    const below = [...state.files.keys()].filter((other) => other.startsWith(`${path}/`));
    if (bytes && below.length > 0) throw new UsageError('usage', `${path} is a folder.`);
    if (bytes) state.files.set(path, { bytes: bytes.slice(), modifiedAt: now });
    else for (const gone of [path, ...below]) state.files.delete(gone);
  }
}

function fileNode(path: string, size: number, mtimeMs: number, blob: number, blobs: number): DeltaNode {
  const times = { atimeMs: mtimeMs, mtimeMs, ctimeMs: mtimeMs };
  return {
    path,
    kind: 'file',
    mode: 0o644,
    ...times,
    size,
    original: null,
    target: '',
    blob,
    blobs,
    foreign: true,
  };
}

function piecesOf(bytes: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.byteLength; at += fileBlobBytes)
    pieces.push(bytes.slice(at, at + fileBlobBytes));
  return pieces;
}

/** With spaces, up to whole pages. */
function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(Math.ceil(bytes.byteLength / pageBytes) * pageBytes).fill(0x20);
  whole.set(bytes);
  return whole;
}

/** Stands for an image's checksums. */
function fakeSum(image: string): string {
  const hex = [...new TextEncoder().encode(image)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.padEnd(128, '0').slice(0, 128);
}
