import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Catalog } from '../../src/catalog/catalog.ts';
import { EngineResolver } from '../../src/catalog/resolver.ts';
import type { Engine } from '../../src/engines/engine.ts';
import { FakeEngine } from '../../src/engines/fake/fake-engine.ts';
import type { FakeRun } from '../../src/engines/fake/fake-script.ts';
import { loadDistribution } from '../../src/packages/distribution.ts';
import { FetchBudget } from '../../src/packages/fetch-budget.ts';
import type { Page } from '../../src/packages/http.ts';
import { defineImage, encodeImageDefinition } from '../../src/packages/image-definition.ts';
import { type Lock, lockVersion } from '../../src/packages/lock.ts';
import { keepResolution, resolutionKey } from '../../src/packages/resolution-cache.ts';
import { resolveSources } from '../../src/packages/sources.ts';
import { WheelCache } from '../../src/packages/wheel-cache.ts';
import { FakeClock } from '../../src/util/fake-clock.ts';
import { makeWheel, pyodideLock, pyodideLockFile } from '../packages/make-wheel.ts';
import { serve } from '../packages/server.ts';

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

async function mirrorWithMicropip(): Promise<string> {
  const mirror = join(cacheDir, 'mirror');
  await mkdir(mirror);
  await writeFile(join(mirror, pyodideLockFile), pyodideLock([makeWheel('micropip')]));
  return mirror;
}

test('two resolvers at a time, also after one that failed', async () => {
  const mirror = await mirrorWithMicropip();
  let active = 0;
  let most = 0;
  let starts = 0;
  const start: Engine['start'] = async () => {
    starts++;
    most = Math.max(most, ++active);
    await new Promise((resolve) => setTimeout(resolve, 20));
    active--;
    throw new Error(`no worker ${starts}`);
  };
  const engine = { start } as Engine;
  const others = new Catalog({ cacheDir, mirror, engine: () => Promise.resolve(engine), env: {} });
  const asked = await Promise.allSettled(['a', 'b', 'c', 'd', 'e'].map((name) => others.lock([name])));
  expect(asked.map(({ status }) => status)).toEqual(Array(5).fill('rejected'));
  expect(starts).toBe(5);
  expect(most).toBe(2);
});

test('a resolver that stands still is killed, whoever waits may leave, and the next one resolves', async () => {
  const mirror = await mirrorWithMicropip();
  const clock = new FakeClock();
  const refusal = { ok: false, reason: 'not_found', package: 'd', message: 'there is no d', suggestion: '' };
  const run = ({ worker }: FakeRun) =>
    engine.workers.findIndex(({ id }) => id === worker) < 2
      ? { delayMs: Number.POSITIVE_INFINITY, unstoppable: true }
      : { value: refusal };
  const engine: FakeEngine = new FakeEngine({ run }, clock);
  const others = new Catalog({ cacheDir, mirror, engine: async () => engine, env: {}, clock });
  const stuck = ['a', 'b'].map((name) => others.lock([name]).catch((error: unknown) => error));
  await vi.waitFor(() => expect(engine.runs).toHaveLength(2));
  const controller = new AbortController();
  const impatient = others.lock(['c'], { signal: controller.signal });
  const next = others.lock(['d']);
  controller.abort(new Error('no time'));
  await expect(impatient).rejects.toThrow('no time');
  clock.advance(124_999);
  expect(engine.alive).toHaveLength(2);
  clock.advance(1);
  for (const error of await Promise.all(stuck))
    expect(error).toMatchObject({ code: 'internal', message: expect.stringContaining('was killed') });
  await expect(next).rejects.toMatchObject({ reason: 'not_found' });
  expect(engine.alive).toEqual([]);
});

test('the time that a resolver waits for the host isn’t its own; its memory is looked at all the while', async () => {
  const mirror = await mirrorWithMicropip();
  const clock = new FakeClock();
  const { promise: page, resolve: answer } = Promise.withResolvers<Page>();
  let residentBytes = 2 ** 20;
  const engine = new FakeEngine(
    {
      run: () => ({
        asks: [{ question: { kind: 'fetch', url: 'https://index.invalid/x/', headers: {} } }],
        delayMs: Number.POSITIVE_INFINITY,
        unstoppable: true,
      }),
      usage: () => ({ residentBytes, cpuMs: 0 }),
    },
    clock,
  );
  const wheels = new WheelCache({ cacheDir, sources: resolveSources({ mirror }, {}) });
  const resolver = new EngineResolver({ engine: async () => engine, wheels, clock });
  const request = { requirements: [], lockfile: {}, lockfileBaseUrl: '', indexUrls: null, pre: false };
  const asked = vi.fn(() => page);
  const outcome = resolver.run(request, asked).catch((error: unknown) => error);
  await vi.waitFor(() => expect(asked).toHaveBeenCalled());
  clock.advance(1_000_000);
  expect(engine.alive).toHaveLength(1);
  answer({ status: 404, url: '', headers: {}, bytes: new Uint8Array() });
  await vi.waitFor(() => expect(engine.workers[0]?.answers).toHaveLength(1));
  clock.advance(100_000);
  expect(engine.alive).toHaveLength(1);
  residentBytes = 2 ** 31;
  await vi.waitFor(() => {
    clock.advance(100);
    expect(engine.alive).toEqual([]);
  });
  expect(await outcome).toMatchObject({ message: expect.stringContaining('bytes of memory') });
});

test('what a mirror of the web lists is fetched once in a while, on the count of who asks, and no connection is left', async () => {
  const sockets = new Set<unknown>();
  let open = 0;
  await using server = await serve(({ socket }, response) => {
    if (!sockets.has(socket)) {
      sockets.add(socket);
      open++;
      socket.once('close', () => open--);
    }
    response.end(pyodideLock([makeWheel('micropip')]));
  });
  const clock = new FakeClock();
  const mirror = server.url;
  const engine = () => Promise.reject(new Error('no worker'));
  const one = new Catalog({ cacheDir, mirror, engine, env: {}, clock });
  const budget = new FetchBudget({ bytes: 1e6, requests: 0 });
  await expect(one.lock(['a'], { budget })).rejects.toMatchObject({ reason: 'not_allowed' });
  expect(server.requests).toHaveLength(0);
  for (const name of ['a', 'b', 'c']) await expect(one.lock([name])).rejects.toThrow('no worker');
  expect(server.requests).toEqual([`GET /${pyodideLockFile}`]);
  await expect(one.lock(['a'], { refresh: true })).rejects.toThrow('no worker');
  clock.advance(61_000);
  await expect(one.lock(['a'])).rejects.toThrow('no worker');
  expect(server.requests).toHaveLength(3);
  expect(open).toBe(1);
  one[Symbol.dispose]();
  await vi.waitFor(() => expect(open).toBe(0));
});
