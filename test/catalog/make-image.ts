import { encodeImage } from '../../src/image/format.ts';
import { type Fingerprint, type ImageHeader, pageBytes } from '../../src/image/header.ts';

const wasmPageBytes = 65536;

/** A small image file that is right in every part, but for that no interpreter is in it. */
export async function makeImage(
  fingerprint: Fingerprint,
  changes: Partial<Omit<ImageHeader, 'pages'>> = {},
): Promise<Uint8Array> {
  const heapBytes = 4 * wasmPageBytes;
  const heap = new Uint8Array(heapBytes);
  for (const page of [0, 5, 6]) heap.fill(page + 1, page * pageBytes, (page + 1) * pageBytes);
  const header = {
    fingerprint,
    contents: {
      wheels: ['numpy-2.4.3-cp314-cp314-pyemscripten_2026_0_wasm32.whl'],
      imports: ['numpy'],
      warm: [],
    },
    python: '3.14.2',
    heapBytes,
    heapTop: wasmPageBytes,
    stackPointer: pageBytes,
    executeAddress: 42,
    hiwire: {},
    linked: { libraries: [], tableLength: 7, slots: [], freeSlots: [], offsets: [] },
    tree: {
      folders: ['/lib'],
      files: [['/lib/a.py', 5, 0o644]],
      links: [],
      descriptors: [],
    } satisfies ImageHeader['tree'],
    ...changes,
  };
  const contents = header.tree.files.map(([, bytes]) => new Uint8Array(bytes).fill(7));
  return Buffer.concat(await encodeImage(header, heap, contents));
}
