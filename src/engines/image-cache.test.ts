import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, isAbsolute, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { defaultCacheDir, ImageCache, type ImageWriter } from './image-cache.ts';

const fingerprint = { pyodide: '1', buildId: '2', kernelHash: '3', lockHash: '' };
const image = Uint8Array.of(1, 2, 3);
const write: ImageWriter = async (take) => {
  take(image.subarray(0, 1));
  take(image.subarray(1));
};

let dir: string;
let cache: ImageCache;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vivarium-cache-'));
  cache = new ImageCache(dir);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe('ImageCache', () => {
  it('names files by all they have to fit', () => {
    const paths = [
      fingerprint,
      ...(['pyodide', 'buildId', 'kernelHash', 'lockHash'] as const).map((key) => ({
        ...fingerprint,
        [key]: 'x',
      })),
    ].map((print) => cache.pathOf(print));
    expect(new Set(paths).size).toBe(5);
    expect(paths.filter((path) => path.includes('packages-')).length).toBe(1);
  });

  it('removes what has long been of no use when it builds, and nothing else', async () => {
    const folder = join(dir, 'images');
    await mkdir(folder, { recursive: true });
    const hour = 3600;
    const ages = {
      'old.image': 31 * 24 * hour,
      'new.image': hour,
      'old.tmp': 2 * hour,
      'new.tmp': 1,
      note: 99 * 24 * hour,
    };
    for (const [name, seconds] of Object.entries(ages)) {
      await writeFile(join(folder, name), '');
      const time = new Date(Date.now() - seconds * 1000);
      await utimes(join(folder, name), time, time);
    }
    const path = await cache.find(fingerprint, write);
    expect((await readdir(folder)).sort()).toStrictEqual(
      ['new.image', 'new.tmp', 'note', basename(path)].sort(),
    );
  });

  it('builds what is missing, once for all who ask, and never what is there', async () => {
    let builds = 0;
    const build: ImageWriter = (take) => {
      builds += 1;
      return write(take);
    };
    const paths = await Promise.all([1, 2, 3].map(() => cache.find(fingerprint, build)));
    expect(new Set(paths).size).toBe(1);
    expect(await cache.find(fingerprint, build)).toBe(paths[0]);
    expect(await new ImageCache(dir).find(fingerprint, build)).toBe(paths[0]);
    expect([builds, cache.built]).toStrictEqual([1, 1]);
    expect(new Uint8Array(await readFile(paths[0] ?? ''))).toStrictEqual(image);
    expect((await readdir(join(dir, 'images'))).length).toBe(1);
  });

  it('tells all who wait when a build fails, and tries again for the next', async () => {
    const failing = (): Promise<never> => Promise.reject(new Error('no build'));
    const waiting = [1, 2].map(() => cache.find(fingerprint, failing));
    for (const one of waiting) await expect(one).rejects.toThrow('no build');
    await expect(cache.find(fingerprint, write)).resolves.toContain('stdlib-');
    expect((await readdir(join(dir, 'images'))).length).toBe(1);
  });

  it('passes a build on when the first who asked gives up', async () => {
    const first = new AbortController();
    const order: string[] = [];
    const { promise: started, resolve: start } = Promise.withResolvers<void>();
    const never = (): Promise<void> => {
      order.push('one');
      start();
      return new Promise((_, reject) => {
        first.signal.addEventListener('abort', () => reject(first.signal.reason));
      });
    };
    const build =
      (name: string): ImageWriter =>
      (take) => {
        order.push(name);
        return write(take);
      };
    const one = cache.find(fingerprint, never, first.signal);
    await started;
    const two = cache.find(fingerprint, build('two'));
    const three = cache.find(fingerprint, build('three'));
    first.abort(new Error('enough'));
    await expect(one).rejects.toThrow('enough');
    expect(await two).toBe(await three);
    expect(order.length).toBe(2);
    expect(order[0]).toBe('one');
  });

  it('lets one who waits give up alone', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const building = cache.find(fingerprint, () => promise);
    const impatient = new AbortController();
    const waiting = cache.find(fingerprint, () => promise, impatient.signal);
    impatient.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    resolve();
    await expect(building).resolves.toContain('stdlib-');
  });

  it('removes a damaged image once, whatever it is', async () => {
    const path = cache.pathOf(fingerprint);
    await mkdir(join(path, 'deep'), { recursive: true });
    const seen = cache.built;
    await cache.discard(fingerprint, seen);
    await cache.find(fingerprint, write);
    // Another worker has tried the old one, too.
    await cache.discard(fingerprint, seen);
    expect(new Uint8Array(await readFile(path))).toStrictEqual(image);
    await cache.discard(fingerprint, cache.built);
    await expect(readFile(path)).rejects.toThrow('ENOENT');
  });

  it('keeps an image of any size, in the order of its pieces', async () => {
    const piece = 1024 * 1024;
    const build: ImageWriter = async (take) => {
      for (let index = 0; index < 40; index += 1) {
        take(new Uint8Array(piece).fill(index));
        // Pieces come as messages do, some together.
        if (index % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const bytes = await readFile(await cache.find(fingerprint, build));
    expect(bytes.length).toBe(40 * piece);
    const wrong = bytes.findIndex((byte, at) => byte !== Math.floor(at / piece));
    expect(wrong).toBe(-1);
  });

  it('shows no file under the name of an image before it is whole', async () => {
    const seen: string[][] = [];
    const look = async (): Promise<void> => {
      seen.push((await readdir(join(dir, 'images'))).map((name) => name.replace(/^.*\./, '')));
    };
    await cache.find(fingerprint, async (take) => {
      take(image);
      await look();
    });
    await look();
    expect(seen.at(-1)).toStrictEqual(['image']);
    expect(seen[0]).not.toContain('image');
  });

  it('leaves nothing behind when the build fails after some pieces', async () => {
    const build: ImageWriter = async (take) => {
      take(image);
      throw new Error('half way');
    };
    await expect(cache.find(fingerprint, build)).rejects.toThrow('half way');
    expect(await readdir(join(dir, 'images'))).toStrictEqual([]);
    expect(cache.built).toBe(0);
  });

  it('tells that the disk failed, also while the build goes on', async () => {
    const build: ImageWriter = async (take) => {
      await rm(join(dir, 'images'), { recursive: true });
      take(image);
    };
    await expect(cache.find(fingerprint, build)).rejects.toMatchObject({ syscall: expect.any(String) });
    expect(cache.built).toBe(0);
    await expect(cache.find(fingerprint, write)).resolves.toContain('stdlib-');
  });

  it('leaves nothing half written where there is no place', async () => {
    await writeFile(join(dir, 'file'), '');
    const nowhere = new ImageCache(join(dir, 'file'));
    let built = false;
    const build = async (): Promise<void> => {
      built = true;
    };
    await expect(nowhere.find(fingerprint, build)).rejects.toMatchObject({ code: 'ENOTDIR' });
    // Not built for nothing.
    expect(built).toBe(false);
  });
});

it('lies in the cache folder of the user when the variable is empty', () => {
  vi.stubEnv('VIVARIUM_CACHE_DIR', '');
  expect(isAbsolute(defaultCacheDir())).toBe(true);
  vi.unstubAllEnvs();
});
