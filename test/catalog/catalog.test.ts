import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Catalog } from '../../src/catalog/catalog.ts';
import type { Engine } from '../../src/engines/engine.ts';
import { loadDistribution } from '../../src/packages/distribution.ts';
import { defineImage, encodeImageDefinition } from '../../src/packages/image-definition.ts';
import { type Lock, lockVersion } from '../../src/packages/lock.ts';
import { keepResolution, resolutionKey } from '../../src/packages/resolution-cache.ts';
import { makeWheel, pyodideLock, pyodideLockFile } from '../packages/make-wheel.ts';

let cacheDir: string;
let catalog: Catalog;
beforeEach(() => {
  cacheDir = mkdtempSync(join(tmpdir(), 'vivarium-catalog-'));
  const engine = () => Promise.reject(new Error('nothing has to be resolved or built'));
  catalog = new Catalog({ cacheDir, engine, env: {} });
});
afterEach(() => rm(cacheDir, { recursive: true, force: true }));

async function lockOf(version: string): Promise<Lock> {
  const pyodide = await catalog.wheels.pyodide();
  const one = {
    name: 'x',
    version,
    fileName: `x-${version}-py3-none-any.whl`,
    sha256: 'ab'.repeat(32),
    source: { kind: 'distribution' } as const,
    dependencies: [],
    imports: ['x'],
  };
  return {
    version: lockVersion,
    pyodide: pyodide.version,
    abi: pyodide.abi,
    requirements: ['x'],
    packages: [one],
  };
}

/** As if micropip had chosen it for `x`. */
async function resolved(lock: Lock): Promise<void> {
  const { wheels } = catalog;
  const pyodide = await wheels.pyodide();
  const distribution = await loadDistribution(wheels.sources, pyodide, wheels.http);
  const question = { requirements: ['x'], pyodide, distribution, local: [], sources: wheels.sources };
  await keepResolution(cacheDir, resolutionKey(question), lock);
}

test('what was found for packages is known from then on', async () => {
  await resolved(await lockOf('1.0'));
  const source = await catalog.find({ packages: ['x'] });
  await rm(join(cacheDir, 'locks'), { recursive: true });
  expect(await catalog.find({ packages: ['x'] })).toBe(source);
});

test('a named image of another Pyodide is locked anew, from what was asked for', async () => {
  const old = { ...(await lockOf('1.0')), pyodide: '0.1.0' };
  const named = join(cacheDir, 'images', 'named');
  await mkdir(named, { recursive: true });
  await writeFile(join(named, 'mine.json'), encodeImageDefinition(defineImage('mine', old)));
  await resolved(await lockOf('2.0'));
  const source = await catalog.find({ image: 'mine' });
  expect(await catalog.packagesIn(source)).toMatchObject([{ name: 'x', version: '2.0' }]);
});

test.skipIf(process.platform === 'win32')('a pipe is no image, and nobody waits for its writer', async () => {
  const path = join(cacheDir, 'pipe.image');
  execFileSync('mkfifo', [path]);
  await expect(catalog.find({ image: path })).rejects.toMatchObject({
    details: { reason: 'bad_lock' },
    message: expect.stringContaining('it is no file'),
  });
});

test('one resolver at a time, also after one that failed', async () => {
  const micropip = makeWheel('micropip');
  const mirror = join(cacheDir, 'mirror');
  await mkdir(mirror);
  await writeFile(join(mirror, pyodideLockFile), pyodideLock([micropip]));
  let active = 0;
  let most = 0;
  let starts = 0;
  const start: Engine['start'] = async () => {
    starts++;
    most = Math.max(most, ++active);
    await new Promise((resolve) => setImmediate(resolve));
    active--;
    throw new Error(`no worker ${starts}`);
  };
  const engine = { start } as Engine;
  const others = new Catalog({ cacheDir, mirror, engine: () => Promise.resolve(engine), env: {} });
  const asked = await Promise.allSettled(['a', 'b', 'c', 'd'].map((name) => others.lock([name])));
  const problems = asked.map((one) => 'reason' in one && one.reason.message);
  expect(problems.sort()).toEqual([1, 2, 3, 4].map((n) => `no worker ${n}`));
  expect(most).toBe(1);
});
