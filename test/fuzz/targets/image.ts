/** An image's file; or a header as JSON, which is put into a file that is right in everything else. */
import { isDeepStrictEqual } from 'node:util';
import {
  decodeImage,
  encodeImage,
  libraryBytes,
  placePages,
  preludeBytes,
  readHeader,
  splitImage,
  verifyImage,
} from '../../../src/image/format.ts';
import { ImageError, type ImageHeader, pageBytes } from '../../../src/image/header.ts';
import { bytesOf, ensure, refusable, refusableLater, textOf } from '../target.ts';

const fingerprint = { pyodide: '1', buildId: 'b', kernelHash: 'k', lockHash: '' };
const heapBytes = 65_536;
/** A larger heap isn't made here. */
const maxHeapBytes = 16 * heapBytes;
const header: Omit<ImageHeader, 'pages'> = {
  fingerprint,
  contents: { wheels: ['a-1-py3-none-any.whl'], imports: ['a'], warm: ['w.py'] },
  python: '3.14.2',
  heapBytes,
  heapTop: 100,
  stackPointer: 50,
  executeAddress: 4,
  hiwire: { hiwireKeys: [null] },
  linked: {
    libraries: [
      { path: '/a/l.so', handle: 8, global: true, memoryBase: 0, tableBase: 1, tableSize: 1 },
      { path: '/a/m.so', handle: null, global: false, memoryBase: 0, tableBase: 1, tableSize: 1 },
    ],
    tableLength: 7,
    slots: [[1, -1, 'f']],
    freeSlots: [2],
    offsets: [['x', -3]],
  },
  tree: {
    folders: ['/a'],
    files: [
      ['/a/l.so', 3, 0o755],
      ['/a/m.so', 2, 0o644],
    ],
    links: [['/a/link', '../x']],
    descriptors: [[5, '/a/l.so', 2, 1]],
  },
};

export const sources: readonly string[] = ['image/format.ts', 'image/header.ts'];
export const json = true;
export const dictionary: readonly string[] = [
  ...[
    'VIVIMAGE',
    '\x02\0\0\0',
    '/..',
    '/.',
    '//',
    '/a/../b',
    '/a\0',
    '/a/l.so',
    '..',
    '__proto__',
    'constructor',
  ],
  ...[...Object.keys(header), ...Object.keys(header.linked), ...Object.keys(header.tree), 'pages'],
];
const heap = new Uint8Array(heapBytes);
heap.fill(7, pageBytes, 2 * pageBytes);
export const seeds: readonly Uint8Array[] = [
  bytesOf(JSON.stringify({ ...header, pages: [[1, 2]] })),
  bytesOf(
    JSON.stringify({
      ...header,
      linked: { ...header.linked, libraries: [], slots: [] },
      pages: [
        [0, 1],
        [15, 1],
      ],
    }),
  ),
  Buffer.concat(await encodeImage(header, heap, [Uint8Array.of(1, 2, 3), Uint8Array.of(4, 5)])),
  Buffer.concat(await encodeImage(header, new Uint8Array(heapBytes), [])).subarray(0, 2000),
];

export async function fuzz(data: Uint8Array): Promise<void> {
  const file = data[0] === 0x7b ? fileOf(data) : data;
  const image = refusable(() => splitImage(file), ImageError);
  if (image === undefined) return;
  await refusableLater(() => verifyImage(image), ImageError);
  const found = refusable(() => readHeader(image.first, image.files.length), ImageError);
  refusable(() => decodeImage(image, fingerprint), ImageError);
  if (found === undefined) return;
  for (const path of pathsOf(found)) {
    const right = path.startsWith('/') && !path.includes('\0') && !/\/(\.{0,2})(\/|$)/.test(path);
    ensure(right, `a path that is none: ${JSON.stringify(path)}`);
  }
  const decoded = refusable(() => decodeImage(image, found.fingerprint), ImageError);
  if (decoded === undefined) return;
  refusable(() => libraryBytes(decoded), ImageError);
  if (found.heapBytes > maxHeapBytes) return;
  // Nothing writes a header that was read: one that is nested too deep for that does no harm.
  const written = refusable(() => JSON.parse(JSON.stringify(found)) as ImageHeader, RangeError);
  if (written === undefined) return;
  const [restored, contents] = [heapOf(decoded, found.heapBytes), contentsOf(decoded)];
  const { pages, ...rest } = written;
  const second = splitImage(Buffer.concat(await encodeImage(rest, restored, contents)));
  await verifyImage(second);
  const again = decodeImage(second, found.fingerprint);
  ensure(isDeepStrictEqual({ ...again.header, pages }, written), 'another header after a round trip');
  ensure(Buffer.compare(heapOf(again, found.heapBytes), restored) === 0, 'another heap after a round trip');
  ensure(Buffer.compare(again.files, decoded.files) === 0, 'other files after a round trip');
}

function heapOf(image: Parameters<typeof placePages>[0], bytes: number): Uint8Array {
  const made = new Uint8Array(bytes);
  placePages(image, made, { start: 0, end: 0, top: bytes });
  return made;
}

function contentsOf({ header: { tree }, files }: { header: ImageHeader; files: Uint8Array }): Uint8Array[] {
  let offset = 0;
  return tree.files.map(([, bytes]) => {
    offset += bytes;
    return files.subarray(offset - bytes, offset);
  });
}

function pathsOf({ tree }: ImageHeader): string[] {
  return [
    ...tree.folders,
    ...tree.files.map(([path]) => path),
    ...tree.links.map(([path]) => path),
    ...tree.descriptors.map((one) => one[1]),
  ];
}

/** The lengths are what the header says, as far as that is small. */
function fileOf(data: Uint8Array): Uint8Array {
  const found = refusable(() => JSON.parse(textOf(data)) as unknown, SyntaxError) as
    | Partial<ImageHeader>
    | null
    | undefined;
  const sum = (list: unknown, unit: number): number => {
    if (!Array.isArray(list)) return 0;
    const all = list.reduce(
      (total: number, one) => total + unit * (Array.isArray(one) && typeof one[1] === 'number' ? one[1] : 0),
      0,
    );
    return all >= 0 && all <= maxHeapBytes ? Math.floor(all) : 0;
  };
  const start = Math.ceil((preludeBytes + data.length) / pageBytes) * pageBytes;
  const filesOffset = start + sum(found?.pages, pageBytes);
  const file = new Uint8Array(filesOffset + sum(found?.tree?.files, 1));
  file.set(bytesOf('VIVIMAGE'));
  const view = new DataView(file.buffer);
  view.setUint32(8, 2, true);
  view.setUint32(12, data.length, true);
  view.setBigUint64(16, BigInt(file.length), true);
  view.setBigUint64(24, BigInt(filesOffset), true);
  file.set(data, preludeBytes);
  return file;
}
