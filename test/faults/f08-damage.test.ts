/** F08: images, locks and wheels that are torn or have a bit flipped. */
import { closeSync, copyFileSync, openSync, readFileSync, readSync, truncateSync, writeSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { findAssets } from '../../src/engines/assets.ts';
import { InstallError } from '../../src/errors/errors.ts';
import { decodeImage, decodePrelude, preludeBytes, verifyImage } from '../../src/image/format.ts';
import { createRuntime } from '../../src/node.ts';
import { encodeLock, type Lock, parseLock } from '../../src/packages/lock.ts';
import { resolveSources } from '../../src/packages/sources.ts';
import { WheelCache } from '../../src/packages/wheel-cache.ts';
import { makeWheel, wanted } from '../packages/make-wheel.ts';
import { ChildHost } from './child-host.ts';
import { imageIn, leftovers, makeFolders } from './folders.ts';
import { ends, underOracle } from './oracle.ts';
import { once } from './points.ts';

const folders = await makeFolders();
let image: string;
beforeAll(async () => {
  image = await imageIn(folders.cache);
});

const seed = Number(process.env.VIVARIUM_FAULT_SEED ?? 1);

/** Places in a file, the same for a seed. */
function places(length: number, count: number): number[] {
  return fc.sample(fc.integer({ min: 0, max: length - 1 }), { seed, numRuns: count });
}

function flipBit(path: string, at: number): void {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ (1 << (at % 8));
  writeSync(file, byte, 0, 1, at);
  closeSync(file);
}

/** As a worker does it: throws unless the image is whole. */
async function restore(bytes: Uint8Array): Promise<void> {
  const { fingerprint } = await findAssets();
  const { filesOffset } = decodePrelude(bytes.subarray(0, preludeBytes), bytes.length);
  const halves = { first: bytes.slice(0, filesOffset), files: bytes.slice(filesOffset) };
  const verified = verifyImage(halves);
  try {
    decodeImage(halves, fingerprint);
  } finally {
    await verified;
  }
}

describe('the image of the standard library', () => {
  const step = 64 * 1024;

  it('is whole', () => restore(readFileSync(image)));

  it('cut off at any 64 KiB boundary is refused', async () => {
    const bytes = readFileSync(image);
    for (let length = 0; length < bytes.length; length += step)
      await expect(restore(bytes.subarray(0, length)), `${length} bytes`).rejects.toThrow();
  });

  it('with any bit flipped is refused', async () => {
    const bytes = readFileSync(image);
    for (const at of [0, 5, preludeBytes - 1, preludeBytes, ...places(bytes.length, 12)]) {
      const before = bytes[at] ?? 0;
      bytes[at] = before ^ (1 << (at % 8));
      await expect(restore(bytes), `bit of byte ${at}`).rejects.toThrow();
      bytes[at] = before;
    }
  });

  it.each([
    ['cut off', (path: string, at: number) => truncateSync(path, at)],
    ['with a bit flipped', flipBit],
  ])('%s, named as a file: refused in words, never used', async (_, damage) => {
    const copy = join(folders.own, 'copy.image');
    for (const at of places(readFileSync(image).length, 3)) {
      copyFileSync(image, copy);
      damage(copy, at);
      const refused = createRuntime({ image: copy, size: 1 }).then(async (runtime) => {
        await using _ = runtime;
        return await runtime.run('1');
      });
      await expect(refused, `at ${at}`).rejects.toMatchObject({
        message: expect.stringContaining(copy),
      });
    }
  });

  it('damaged while the pool lives: a new worker builds it anew, with a warning; the others go on', () =>
    underOracle(folders, { size: 2 }, async (oracle) => {
      const [at = 0] = places(readFileSync(image).length, 1);
      const [victim = 0] = oracle.pids;
      const read = once('image.reading', ({ path }) => flipBit(path, at));
      await oracle.kill(victim);
      await read;
      for (const value of [1, 2, 3, 4]) oracle.run(`${value}`, {}, { wrong: ends('ok', value) });
      expect(await oracle.judge()).toEqual([]);
      expect(oracle.events).toContainEqual(
        expect.objectContaining({ type: 'warning', message: expect.stringContaining('it is built anew') }),
      );
      await restore(readFileSync(image));
    }));
});

describe('a lock', () => {
  const wheels = ['alpha', 'beta', 'gamma'].map((name) => makeWheel(name));
  const lock: Lock = {
    version: 1,
    pyodide: '314.0.7',
    abi: '2026_0',
    requirements: ['alpha', 'beta'],
    packages: wheels.map((wheel) => ({ ...wanted(wheel), dependencies: [], imports: [] })),
  };
  const text = encodeLock(lock);

  it('cut off anywhere but behind its last brace is refused', () => {
    const whole = text.trimEnd().length;
    for (let length = 0; length < whole; length++)
      expect(() => parseLock(text.slice(0, length), 'x.json'), `${length}`).toThrow(InstallError);
  });

  it('with any bit flipped is refused, or asks for nothing but wheels by their hashes', async () => {
    const mirror = join(folders.own, 'mirror');
    await mkdir(mirror);
    for (const { fileName, bytes } of wheels) await writeFile(join(mirror, fileName), bytes);
    const cache = new WheelCache({
      cacheDir: join(folders.own, 'of-locks'),
      sources: resolveSources({ mirror, offline: true }, {}),
    });
    const genuine = new Set(wheels.map(({ sha256 }) => sha256));
    let [refused, read] = [0, 0];
    for (const at of places(text.length, 400)) {
      const bytes = Buffer.from(text);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      try {
        const { packages } = parseLock(bytes.toString('utf8'), 'x.json');
        for (const { package: wheel } of await cache.fetch(packages)) expect(genuine).toContain(wheel.sha256);
        read++;
      } catch (error) {
        expect(error, `bit of byte ${at}`).toBeInstanceOf(InstallError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(100);
    expect(read).toBeGreaterThan(0);
  });
});

describe('a cached wheel', () => {
  it('cut off or with a bit flipped, anywhere, is no wheel, and is fetched again', async () => {
    const wheel = makeWheel('torn', '1.0', { 'torn/data': new Uint8Array(200_000).fill(7) });
    const mirror = join(folders.own, 'wheels');
    await mkdir(mirror);
    await writeFile(join(mirror, wheel.fileName), wheel.bytes);
    const cache = new WheelCache({
      cacheDir: join(folders.own, 'of-wheels'),
      sources: resolveSources({ mirror }, {}),
    });
    const path = cache.pathOf(wheel);
    await mkdir(dirname(path), { recursive: true });
    const { length } = wheel.bytes;
    const damages = [
      ...places(length, 20).map((at) => () => truncateSync(path, at)),
      ...places(length, 20).map((at) => () => flipBit(path, at)),
    ];
    for (const damage of damages) {
      await writeFile(path, wheel.bytes);
      damage();
      expect(await cache.find(wanted(wheel))).toBeUndefined();
    }
    await cache.fetch([wanted(wheel)]);
    expect(await readFile(path)).toEqual(Buffer.from(wheel.bytes));
  });
});

describe('killed between writing and moving', () => {
  it.each(['wheel.writing', 'lock.writing'] as const)(
    '%s: there is none, and the next one makes it',
    async (point) => {
      const cacheDir = join(folders.own, point);
      const mirror = join(folders.own, `${point}-mirror`);
      await mkdir(mirror);
      const wheel = makeWheel('killed');
      await writeFile(join(mirror, wheel.fileName), wheel.bytes);
      const start = (): Promise<ChildHost> => ChildHost.start({ runtime: { size: 1, cacheDir } });
      const write = {
        'wheel.writing': { do: 'fetch', mirror, wheel: wanted(wheel) },
        'lock.writing': { do: 'lock', path: join(mirror, 'x.lock.json') },
      } as const;
      const path =
        point === 'wheel.writing'
          ? join(cacheDir, 'wheels', wheel.sha256, wheel.fileName)
          : write[point].path;
      {
        await using host = await start();
        host.send({ do: 'at', point, signal: 'SIGKILL' });
        host.send(write[point]);
        expect(await host.ended).toBe('SIGKILL');
      }
      await expect(readFile(path)).rejects.toThrow('ENOENT');
      await using host = await start();
      await host.command(write[point]);
      expect((await readFile(path)).length).toBeGreaterThan(0);
      expect(leftovers(dirname(path)).length).toBeLessThanOrEqual(1);
    },
  );
});
