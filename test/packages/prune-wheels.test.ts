import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { pruneWheels, readWheelCacheLimits, wheelCacheLimits } from '../../src/packages/prune-wheels.ts';
import { resolveSources } from '../../src/packages/sources.ts';
import { WheelCache } from '../../src/packages/wheel-cache.ts';
import { makeWheel, wanted } from './make-wheel.ts';
import { serve } from './server.ts';

let cacheDir: string;
let dir: string;
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'vivarium-prune-'));
  dir = join(cacheDir, 'wheels');
});
afterEach(() => rm(cacheDir, { recursive: true, force: true }));

const hourMs = 3_600_000;

/** A file that was used so long ago. */
async function put(path: string, ageMs: number, bytes = 100): Promise<string> {
  const at = join(dir, path);
  await mkdir(dirname(at), { recursive: true });
  await writeFile(at, new Uint8Array(bytes));
  const time = (Date.now() - ageMs) / 1000;
  await utimes(at, time, time);
  return at;
}

async function left(): Promise<string[]> {
  const all = await readdir(dir, { recursive: true, withFileTypes: true });
  return all
    .filter((one) => one.isFile())
    .map((one) => join(one.parentPath, one.name).slice(dir.length + 1))
    .sort();
}

test('the least recently used go first, with their folders, until the rest fits', async () => {
  const [old, older, oldest] = [
    await put('b/b.whl', 3 * hourMs),
    await put('c/c.whl', 4 * hourMs),
    await put('d/d.whl', 5 * hourMs),
  ];
  await put('a/a.whl', 2 * hourMs);
  expect(await pruneWheels(dir, { ...wheelCacheLimits, bytes: 400 })).toEqual({ removed: [], freedBytes: 0 });
  expect(await pruneWheels(dir, { ...wheelCacheLimits, bytes: 299 })).toEqual({
    removed: [oldest, older],
    freedBytes: 200,
  });
  expect((await readdir(dir)).sort()).toEqual(['a', 'b']);
  expect((await pruneWheels(dir, { ...wheelCacheLimits, files: 1 })).removed).toEqual([old]);
});

test('what nobody used for 30 days goes; what somebody may be using stays, whatever the limits', async () => {
  await put('a/a.whl', 31 * 24 * hourMs);
  await put('b/b.whl', 29 * 24 * hourMs);
  await put('c/held.whl', hourMs / 2);
  await put('partial/key~~owner.part', 60_000);
  await put('partial/key~~.part', 1000);
  await put('written.tmp', 60_000);
  await pruneWheels(dir, wheelCacheLimits);
  expect(await left()).toEqual([
    'b/b.whl',
    'c/held.whl',
    'partial/key~~.part',
    'partial/key~~owner.part',
    'written.tmp',
  ]);
  await pruneWheels(dir, { bytes: 0, files: 0, unusedMs: 0 });
  // A part that was given up is nobody's.
  expect(await left()).toEqual(['c/held.whl', 'partial/key~~owner.part', 'written.tmp']);
});

test('no folder: nothing to remove', async () => {
  expect(await pruneWheels(join(dir, 'none'), wheelCacheLimits)).toEqual({ removed: [], freedBytes: 0 });
});

test('operators say how large it may be', () => {
  expect(readWheelCacheLimits({})).toBe(wheelCacheLimits);
  expect(readWheelCacheLimits({ VIVARIUM_WHEEL_CACHE_BYTES: ' 1000 ' }).bytes).toBe(1000);
  for (const text of ['1GB', '-1', '1e9'])
    expect(() => readWheelCacheLimits({ VIVARIUM_WHEEL_CACHE_BYTES: text })).toThrow('number of bytes');
});

test('what code asks for can’t fill the disk, and what an image is built from stays', async () => {
  const wheels = Array.from({ length: 8 }, (_, index) =>
    makeWheel(`w${index}`, '1.0', { 'data.bin': new Uint8Array(10_000) }),
  );
  const byPath = new Map(wheels.map((one) => [`/${one.fileName}`, one.bytes]));
  await using server = await serve((request, response) =>
    response.end(request.method === 'HEAD' ? undefined : byPath.get(request.url ?? '')),
  );
  const at = (index: number) => {
    const wheel = wheels[index];
    if (wheel === undefined) throw new Error(`no wheel ${index}`);
    return wanted(wheel, { kind: 'index', url: `${server.url}${wheel.fileName}` });
  };
  const open = () =>
    new WheelCache({
      cacheDir,
      sources: resolveSources({}, { PIP_INDEX_URL: server.url }),
      limits: { ...wheelCacheLimits, bytes: 35_000 },
    });
  const cache = open();
  const [held] = await cache.fetch([at(0)], { hold: true });
  for (let index = 1; index < 7; index++) {
    // As two processes that don't know of one another.
    const [found] = await (index % 2 === 0 ? cache : open()).fetch([at(index)]);
    expect(found?.bytes).toHaveLength(wheels[index]?.bytes.length ?? 0);
    const kept = await left();
    expect(kept).toHaveLength(Math.min(index + 1, 3));
    expect(kept.some((path) => path.endsWith(wheels[0]?.fileName ?? ''))).toBe(true);
  }
  expect((await stat(held?.path ?? '')).size).toBeGreaterThan(10_000);
  // One that is there already is held from then on.
  const again = wanted(wheels[6] ?? expect.unreachable());
  const [other] = await cache.fetch([again], { hold: true });
  await cache.fetchUrl(`${server.url}${wheels[7]?.fileName}`, {
    name: 'w7',
    fileName: wheels[7]?.fileName ?? '',
  });
  expect((await stat(other?.path ?? '')).isFile()).toBe(true);
  expect((await cache.prune()).removed).toEqual([]);
});
