import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeImage,
  encodeImage,
  type Fingerprint,
  ImageError,
  type ImageHeader,
  imageVersion,
  pageBytes,
  placePages,
  unreadable,
  usedPages,
  verifyImage,
} from './format.ts';

const wasmPageBytes = 65536;
const preludeBytes = 56;
const fingerprint: Fingerprint = { pyodide: '1.2.3', buildId: 'ab', kernelHash: 'cd', lockHash: '' };
const base: Omit<ImageHeader, 'pages'> = {
  fingerprint,
  python: '3.14.2',
  heapBytes: 2 * wasmPageBytes,
  heapTop: wasmPageBytes,
  stackPointer: 3 * pageBytes,
  executeAddress: 42,
  hiwire: { hiwireKeys: [null], immortalKeys: ['x'] },
  linked: { libraries: [], tableLength: 7, slots: [], freeSlots: [], offsets: [] },
};

function heapOf(...used: number[]): Uint8Array {
  const heap = new Uint8Array(base.heapBytes);
  for (const page of used) heap.fill(page + 1, page * pageBytes, (page + 1) * pageBytes);
  return heap;
}

async function open(file: Uint8Array<ArrayBuffer>): Promise<ReturnType<typeof decodeImage>> {
  await verifyImage(file);
  return decodeImage(file, fingerprint);
}

/** A file with this header, right in everything else. */
async function fileWith(header: object, dataBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const file = await encodeImage(base, new Uint8Array(base.heapBytes));
  const json = new TextEncoder().encode(JSON.stringify(header));
  const dataStart = Math.ceil((preludeBytes + json.length) / pageBytes) * pageBytes;
  const made = new Uint8Array(dataStart + dataBytes);
  made.set(file.subarray(0, preludeBytes));
  made.set(json, preludeBytes);
  const view = new DataView(made.buffer);
  view.setUint32(12, json.length, true);
  view.setBigUint64(16, BigInt(made.length), true);
  return resealed(made);
}

async function resealed(file: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  file.set(new Uint8Array(await crypto.subtle.digest('SHA-256', file.subarray(preludeBytes))), 24);
  return file;
}

describe('a round trip', () => {
  it('gives the header and the pages that hold anything', async () => {
    const heap = heapOf(0, 2, 3, 31);
    const file = await encodeImage(base, heap);
    const { header, data } = await open(file);
    expect(header).toStrictEqual({
      ...base,
      pages: [
        [0, 1],
        [2, 2],
        [31, 1],
      ],
    });
    expect(data.length).toBe(4 * pageBytes);
    expect(file.length % pageBytes).toBe(0);
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
          const image = await open(await encodeImage(base, heap));
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
    const image = await open(await encodeImage(base, heapOf(1, 20)));
    const heap = heapOf().fill(9);
    placePages(image, heap, { start: 2 * pageBytes, end: 4 * pageBytes, top: 24 * pageBytes });
    const kept = Array.from({ length: 32 }, (_, page) => page).filter((page) => heap[page * pageBytes] === 9);
    expect(kept).toStrictEqual([2, 3, 24, 25, 26, 27, 28, 29, 30, 31]);
  });
});

describe('what is no image', () => {
  it('is refused when a single bit is another', async () => {
    const file = await encodeImage(base, heapOf(0, 3));
    await fc.assert(
      fc.asyncProperty(fc.nat(file.length * 8 - 1), async (bit) => {
        const changed = file.slice();
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        await expect(open(changed)).rejects.toBeInstanceOf(ImageError);
      }),
      { numRuns: 300 },
    );
    for (let bit = 0; bit < preludeBytes * 8; bit++) {
      const changed = file.slice();
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await expect(open(changed)).rejects.toBeInstanceOf(ImageError);
    }
  });

  it('is refused at any length but its own, by either check', async () => {
    const file = await encodeImage(base, heapOf(0, 3));
    const lengths = [0, 1, 7, 8, 12, 16, 23, 24, 55, 56, 57, 300, 4095, 4096, 4097, 8192, file.length - 1];
    for (const length of lengths) {
      expect(() => decodeImage(file.slice(0, length), fingerprint), `${length}`).toThrow(ImageError);
      await expect(verifyImage(file.slice(0, length))).rejects.toBeInstanceOf(ImageError);
    }
    const longer = new Uint8Array(file.length + pageBytes);
    longer.set(file);
    expect(() => decodeImage(longer, fingerprint)).toThrow('cut short');
  });

  it('is refused when its lengths lie, checksum or not', async () => {
    const file = await encodeImage(base, heapOf(0, 3));
    for (const headerLength of [0, 1, 100, file.length, 2 ** 26, 2 ** 32 - 1]) {
      const changed = file.slice();
      new DataView(changed.buffer).setUint32(12, headerLength, true);
      await expect(open(await resealed(changed)), `${headerLength}`).rejects.toBeInstanceOf(ImageError);
    }
    for (const length of [0n, BigInt(file.length - 1), 2n ** 64n - 1n]) {
      const changed = file.slice();
      new DataView(changed.buffer).setBigUint64(16, length, true);
      await expect(open(changed)).rejects.toThrow('cut short');
    }
  });

  it('is refused with other magic or of another version', async () => {
    const file = await encodeImage(base, heapOf(0));
    new DataView(file.buffer).setUint32(8, imageVersion + 1, true);
    await expect(open(file)).rejects.toThrow(`version ${imageVersion + 1}`);
    file[0] = 0;
    await expect(open(file)).rejects.toThrow('not an image');
    await expect(open(new Uint8Array(10_000).fill(7))).rejects.toBeInstanceOf(ImageError);
  });

  it.each(['pyodide', 'buildId', 'kernelHash', 'lockHash'] as const)(
    'is refused with another %s',
    async (key) => {
      const file = await encodeImage(base, heapOf(0));
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
    ['no pages', base],
    ['pages of another shape', { ...base, pages: [[1]] }],
    ['negative pages', { ...base, pages: [[-1, 1]] }],
    ['half of a WebAssembly page', { ...base, heapBytes: base.heapBytes + pageBytes, pages: [] }],
    ['a top above the heap', { ...base, heapTop: base.heapBytes + 1, pages: [] }],
    ['a stack above the heap', { ...base, stackPointer: base.heapBytes + 1, pages: [] }],
  ])('is refused with a header of %s', async (_name, header) => {
    await expect(open(await fileWith(header as object, 0))).rejects.toBeInstanceOf(ImageError);
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

  it('is refused when it can’t be read at all', () => {
    expect(() => unreadable(new Error('gone'))).toThrow(ImageError);
    expect(() => unreadable('gone')).toThrow("can't be read: gone");
  });
});
