import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CachedImages } from '../../src/catalog/images.ts';
import { findAssets } from '../../src/engines/assets.ts';
import { ImageCache } from '../../src/engines/image-cache.ts';
import type { Fingerprint } from '../../src/image/header.ts';
import { makeImage } from './make-image.ts';

let dir = '';
let images: CachedImages;
let installed: Fingerprint;
let image: Uint8Array;
const at = (name: string) => join(dir, name);
const unused = () => Promise.reject(new Error('no engine is needed'));

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vivarium-transfer-'));
  images = new CachedImages({ cacheDir: dir, engine: unused, env: {} });
  installed = { ...(await findAssets()).fingerprint, lockHash: 'abc' };
  image = await makeImage(installed);
  await mkdir(at('images'));
  await writeFile(new ImageCache(dir).pathOf(installed), image);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** Nothing of a refused one stays. */
async function refused(bytes: Uint8Array, message: RegExp): Promise<void> {
  await writeFile(at('hostile'), bytes);
  await expect(images.importFrom(at('hostile'), 'hostile')).rejects.toMatchObject({
    name: 'InstallError',
    reason: 'bad_lock',
    message: expect.stringMatching(message),
  });
  expect((await readdir(at('images/named'))).filter((name) => name.startsWith('hostile'))).toEqual([]);
}

test.each(['plain.image', 'small.image.zst'])(
  'goes out and comes back as %s, alike to the byte',
  async (name) => {
    const id = new ImageCache(dir).pathOf(installed).replace(/^.*\/|\.image$/g, '');
    await images.exportTo(id, at(name));
    const bytes = await readFile(at(name));
    expect(name.endsWith('.zst') ? zstdDecompressSync(bytes) : bytes).toEqual(image);
    expect(bytes.length).toBeLessThanOrEqual(image.length);
    const info = await images.importFrom(at(name), 'back');
    expect(info).toMatchObject({ names: ['back'], state: 'ready' });
    expect(new Uint8Array(await readFile(info.path ?? ''))).toEqual(new Uint8Array(image));
    await images.remove('back');
  },
);

test('T42, F08: refuses what is cut short, anywhere', async () => {
  const packed = zstdCompressSync(image);
  const cut = fc.tuple(
    fc.constantFrom(image, packed),
    fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  );
  await fc.assert(
    fc.asyncProperty(cut, async ([whole, share]) =>
      refused(whole.subarray(0, Math.floor(share * whole.length)), /can't be used: .*; export it again/),
    ),
    { numRuns: 60 },
  );
});

test('T42, F08: refuses any flipped bit', async () => {
  const packed = zstdCompressSync(image);
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(image, packed), fc.nat(), fc.nat(7), async (whole, place, bit) => {
      const bytes = Uint8Array.from(whole);
      const index = place % bytes.length;
      bytes[index] = (bytes[index] ?? 0) ^ (1 << bit);
      // Some bits of zstd's frame say nothing about what is in it.
      const same = whole === packed && isSame(bytes);
      if (!same) await refused(bytes, /can't be used: /);
    }),
    { numRuns: 150 },
  );
});

test('T42: refuses what only wants to fill the disk', async () => {
  const large = new Uint8Array(40 * 1024 * 1024);
  large.set(image.subarray(0, 96));
  new DataView(large.buffer).setBigUint64(16, BigInt(large.length), true);
  await refused(zstdCompressSync(large), /unpacks to more than 100 times/);
  // It says that it is short, and goes on.
  large.set(image.subarray(0, 96));
  await refused(zstdCompressSync(large), /longer than it says/);
  await refused(zstdCompressSync(new Uint8Array(40 * 1024 * 1024)), /not an image file/);
  new DataView(large.buffer).setBigUint64(16, 2n ** 40n, true);
  await refused(large, /more than 2147483647 bytes/);
});

test('T42: refuses what is for another installation, no image, or not there', async () => {
  await refused(
    await makeImage({ ...installed, kernelHash: 'x' }),
    /another version of Vivarium; export it from/,
  );
  await refused(new TextEncoder().encode('hello '.repeat(100)), /not an image file/);
  await refused(new Uint8Array(0), /cut short/);
  await refused(await makeImage(installed, { heapTop: 2 ** 40 }), /impossible sizes/);
  await expect(images.importFrom(at('none'), 'hostile')).rejects.toThrow(/ENOENT.*check the path/);
  await expect(images.importFrom(dir, 'hostile')).rejects.toThrow(/EISDIR.*check the path/);
});

test('T17: a name is no path, no recipe and no option', async () => {
  await writeFile(at('good.image'), image);
  for (const name of ['../x', 'a/b', '', '-x', 'data', 'x.image', 'a\0b', 'x'.repeat(65)])
    await expect(images.importFrom(at('good.image'), name)).rejects.toMatchObject({
      reason: 'bad_requirement',
    });
});

test('F08: a failed import leaves the one that was there', async () => {
  await images.importFrom(at('good.image'), 'kept');
  await writeFile(at('bad'), 'bad');
  await expect(images.importFrom(at('bad'), 'kept')).rejects.toThrow('cut short');
  expect((await images.verify('kept')).state).toBe('ready');
});

test('T42: exports nothing that is damaged', async () => {
  const { path } = await images.importFrom(at('good.image'), 'spoiled');
  const bytes = Uint8Array.from(image);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  await writeFile(path ?? '', bytes);
  await expect(images.exportTo('spoiled', at('out.image'))).rejects.toThrow('image checksum is wrong');
  await expect(readFile(at('out.image'))).rejects.toThrow('ENOENT');
});

function isSame(packed: Uint8Array): boolean {
  try {
    return Buffer.compare(zstdDecompressSync(packed), image) === 0;
  } catch {
    return false;
  }
}
