/** The header of a session's delta, as JSON. */
import {
  assertBlobs,
  DeltaError,
  type DeltaHeader,
  type DeltaNode,
  deltaVersion,
  parseDeltaHeader,
} from '../../../src/image/delta.ts';
import { bytesOf, ensure, refusable, textOf } from '../target.ts';

const node: DeltaNode = {
  ...{ path: '/home/a', kind: 'file', mode: 0o644, atimeMs: 1, mtimeMs: 2.5, ctimeMs: -3, size: 3 },
  ...{ original: null, target: '', blob: 1, blobs: 1, foreign: true },
};
const header: DeltaHeader = {
  version: deltaVersion,
  image: 'ab'.repeat(64),
  heapBytes: 131_072,
  heapTop: 100_000,
  pages: [
    [1, 1],
    [5, 1],
  ],
  regions: 1,
  blobs: [8192, 3],
  linked: null,
  tree: {
    removed: ['/a/b'],
    nodes: [
      { ...node },
      { ...node, path: '/home', kind: 'folder', size: 0, blob: 0, blobs: 0, foreign: false },
      { ...node, path: '', original: '/lib/x.py', blob: 0, blobs: 0 },
      { ...node, path: '/l', kind: 'link', target: '../x', size: 0, blob: 0, blobs: 0 },
    ],
    descriptors: [
      { fd: 3, node: '/home/a', flags: 2, position: 1, shared: 0 },
      { fd: 4, node: 2, flags: 0, position: 0, shared: 1 },
    ],
    cwd: '/home',
  },
  monotonicMs: 12.5,
};
const linked = {
  libraries: [{ path: '/a/l.so', handle: 8, global: true, memoryBase: 0, tableBase: 1, tableSize: 1 }],
  tableLength: 7,
  slots: [[1, -1, 'f']],
  freeSlots: [2],
  offsets: [['x', -3]],
};

export const sources: readonly string[] = ['image/delta.ts', 'image/header.ts'];
export const json = true;
export const dictionary: readonly string[] = [
  ...['/..', '/.', '//', '/a/../b', '/a\0', '..', '__proto__', 'constructor', 'file', 'folder', 'link'],
  ...[...Object.keys(header), ...Object.keys(header.tree), ...Object.keys(node), ...Object.keys(linked)],
];
export const seeds: readonly Uint8Array[] = [
  bytesOf(JSON.stringify(header)),
  bytesOf(JSON.stringify({ ...header, linked })),
  bytesOf(
    JSON.stringify({
      ...header,
      ...{ pages: [], regions: 0, blobs: [] },
      tree: { removed: [], nodes: [], descriptors: [], cwd: '/' },
    }),
  ),
];

export function fuzz(data: Uint8Array): void {
  const found = refusable(() => parseDeltaHeader(textOf(data)), DeltaError);
  if (found === undefined) return;
  const { nodes, removed, descriptors, cwd } = found.tree;
  const paths = [
    ...removed,
    ...nodes.flatMap(({ path, original }) => [path, original]),
    ...descriptors.map((one) => one.node),
  ];
  for (const path of [...paths, cwd === '/' ? '' : cwd]) {
    if (typeof path !== 'string' || path === '') continue;
    const right = path.startsWith('/') && !path.includes('\0') && !/\/(\.{0,2})(\/|$)/.test(path);
    ensure(right, `a path that is none: ${JSON.stringify(path)}`);
  }
  const pages = found.pages.reduce((sum, [, count]) => sum + count, 0);
  ensure(pages * 4096 <= found.heapBytes, 'more pages than the heap has');
  const text = JSON.stringify(found);
  ensure(JSON.stringify(parseDeltaHeader(text)) === text, 'another header after a round trip');
  refusable(() => assertBlobs(found, []), DeltaError);
}
