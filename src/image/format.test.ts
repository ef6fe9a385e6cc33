import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type DecodedImage,
  decodeImage,
  encodeImage,
  imageVersion,
  libraryBytes,
  placePages,
  preludeBytes,
  readHeader,
  splitImage,
  unreadable,
  usedPages,
  verifyImage,
} from './format.ts';
import { type Fingerprint, ImageError, type ImageHeader, type ImageTree, pageBytes } from './header.ts';

const wasmPageBytes = 65536;
const fingerprint: Fingerprint = { pyodide: '1.2.3', buildId: 'ab', kernelHash: 'cd', lockHash: '' };
const library = { handle: 8, global: false, memoryBase: 0, tableBase: 1, tableSize: 1 };
const base: Omit<ImageHeader, 'pages'> = {
  fingerprint,
  contents: { wheels: ['a-1-py3-none-any.whl'], imports: ['a'], warm: ['warm.py'] },
  python: '3.14.2',
  heapBytes: 2 * wasmPageBytes,
  heapTop: wasmPageBytes,
  stackPointer: 3 * pageBytes,
  executeAddress: 42,
  hiwire: { hiwireKeys: [null], immortalKeys: ['x'] },
  linked: { libraries: [], tableLength: 7, slots: [], freeSlots: [], offsets: [] },
  tree: { folders: [], files: [], links: [], descriptors: [] },
};
const withFiles: Omit<ImageHeader, 'pages'> = {
  ...base,
  tree: {
    folders: ['/a', '/a/b'],
    files: [
      ['/a/one', 3, 0o644],
      ['/a/none', 0, 0o600],
      ['/a/b/two', 5000, 0o755],
    ],
    links: [['/a/link', '../elsewhere']],
    descriptors: [[5, '/a/one', 2, 1]],
  },
};
const contents = [Uint8Array.of(1, 2, 3), new Uint8Array(), new Uint8Array(5000).fill(9)];

function heapOf(...used: number[]): Uint8Array {
  const heap = new Uint8Array(base.heapBytes);
  for (const page of used) heap.fill(page + 1, page * pageBytes, (page + 1) * pageBytes);
  return heap;
}

/** As it lies on disk. */
async function encode(...args: Parameters<typeof encodeImage>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(Buffer.concat(await encodeImage(...args)));
}

async function open(file: Uint8Array): Promise<DecodedImage> {
  const image = splitImage(file);
  await verifyImage(image);
  return decodeImage(image, fingerprint);
}

/** A file with this header, right in everything else. */
async function fileWith(
  header: object | null,
  pagesBytes: number,
  filesBytes = 0,
): Promise<Uint8Array<ArrayBuffer>> {
  const file = await encode(base, new Uint8Array(base.heapBytes), []);
  const json = new TextEncoder().encode(JSON.stringify(header));
  const pagesStart = Math.ceil((preludeBytes + json.length) / pageBytes) * pageBytes;
  const made = new Uint8Array(pagesStart + pagesBytes + filesBytes);
  made.set(file.subarray(0, preludeBytes));
  made.set(json, preludeBytes);
  const view = new DataView(made.buffer);
  view.setUint32(12, json.length, true);
  view.setBigUint64(16, BigInt(made.length), true);
  view.setBigUint64(24, BigInt(pagesStart + pagesBytes), true);
  return resealed(made);
}

/** The sums made right again. */
async function resealed(file: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const filesOffset = Number(new DataView(file.buffer).getBigUint64(24, true));
  const sum = async (from: number, to: number): Promise<Uint8Array> =>
    new Uint8Array(await crypto.subtle.digest('SHA-256', file.subarray(from, to)));
  file.set(await sum(preludeBytes, filesOffset), 32);
  file.set(await sum(filesOffset, file.length), 64);
  return file;
}

function flipped(file: Uint8Array<ArrayBuffer>, bit: number): Uint8Array<ArrayBuffer> {
  const changed = file.slice();
  changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return changed;
}

/** JSON has no other numbers, and `-0` is none that a file system gives. */
const natural = fc.nat(2 ** 31 - 1);
const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 8 });
const path = fc
  .array(
    name.filter((one) => !/[/\0]/.test(one) && one.isWellFormed() && one !== '.' && one !== '..'),
    { minLength: 1, maxLength: 4 },
  )
  .map((names) => `/${names.join('/')}`);
const text = fc.string({ unit: 'binary', maxLength: 8 }).filter((one) => one.isWellFormed());
/** Headers with another tree, or other libraries. */
const tree = (changes: object): object => ({ ...base, tree: { ...base.tree, ...changes }, pages: [] });
const linked = (changes: object): object => ({ ...base, linked: { ...base.linked, ...changes }, pages: [] });

const anyTree: fc.Arbitrary<{ tree: ImageTree; contents: Uint8Array[] }> = fc
  .record({
    folders: fc.array(path, { maxLength: 5 }),
    files: fc.array(fc.tuple(path, fc.uint8Array({ maxLength: 300 }), fc.nat(0o777)), { maxLength: 8 }),
    links: fc.array(fc.tuple(path, text), { maxLength: 4 }),
    descriptors: fc.array(fc.tuple(natural, path, natural, natural), { maxLength: 4 }),
  })
  .map(({ files, ...rest }) => ({
    tree: { ...rest, files: files.map(([at, bytes, mode]) => [at, bytes.length, mode]) },
    contents: files.map(([, bytes]) => bytes),
  }));

describe('a round trip', () => {
  it('gives the header, the pages that hold anything, and the files', async () => {
    const heap = heapOf(0, 2, 3, 31);
    const file = await encode(withFiles, heap, contents);
    const { header, pages, files } = await open(file);
    expect(header).toStrictEqual({
      ...withFiles,
      pages: [
        [0, 1],
        [2, 2],
        [31, 1],
      ],
    });
    expect(pages.length).toBe(4 * pageBytes);
    expect(Buffer.compare(files, Buffer.concat(contents))).toBe(0);
    expect((file.length - files.length) % pageBytes).toBe(0);
  });

  it('gives any files, links, descriptors and contents as they were', async () => {
    await fc.assert(
      fc.asyncProperty(anyTree, fc.uniqueArray(fc.nat(31)), async (one, used) => {
        const { header, files } = await open(
          await encode({ ...base, tree: one.tree }, heapOf(...used), one.contents),
        );
        expect(header.tree).toStrictEqual(one.tree);
        let offset = 0;
        for (const [index, [, bytes]] of header.tree.files.entries()) {
          expect(files.subarray(offset, offset + bytes)).toEqual(one.contents[index]);
          offset += bytes;
        }
        expect(offset).toBe(files.length);
      }),
      { numRuns: 200 },
    );
  });

  it('reads the header alone from the beginning of a file', async () => {
    const file = await encode(withFiles, heapOf(0, 9), contents);
    expect(readHeader(file.subarray(0, pageBytes), 5003)).toMatchObject({ tree: withFiles.tree });
    expect(() => readHeader(file.subarray(0, pageBytes), 5004)).toThrow('disagree');
    expect(() => readHeader(file.subarray(0, 500), 5003)).toThrow('not JSON');
    expect(() => readHeader(file.subarray(0, 10), 5003)).toThrow('cut short');
  });

  it('gives the libraries in their order, by their files', async () => {
    const libraries = ['/a/b/two', '/a/one'].map((at) => ({ ...library, path: at }));
    const image = await open(
      await encode({ ...withFiles, linked: { ...base.linked, libraries } }, heapOf(0), contents),
    );
    expect(libraryBytes(image)).toEqual([contents[2], contents[0]]);
    const missing = { ...library, path: '/a/three' };
    const { header, files } = image;
    const other = { ...header, linked: { ...header.linked, libraries: [missing] } };
    expect(() => libraryBytes({ header: other, files })).toThrow('image needs the dynamic library /a/three');
  });

  it('finds a page by its last byte, and none in zeros', () => {
    const heap = heapOf();
    expect(usedPages(heap)).toStrictEqual([]);
    heap[5 * pageBytes + 4095] = 1;
    expect(usedPages(heap)).toStrictEqual([[5, 1]]);
  });

  it('makes any heap what the image says, whatever was in it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.nat(31)),
        fc.nat(base.heapBytes),
        fc.nat(base.heapBytes),
        fc.nat(base.heapBytes),
        async (pages, one, other, top) => {
          const heap = heapOf(...pages);
          const image = await open(await encode(base, heap, []));
          const [start, end] = [Math.min(one, other), Math.max(one, other)];
          const dirty = new Uint8Array(base.heapBytes).fill(0xee);
          dirty.fill(0, start, end);
          dirty.fill(0, top);
          placePages(image, dirty, { start, end, top });
          expect(Buffer.compare(dirty, heap)).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('writes nothing where zeros are known and wanted', async () => {
    const image = await open(await encode(base, heapOf(1, 20), []));
    const heap = heapOf().fill(9);
    placePages(image, heap, { start: 2 * pageBytes, end: 4 * pageBytes, top: 24 * pageBytes });
    const kept = Array.from({ length: 32 }, (_, page) => page).filter((page) => heap[page * pageBytes] === 9);
    expect(kept).toStrictEqual([2, 3, 24, 25, 26, 27, 28, 29, 30, 31]);
  });
});

describe('T42, F08: what is no image', () => {
  it('is refused when a single bit is another, in either half', async () => {
    const file = await encode(withFiles, heapOf(0, 3), contents);
    const { files } = splitImage(file);
    const filesStart = (file.length - files.length) * 8;
    const anywhere = fc.oneof(
      fc.nat(filesStart - 1),
      fc.nat(files.length * 8 - 1).map((bit) => filesStart + bit),
    );
    await fc.assert(
      fc.asyncProperty(anywhere, async (bit) => {
        await expect(open(flipped(file, bit))).rejects.toBeInstanceOf(ImageError);
      }),
      { numRuns: 400 },
    );
    for (let bit = 0; bit < preludeBytes * 8; bit++)
      await expect(open(flipped(file, bit)), `${bit}`).rejects.toBeInstanceOf(ImageError);
  });

  it('is refused at any length but its own, by its lengths alone', async () => {
    const file = await encode(withFiles, heapOf(0, 3), contents);
    const { files } = splitImage(file);
    const start = file.length - files.length;
    const decode = (bytes: Uint8Array): DecodedImage => decodeImage(splitImage(bytes), fingerprint);
    const lengths = [0, 1, 7, 8, 12, 16, 24, 31, 32, 64, 95, 96, 97, 300, 4095, 4096, 4097, 8192];
    for (const length of [...lengths, start - 1, start, start + 1, file.length - 1])
      expect(() => decode(file.slice(0, length)), `${length}`).toThrow(ImageError);
    fc.assert(
      fc.property(fc.nat(file.length - 1), (length) => {
        expect(() => decode(file.slice(0, length))).toThrow(ImageError);
      }),
    );
    expect(() => decode(new Uint8Array(Buffer.concat([file, new Uint8Array(pageBytes)])))).toThrow(
      'cut short',
    );
  });

  it('is refused when its two pieces are not the halves, or of different images', async () => {
    const [first, files] = await encodeImage(withFiles, heapOf(0, 3), contents);
    const other = files.map((byte) => byte ^ 1);
    expect(() => decodeImage({ first, files: files.subarray(1) }, fingerprint)).toThrow(ImageError);
    const whole = Buffer.concat([first, files]);
    for (const cut of [first.length - pageBytes, first.length - 1, first.length + 1, whole.length])
      expect(() =>
        decodeImage({ first: whole.subarray(0, cut), files: whole.subarray(cut) }, fingerprint),
      ).toThrow(ImageError);
    await expect(verifyImage({ first, files: other })).rejects.toThrow('checksum');
    await expect(
      verifyImage({ first: new Uint8Array(flipped(first, first.length * 8 - 1)), files }),
    ).rejects.toThrow('checksum');
    await verifyImage({ first, files });
  });

  it('is refused when its lengths lie, checksum or not', async () => {
    const file = await encode(withFiles, heapOf(0, 3), contents);
    for (const headerLength of [0, 1, 100, file.length, 2 ** 26, 2 ** 32 - 1]) {
      const changed = file.slice();
      new DataView(changed.buffer).setUint32(12, headerLength, true);
      await expect(resealed(changed).then(open), `${headerLength}`).rejects.toBeInstanceOf(ImageError);
    }
    for (const length of [0n, BigInt(file.length - 1), 2n ** 64n - 1n]) {
      const changed = file.slice();
      new DataView(changed.buffer).setBigUint64(16, length, true);
      await expect(open(changed)).rejects.toThrow('cut short');
    }
    const start = file.length - 5003;
    for (const offset of [0, 95, 4096, start - pageBytes, start - 1, start + 1, file.length]) {
      const changed = file.slice();
      new DataView(changed.buffer).setBigUint64(24, BigInt(offset), true);
      await expect(resealed(changed).then(open), `${offset}`).rejects.toBeInstanceOf(ImageError);
    }
    for (const offset of [BigInt(file.length + 1), 2n ** 53n + 1n, 2n ** 64n - 1n]) {
      const changed = file.slice();
      new DataView(changed.buffer).setBigUint64(24, offset, true);
      await expect(open(changed)).rejects.toThrow('impossible length');
    }
  });

  it('is refused with other magic or of another version', async () => {
    const file = await encode(base, heapOf(0), []);
    for (const version of [1, imageVersion + 1]) {
      new DataView(file.buffer).setUint32(8, version, true);
      await expect(open(file)).rejects.toThrow(`version ${version}`);
    }
    file[0] = 0;
    await expect(open(file)).rejects.toThrow('not an image');
    await expect(open(new Uint8Array(10_000).fill(7))).rejects.toBeInstanceOf(ImageError);
  });

  it.each(['pyodide', 'buildId', 'kernelHash', 'lockHash'] as const)(
    'is refused with another %s',
    async (key) => {
      const file = splitImage(await encode(base, heapOf(0), []));
      expect(() => decodeImage(file, { ...fingerprint, [key]: 'other' })).toThrow(`another ${key}`);
    },
  );

  it.each<[string, unknown]>([
    ['nothing', null],
    ['a list', []],
    ['a string', 'x'],
    ['no sizes', { ...base, heapBytes: undefined, pages: [] }],
    ['a negative size', { ...base, stackPointer: -1, pages: [] }],
    ['a fraction', { ...base, executeAddress: 1.5, pages: [] }],
    ['no fingerprint', { ...base, fingerprint: null, pages: [] }],
    ['no reference table', { ...base, hiwire: null, pages: [] }],
    ['no libraries', { ...base, linked: {}, pages: [] }],
    [
      'a library without a place',
      { ...base, linked: { ...base.linked, libraries: [{ path: 'a.so' }] }, pages: [] },
    ],
    ['a slot of no library', { ...base, linked: { ...base.linked, slots: [[1, 0, 'f']] }, pages: [] }],
    ['a slot beyond the table', { ...base, linked: { ...base.linked, freeSlots: [7] }, pages: [] }],
    ['a slot below the main module', linked({ slots: [[1, -2, 'f']] })],
    ['a slot of four', linked({ slots: [[1, -1, 'f', 1]] })],
    ['a slot without a name', linked({ slots: [[1, -1, null]] })],
    ['an offset that is no number', linked({ offsets: [['a', '1']] })],
    ['a library elsewhere', linked({ libraries: [{ ...library, path: '../a.so' }] })],
    ['a library with a negative base', linked({ libraries: [{ ...library, path: '/a', memoryBase: -1 }] })],
    ['no contents', { ...base, contents: undefined, pages: [] }],
    ['contents of numbers', { ...base, contents: { ...base.contents, wheels: [1] }, pages: [] }],
    ['no tree', { ...base, tree: null, pages: [] }],
    ['no files', tree({ files: undefined })],
    ['a folder that is relative', tree({ folders: ['a'] })],
    ['a folder that is the root', tree({ folders: ['/'] })],
    ['a folder that climbs', tree({ folders: ['/a/../b'] })],
    ['a folder with a dot', tree({ folders: ['/a/.'] })],
    ['a folder with an empty name', tree({ folders: ['/a//b'] })],
    ['a folder with a slash behind', tree({ folders: ['/a/'] })],
    ['a folder with a zero in it', tree({ folders: ['/a\0'] })],
    ['a folder with a path without end', tree({ folders: ['/a'.repeat(10_000_000)] })],
    ['a file that climbs', tree({ files: [['/..', 0, 0]] })],
    ['a file of negative length', tree({ files: [['/a', -1, 0]] })],
    [
      'files that cancel out',
      tree({
        files: [
          ['/a', 1, 0],
          ['/b', -1, 0],
        ],
      }),
    ],
    ['a file without a mode', tree({ files: [['/a', 0]] })],
    ['a file of half a byte', tree({ files: [['/a', 0.5, 0]] })],
    ['a link to nothing', tree({ links: [['/a']] })],
    ['a link to a number', tree({ links: [['/a', 1]] })],
    ['a link at a relative place', tree({ links: [['a', 'b']] })],
    ['a descriptor below zero', tree({ descriptors: [[-1, '/a', 0, 0]] })],
    ['a descriptor at a negative place', tree({ descriptors: [[5, '/a', 0, -1]] })],
    ['a descriptor of a number', tree({ descriptors: [[5, 7, 0, 0]] })],
    ['no pages', base],
    ['pages of another shape', { ...base, pages: [[1]] }],
    ['negative pages', { ...base, pages: [[-1, 1]] }],
    ['half of a WebAssembly page', { ...base, heapBytes: base.heapBytes + pageBytes, pages: [] }],
    ['a top above the heap', { ...base, heapTop: base.heapBytes + 1, pages: [] }],
    ['a stack above the heap', { ...base, stackPointer: base.heapBytes + 1, pages: [] }],
  ])('is refused with a header of %s', async (_name, header) => {
    await expect(open(await fileWith(header as object | null, 0))).rejects.toBeInstanceOf(ImageError);
  });

  it.each<[string, [number, number][], string]>([
    ['outside the heap', [[31, 2]], 'outside'],
    ['far outside', [[Number.MAX_SAFE_INTEGER, 1]], 'outside'],
    [
      'that overlap',
      [
        [0, 2],
        [1, 1],
      ],
      'out of order',
    ],
    [
      'in another order',
      [
        [5, 1],
        [0, 2],
      ],
      'out of order',
    ],
    [
      'twice',
      [
        [0, 1],
        [0, 1],
      ],
      'out of order',
    ],
    ['of none', [[0, 0]], 'out of order'],
    ['of another length than the file', [[0, 2]], 'disagree'],
  ])('is refused with pages %s', async (_name, pages, reason) => {
    const count = reason === 'disagree' ? 1 : pages.reduce((sum, [, length]) => sum + length, 0);
    await expect(open(await fileWith({ ...base, pages }, count * pageBytes))).rejects.toThrow(reason);
  });

  it.each<[string, number, number]>([
    ['more', 3, 4],
    ['less', 3, 2],
    ['a length that no file has', Number.MAX_SAFE_INTEGER, 3],
  ])('is refused with files of %s than it holds', async (_name, said, held) => {
    const header = { ...base, tree: { ...base.tree, files: [['/a', said, 0]] }, pages: [] };
    await expect(open(await fileWith(header, 0, held))).rejects.toThrow('files and its length disagree');
  });

  it('is refused when it can’t be read at all', () => {
    expect(() => unreadable(new Error('gone'))).toThrow(ImageError);
    expect(() => unreadable('gone')).toThrow("can't be read: gone");
  });
});
