import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ImageFiles } from '../../src/catalog/image-files.ts';
import { NamedImages } from '../../src/catalog/named-images.ts';
import { ImageCache } from '../../src/engines/image-cache.ts';
import { defineImage } from '../../src/packages/image-definition.ts';
import { lockHash } from '../../src/packages/lock.ts';
import { makeImage } from './make-image.ts';

const installed = { pyodide: '1', buildId: '2', kernelHash: '3', lockHash: '' };
const dayMs = 24 * 3_600_000;

let dir = '';
let files: ImageFiles;
let cache: ImageCache;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vivarium-images-'));
  files = new ImageFiles(dir, () => Promise.resolve(installed));
  cache = new ImageCache(dir);
  await mkdir(join(dir, 'images', 'named'), { recursive: true });
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function put(hash: string, changes: Partial<typeof installed> = {}, days = 0): Promise<string> {
  const fingerprint = { ...installed, lockHash: hash, ...changes };
  const path = cache.pathOf(fingerprint);
  await writeFile(path, await makeImage(fingerprint));
  await age(path, days);
  return path;
}

async function age(path: string, days: number): Promise<void> {
  const time = new Date(Date.now() - days * dayMs);
  await utimes(path, time, time);
}

const definition = (name: string) => {
  const lock = { version: 1, pyodide: '1', abi: 'x', requirements: [], packages: [] } as const;
  return defineImage(name, { ...lock, requirements: [], packages: [] }, { imports: ['json'] });
};
const definitionHash = lockHash({ packages: [], imports: ['json'], warm: [] });

test('tells what is in an image', async () => {
  const path = await put('a');
  const [info] = await files.list();
  expect(info).toMatchObject({
    names: [],
    path,
    state: 'ready',
    fileBytes: (await stat(path)).size,
    content: {
      packages: [{ name: 'numpy', version: '2.4.3' }],
      imports: ['numpy'],
      python: '3.14.2',
      pyodide: '1',
      heapBytes: 4 * 65536,
      keptBytes: 3 * 4096,
      libraries: 0,
      files: { count: 1, bytes: 5 },
      descriptors: 0,
      fingerprint: { ...installed, lockHash: 'a' },
    },
  });
});

test('an image has the names that were given to it, or that of its recipe', async () => {
  const named = new NamedImages(dir);
  await put('');
  const path = await put(definitionHash);
  await named.define(definition('mine'));
  await named.define(definition('yours'));
  await writeFile(await named.placeOfFile('imported'), await makeImage({ ...installed, lockHash: 'x' }));
  await named.define({ ...definition('later'), imports: ['os'] });
  expect((await files.list()).map(({ names, state }) => [names.join(), state])).toEqual(
    [
      ['imported', 'ready'],
      ['later', 'unbuilt'],
      ['yours,mine', 'ready'],
      ['stdlib', 'ready'],
    ].sort((a, b) => ((a[0] ?? '') < (b[0] ?? '') ? -1 : 1)),
  );
  for (const reference of ['mine', path, path.replace(/^.*\/|\.image$/g, '')])
    expect((await files.inspect(reference)).path).toBe(path);
  await expect(files.inspect('nobody')).rejects.toThrow(
    /There is no image "nobody": there are imported, later/,
  );
});

test('T42: tells damaged from foreign', async () => {
  const good = await put('a');
  const foreign = await put('b', { kernelHash: 'other' });
  const other = await put('c', { pyodide: '0.9' });
  const flipped = await put('d');
  const bytes = await makeImage({ ...installed, lockHash: 'd' });
  bytes[bytes.length - 2] = 0xff;
  await writeFile(flipped, bytes);
  const cut = await put('e');
  await writeFile(cut, bytes.subarray(0, 5000));
  const empty = await put('f');
  await writeFile(empty, '');
  const stateOf = async (path: string) => {
    const { state, problem } = await files.verify(path);
    return [state, problem];
  };
  expect(await stateOf(good)).toEqual(['ready', undefined]);
  expect(await stateOf(foreign)).toEqual(['foreign', 'it was made by another version of Vivarium']);
  expect(await stateOf(other)).toEqual(['foreign', 'it is for Pyodide 0.9, not 1']);
  expect(await stateOf(flipped)).toEqual(['damaged', 'image checksum is wrong']);
  expect(await stateOf(cut)).toEqual(['damaged', 'image is cut short']);
  expect(await stateOf(empty)).toEqual(['damaged', 'image is cut short']);
  // The header alone is whole.
  expect((await files.inspect(flipped)).state).toBe('ready');
});

describe('remove', () => {
  test('a file with all its names', async () => {
    const named = new NamedImages(dir);
    const path = await put(definitionHash);
    await named.define(definition('mine'));
    await named.define(definition('yours'));
    expect(await files.remove('mine')).toBeGreaterThan(4096);
    expect(await files.list()).toEqual([]);
    await expect(stat(path)).rejects.toThrow('ENOENT');
  });

  test('a name whose image is not built, and one that is damaged', async () => {
    await new NamedImages(dir).define(definition('mine'));
    await writeFile(join(dir, 'images', 'named', 'broken.json'), '{');
    expect((await files.list()).map(({ names }) => names[0])).toEqual(['broken', 'mine']);
    await files.remove('mine');
    await files.remove('broken');
    expect(await files.list()).toEqual([]);
  });

  test('T17: nothing outside of the cache, whatever the path looks like', async () => {
    const outside = join(dir, 'mine.image');
    await writeFile(outside, await makeImage(installed));
    for (const path of [outside, join(dir, 'images', '..', 'mine.image')])
      await expect(files.remove(path)).rejects.toMatchObject({ reason: 'not_allowed' });
    await expect(files.remove(join(dir, 'images', 'none.image'))).rejects.toMatchObject({
      reason: 'not_found',
    });
    expect((await stat(outside)).isFile()).toBe(true);
  });
});

describe('prune', () => {
  const left = async () => [
    ...(await readdir(join(dir, 'images'))).filter((name) => name !== 'named'),
    ...(await readdir(join(dir, 'images', 'named'))),
  ];

  test('removes what is of no use, and nothing else', async () => {
    const named = new NamedImages(dir);
    const fresh = await put('fresh', {}, 29);
    const old = await put('old', {}, 31);
    const foreign = await put('foreign', { kernelHash: 'other' });
    const mine = await put(definitionHash, {}, 99);
    await named.define(definition('mine'));
    const imported = await named.placeOfFile('imported');
    await writeFile(imported, await makeImage({ ...installed, kernelHash: 'other' }));
    const damaged = join(dir, 'images', 'packages-x.image');
    await writeFile(damaged, 'x');
    const leftover = join(dir, 'images', 'named', 'a.image.x.tmp');
    await writeFile(leftover, 'leftover');
    await age(leftover, 1);
    await writeFile(join(dir, 'images', 'b.image.x.tmp'), 'being written');
    await writeFile(join(dir, 'images', 'note'), 'not ours');

    const sizes = await Promise.all(
      [old, foreign, damaged, leftover].map(async (path) => (await stat(path)).size),
    );
    const bytes = sizes.reduce((sum, size) => sum + size);
    const { removed, freedBytes } = await files.prune();
    expect(removed.sort()).toEqual([old, foreign, damaged, leftover].sort());
    expect(freedBytes).toBe(bytes);
    expect((await left()).sort()).toEqual(
      [
        ...[fresh, mine].map((path) => path.replace(/^.*\//, '')),
        'b.image.x.tmp',
        'note',
        'imported.image',
        'mine.json',
      ].sort(),
    );
    expect((await files.prune({ unusedDays: 20 })).removed).toEqual([fresh]);
  });

  test('all: every one without a name given by people', async () => {
    await put('');
    await put('a');
    const mine = await put(definitionHash);
    await new NamedImages(dir).define(definition('mine'));
    expect((await files.prune({ all: true })).removed).toHaveLength(2);
    expect((await files.list()).map(({ path }) => path)).toEqual([mine]);
    expect(await files.prune({ all: true })).toEqual({ removed: [], freedBytes: 0 });
  });
});

test('an image that is used is not old, and using it daily writes nothing', async () => {
  const path = await put('used', {}, 40);
  const build = () => Promise.reject(new Error('it is there'));
  await cache.find({ ...installed, lockHash: 'used' }, build);
  const { mtimeMs } = await stat(path);
  expect(Date.now() - mtimeMs).toBeLessThan(dayMs);
  await age(path, 0.5);
  const before = (await stat(path)).mtimeMs;
  await cache.find({ ...installed, lockHash: 'used' }, build);
  expect((await stat(path)).mtimeMs).toBe(before);
  expect((await files.prune()).removed).toEqual([]);
});

test('no cache folder: no images', async () => {
  const nowhere = new ImageFiles(join(dir, 'none'), () => Promise.resolve(installed));
  expect(await nowhere.list()).toEqual([]);
  expect(await nowhere.prune({ all: true })).toEqual({ removed: [], freedBytes: 0 });
});
