import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  installedPyodide,
  loadDistribution,
  lockFromDistribution,
  micropipLock,
  parseDistribution,
  providerOf,
} from '../../src/packages/distribution.ts';
import type { Page } from '../../src/packages/http.ts';
import {
  defineImage,
  encodeImageDefinition,
  imageSource,
  parseImageDefinition,
} from '../../src/packages/image-definition.ts';
import { recipes } from '../../src/packages/recipes.ts';
import {
  earlierLock,
  type ResolveRequest,
  type ResolverKernel,
  resolveLock,
} from '../../src/packages/resolve.ts';
import { resolveSources } from '../../src/packages/sources.ts';
import { topLevelModules, vetWheel } from '../../src/packages/vet-wheel.ts';
import { WheelCache } from '../../src/packages/wheel-cache.ts';
import { mirrorForTests } from '../wheels.ts';
import { makeWheel, pyodideLock, pyodideLockFile } from './make-wheel.ts';
import { hastyClock, serve } from './server.ts';

let root: string;
let cacheDir: string;
let mirror: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'vivarium-resolve-'));
  cacheDir = join(root, 'cache');
  mirror = join(root, 'mirror');
  await mkdir(mirror);
});
afterEach(() => rm(root, { recursive: true, force: true }));

function cache(
  options: { mirror?: string; offline?: boolean; env?: Record<string, string> } = {},
): WheelCache {
  const { env = {}, ...rest } = options;
  return new WheelCache({ cacheDir, sources: resolveSources(rest, env), clock: hastyClock });
}

/** A mirror with `base` and `app` (which needs it) in its lock, and `local` that isn't. */
async function fillMirror(): Promise<{
  base: ReturnType<typeof makeWheel>;
  local: ReturnType<typeof makeWheel>;
}> {
  const base = makeWheel('base-lib');
  const app = { ...makeWheel('app'), depends: ['base-lib'] };
  const local = makeWheel('local', '2.0', { 'other.py': new Uint8Array([1]) });
  await writeFile(join(mirror, pyodideLockFile), pyodideLock([base, app]));
  for (const { fileName, bytes } of [base, app, local]) await writeFile(join(mirror, fileName), bytes);
  return { base, local };
}

/** Does what the test says in place of micropip. */
function kernel(
  run: (request: ResolveRequest, fetch: (url: string) => Promise<Page>) => unknown,
): ResolverKernel & { asked: ResolveRequest[] } {
  const asked: ResolveRequest[] = [];
  return {
    asked,
    run: async (request, onFetch) => {
      asked.push(request);
      return run(request, (url) =>
        onFetch(url, { accept: 'application/vnd.pypi.simple.v1+json, */*;q=0.01' }),
      );
    },
  };
}

/** Chooses these of the distribution. */
function frozen(request: ResolveRequest, names: string[], more: Record<string, unknown> = {}) {
  const packages = request.lockfile.packages as Record<string, { file_name: string }>;
  const chosen = names.map((name) => {
    const entry = packages[name] ?? { file_name: 'missing' };
    return [name, { ...entry, file_name: `${request.lockfileBaseUrl}${entry.file_name}` }];
  });
  return { ok: true, lockfile: { info: {}, packages: { ...Object.fromEntries(chosen), ...more } } };
}

const withBase = (request: ResolveRequest) => frozen(request, ['app', 'base-lib']);

const entry = (version: string, file_name: string, depends: string[] = []) => ({
  name: 'x',
  version,
  file_name,
  depends,
  sha256: '0'.repeat(64),
  imports: [],
});

describe('a mirror folder', () => {
  test('what its lock lists, with what that needs', async () => {
    const { base } = await fillMirror();
    const micropip = kernel(withBase);
    const lock = await resolveLock(['app'], { wheels: cache({ mirror }), kernel: micropip });
    expect(lock).toMatchObject({
      pyodide: (await installedPyodide()).version,
      abi: 'pyemscripten_2026_0',
      requirements: ['app'],
    });
    expect(lock.packages.map((one) => [one.name, one.source.kind, one.dependencies])).toEqual([
      ['app', 'distribution', ['base-lib']],
      ['base-lib', 'distribution', []],
    ]);
    expect(lock.packages[1]?.sha256).toBe(base.sha256);
    expect(micropip.asked[0]).toMatchObject({
      lockfileBaseUrl: 'https://mirror.invalid/',
      indexUrls: ['https://mirror.invalid/simple', 'PYPI'],
      pre: false,
    });
  });

  test('wheels that its lock does not list, by an index page of our own', async () => {
    const { local } = await fillMirror();
    const micropip = kernel(async (request, fetch) => {
      const index = request.indexUrls?.[0];
      expect((await fetch(`${index}/missing/`)).status).toBe(404);
      const page = await fetch(`${index}/local/`);
      expect(page.headers['content-type']).toBe('application/vnd.pypi.simple.v1+json');
      const { files } = JSON.parse(new TextDecoder().decode(page.bytes));
      expect(files).toEqual([
        {
          filename: local.fileName,
          url: `https://mirror.invalid/${local.fileName}`,
          hashes: { sha256: local.sha256 },
        },
      ]);
      const wheel = await fetch(files[0].url);
      expect(new Uint8Array(wheel.bytes)).toEqual(local.bytes);
      return frozen(request, ['base-lib'], { local: entry('2.0', files[0].url, ['base_lib', 'not-chosen']) });
    });
    const lock = await resolveLock(['local'], { wheels: cache({ mirror, offline: true }), kernel: micropip });
    expect(micropip.asked[0]?.indexUrls).toEqual(['https://mirror.invalid/simple']);
    expect(lock.packages).toMatchObject([
      { name: 'base-lib', source: { kind: 'distribution' } },
      {
        name: 'local',
        version: '2.0',
        sha256: local.sha256,
        source: { kind: 'mirror' },
        dependencies: ['base-lib'],
        imports: ['local', 'other'],
      },
    ]);
  });

  test.each([
    ['no folder', () => rm(mirror, { recursive: true }), 'there is no mirror folder'],
    ['no lock in it', () => Promise.resolve(), `has no ${pyodideLockFile}`],
    ['a lock that is none', () => writeFile(join(mirror, pyodideLockFile), '{}'), `${pyodideLockFile} of`],
    [
      'another ABI',
      () => writeFile(join(mirror, pyodideLockFile), pyodideLock([], '2025_0')),
      'is for the ABI pyemscripten_2025_0, not pyemscripten_2026_0',
    ],
  ])('%s', async (_what, prepare, problem) => {
    await prepare();
    const never = kernel(() => expect.unreachable());
    await expect(resolveLock(['app'], { wheels: cache({ mirror }), kernel: never })).rejects.toMatchObject({
      code: 'install',
      reason: 'mirror',
      message: expect.stringMatching(new RegExp(`${problem}|${mirror}.*${problem}`)),
    });
  });

  test('without micropip', async () => {
    await writeFile(join(mirror, pyodideLockFile), pyodideLock([makeWheel('app')]));
    const { wheels, pyodide } = { wheels: cache({ mirror }), pyodide: await installedPyodide() };
    const distribution = await loadDistribution(wheels.sources, pyodide, wheels.http);
    expect(() => micropipLock(distribution, pyodide)).toThrow('the mirror has no micropip');
  });

  test('a mirror on a server without a lock', async () => {
    await using server = await serve((_, response) => void response.writeHead(404).end());
    const never = kernel(() => expect.unreachable());
    await expect(
      resolveLock(['app'], { wheels: cache({ mirror: server.url }), kernel: never }),
    ).rejects.toMatchObject({
      reason: 'mirror',
      message: expect.stringContaining(`${server.url}${pyodideLockFile}`),
    });
  });
});

describe('an index', () => {
  const wheel = makeWheel('from-index', '3.1', {}, { requires: ['app'] });

  /** `simple/from-index/` in HTML or JSON with relative links; the wheel; nothing else. */
  function index(kind: 'html' | 'json', sha256 = wheel.sha256) {
    return serve((request, response) => {
      const file = `../../files/${wheel.fileName}`;
      if (request.url === `/files/${wheel.fileName}`)
        response.end(request.method === 'HEAD' ? undefined : wheel.bytes);
      else if (request.url !== '/simple/from-index/') response.writeHead(404).end();
      else if (kind === 'html') {
        response.setHeader('content-type', 'text/html');
        response.end(
          `<a href="${file}#sha256=${sha256}">x</a><a href="http://elsewhere.example/x-1-py3-none-any.whl">y</a>`,
        );
      } else {
        response.setHeader('content-type', 'application/vnd.pypi.simple.v1+json');
        const files = [{ filename: wheel.fileName, url: file, hashes: { sha256 } }];
        response.end(JSON.stringify({ name: 'from-index', files }));
      }
    });
  }

  test.each(['html', 'json'] as const)('links of a page in %s may be fetched, and are kept', async (kind) => {
    await fillMirror();
    await using server = await index(kind);
    const wheels = cache({ mirror, env: { PIP_INDEX_URL: `${server.url}simple/` } });
    const file = `${server.url}files/${wheel.fileName}`;
    const micropip = kernel(async (request, fetch) => {
      expect(request.indexUrls).toEqual(['https://mirror.invalid/simple', `${server.url}simple`]);
      await expect(fetch(file)).rejects.toThrow('neither a source of packages');
      const page = await fetch(`${server.url}simple/from-index/`);
      if (kind === 'json') expect(JSON.parse(new TextDecoder().decode(page.bytes)).files[0].url).toBe(file);
      await fetch(`${file}#sha256=${wheel.sha256}`);
      return frozen(request, ['app', 'base-lib'], { 'from-index': entry('3.1', file, ['app']) });
    });
    const lock = await resolveLock(['From_Index>3'], { wheels, kernel: micropip, refresh: true });
    expect(lock.packages.find((one) => one.name === 'from-index')).toEqual({
      name: 'from-index',
      version: '3.1',
      fileName: wheel.fileName,
      sha256: wheel.sha256,
      source: { kind: 'index', url: file },
      dependencies: ['app'],
      imports: ['from_index'],
    });
    expect(lock.packages.map((one) => one.name)).toEqual(['app', 'base-lib', 'from-index']);
    await wheels.fetch(lock.packages);
    expect(server.requests.filter((one) => one.includes('/files/'))).toEqual([
      `GET /files/${wheel.fileName}`,
    ]);
  });

  test('T24: a wheel with another hash than the page says ends it, whatever micropip makes of that', async () => {
    await fillMirror();
    await using server = await index('json', 'ab'.repeat(32));
    const micropip = kernel(async (_, fetch) => {
      await fetch(`${server.url}simple/from-index/`);
      await fetch(`${server.url}files/${wheel.fileName}`).catch(() => undefined);
      return { ok: false, reason: 'not_found', package: 'from-index', message: 'what?', suggestion: '' };
    });
    const wheels = cache({ mirror, env: { PIP_INDEX_URL: `${server.url}simple` } });
    await expect(resolveLock(['from-index'], { wheels, kernel: micropip })).rejects.toMatchObject({
      details: { reason: 'hash_mismatch', package: 'from-index', actual: wheel.sha256 },
    });
  });

  test.each([
    'http://127.0.0.1:9/simple/x/',
    'https://example.com/x-1.0-py3-none-any.whl',
    'file:///etc/passwd',
    'http://169.254.169.254/latest/meta-data/',
    'https://mirror.invalid.example/x',
    'no url',
  ])('T24: nothing else may be fetched: %s', async (url) => {
    await fillMirror();
    await using server = await index('json');
    const micropip = kernel(async (_, fetch) => {
      await expect(fetch(url)).rejects.toMatchObject({ code: 'install', reason: 'network' });
      await expect(fetch(`${server.url}simple/../files/secret`)).rejects.toThrow('neither a source');
      throw new Error('done');
    });
    const wheels = cache({ mirror, env: { PIP_INDEX_URL: `${server.url}simple` } });
    await expect(resolveLock(['x'], { wheels, kernel: micropip })).rejects.toThrow('done');
    expect(server.requests).toEqual([]);
  });

  test('T17, T24: a link whose file name is a path leads nowhere', async () => {
    await fillMirror();
    const path = `/files/from_index-3.1-py3-none-any${encodeURIComponent('/../../../escaped')}.whl`;
    await using server = await serve((request, response) => {
      if (request.url === path) return void response.end(wheel.bytes);
      response.setHeader('content-type', 'text/html');
      response.end(`<a href="${path}">x</a>`);
    });
    const micropip = kernel(async (_, fetch) => {
      await fetch(`${server.url}simple/from-index/`);
      await fetch(new URL(path, server.url).href);
      expect.unreachable();
    });
    const wheels = cache({ mirror, env: { PIP_INDEX_URL: `${server.url}simple` } });
    await expect(resolveLock(['from-index'], { wheels, kernel: micropip })).rejects.toMatchObject({
      reason: 'network',
    });
    const written = await readdir(root, { recursive: true });
    expect(written.filter((file) => file.includes('escaped'))).toEqual([]);
  });

  test('F16: an index that is down is no package that is not there', async () => {
    await fillMirror();
    const server = await index('json');
    await server[Symbol.asyncDispose]();
    const micropip = kernel(async (_, fetch) => {
      await fetch(`${server.url}simple/from-index/`).catch(() => undefined);
      return {
        ok: false,
        reason: 'not_found',
        package: 'from-index',
        message: 'nobody has it',
        suggestion: '',
      };
    });
    const wheels = cache({ mirror, env: { PIP_INDEX_URL: `${server.url}simple` } });
    await expect(resolveLock(['from-index'], { wheels, kernel: micropip })).rejects.toMatchObject({
      details: { reason: 'network', package: 'from-index' },
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });
});

test('micropip’s default index is read from its wheel', async () => {
  const closed = await serve(() => undefined);
  await closed[Symbol.asyncDispose]();
  const base = `${closed.url.replace('http:', 'https:')}simple`;
  const module = new TextEncoder().encode(`PYPI = "PYPI"\nPYPI_URL = "${base}"\n`);
  const micropip = makeWheel('micropip', '0.11', { 'micropip/package_index.py': module });
  await writeFile(join(mirror, pyodideLockFile), pyodideLock([micropip]));
  await writeFile(join(mirror, micropip.fileName), micropip.bytes);
  const asking = kernel(async (request, fetch) => {
    expect(request.indexUrls).toBeNull();
    await expect(fetch(`${base}x/`)).rejects.toThrow('neither a source of packages');
    await fetch(`${base}/x/`);
    expect.unreachable();
  });
  // It is a source; only that this one is on the loopback.
  await expect(resolveLock(['x'], { wheels: cache({ mirror }), kernel: asking })).rejects.toThrow(
    `${base}/x/ can't be fetched: it leads to an address that is not public`,
  );
});

test('F16: offline: what no mirror and no cache has is a matter of the network', async () => {
  await fillMirror();
  const answer = {
    ok: false,
    reason: 'not_found',
    package: 'nowhere',
    message: 'no such package',
    suggestion: '',
  };
  const wheels = cache({ mirror, offline: true });
  await expect(resolveLock(['nowhere'], { wheels, kernel: kernel(() => answer) })).rejects.toMatchObject({
    details: { reason: 'network', package: 'nowhere' },
    message: expect.stringContaining('--offline'),
  });
});

test('what micropip says comes out as it is', async () => {
  await fillMirror();
  const answer = {
    ok: false,
    reason: 'conflict',
    package: 'app',
    message: 'app 1 and 2',
    suggestion: 'drop one',
  };
  await expect(
    resolveLock(['app'], { wheels: cache({ mirror }), kernel: kernel(() => answer) }),
  ).rejects.toMatchObject({
    message: 'app 1 and 2; drop one',
    details: { reason: 'conflict', package: 'app', suggestion: 'drop one' },
  });
});

test.each([
  [null],
  [{ ok: 'yes' }],
  [{ ok: false, reason: 'because', package: '', message: '', suggestion: '' }],
  [{ ok: true, lockfile: { packages: [] } }],
  [{ ok: true, lockfile: { packages: { app: { version: '1\n', file_name: 'x' } } } }],
  [
    {
      ok: true,
      lockfile: { packages: { app: entry('1.0', 'https://evil.example/app-1.0-py3-none-any.whl') } },
    },
  ],
  [{ ok: true, lockfile: { packages: { app: entry('1.0', '../../app-1.0-py3-none-any.whl') } } }],
  [
    {
      ok: true,
      lockfile: { packages: { app: entry('1.0', 'https://mirror.invalid/local-2.0-py3-none-any.whl') } },
    },
  ],
])('an answer that can’t be trusted: %j', async (answer) => {
  await fillMirror();
  await expect(
    resolveLock(['app'], { wheels: cache({ mirror }), kernel: kernel(() => answer) }),
  ).rejects.toMatchObject({
    code: 'install',
  });
  expect(await readdir(join(cacheDir, 'locks')).catch(() => [])).toEqual([]);
});

describe('resolutions are kept', () => {
  test('the same question is asked once, another one or a refresh again', async () => {
    await fillMirror();
    const micropip = kernel(withBase);
    const options = { wheels: cache({ mirror }), kernel: micropip };
    const first = await resolveLock(['app'], options);
    expect(await resolveLock([' app'], options)).toEqual(first);
    expect(micropip.asked).toHaveLength(1);
    await resolveLock(['app'], { ...options, refresh: true });
    await resolveLock(['base-lib'], options);
    expect(micropip.asked).toHaveLength(3);
    await writeFile(join(mirror, 'new-1.0-py3-none-any.whl'), makeWheel('new').bytes);
    await resolveLock(['app'], options);
    expect(micropip.asked).toHaveLength(4);
  });

  test('damage is not read, and what is old is removed', async () => {
    await fillMirror();
    const micropip = kernel(withBase);
    const options = { wheels: cache({ mirror }), kernel: micropip };
    const lock = await resolveLock(['app'], options);
    const [file = ''] = await readdir(join(cacheDir, 'locks'));
    await writeFile(join(cacheDir, 'locks', file), '{"version": 1}');
    expect(await resolveLock(['app'], options)).toEqual(lock);
    expect(micropip.asked).toHaveLength(2);
    const old = new Date(Date.now() - 31 * 24 * 3_600_000);
    await utimes(join(cacheDir, 'locks', file), old, old);
    await resolveLock(['base-lib'], options);
    expect(await readdir(join(cacheDir, 'locks'))).not.toContain(file);
  });

  test('a cache that can’t be written to is no reason to fail', async () => {
    await fillMirror();
    await mkdir(cacheDir);
    await writeFile(join(cacheDir, 'locks'), 'in the way');
    const lock = await resolveLock(['app'], { wheels: cache({ mirror }), kernel: kernel(withBase) });
    expect(lock.packages).toHaveLength(2);
  });

  test('no more than a thousand', async () => {
    await fillMirror();
    const dir = join(cacheDir, 'locks');
    await mkdir(dir, { recursive: true });
    const old = new Date(Date.now() - 3_600_000);
    for (let index = 0; index < 1001; index++) {
      await writeFile(join(dir, `${index}.json`), '');
      await utimes(join(dir, `${index}.json`), old, old);
    }
    await resolveLock(['app'], { wheels: cache({ mirror }), kernel: kernel(withBase) });
    const left = await readdir(dir);
    expect(left).toHaveLength(1000);
    expect(left.some((file) => file.length > 40)).toBe(true);
  });

  test('offline without a mirror folder an earlier answer stands, whatever sources it came from', async () => {
    await fillMirror();
    const lock = await resolveLock(['app'], { wheels: cache({ mirror }), kernel: kernel(withBase) });
    expect(await earlierLock([' app'], cache({ offline: true }))).toEqual(lock);
    expect(await earlierLock(['app'], cache({ offline: true, mirror: 'http://127.0.0.1:9' }))).toEqual(lock);
    expect(await earlierLock(['app'], cache({ offline: true, mirror }))).toBeUndefined();
    expect(await earlierLock(['app'], cache())).toBeUndefined();
    expect(await earlierLock(['base-lib'], cache({ offline: true }))).toBeUndefined();
  });

  test('nothing asked: nothing resolved', async () => {
    const never = kernel(() => expect.unreachable());
    expect((await resolveLock([], { wheels: cache(), kernel: never })).packages).toEqual([]);
  });
});

describe('the installed distribution', () => {
  test('is found, with the place of its packages', async () => {
    const pyodide = await installedPyodide();
    expect(pyodide.cdnUrl).toMatch(
      new RegExp(`^https://.+/v${pyodide.version.replaceAll('.', '\\.')}/full/$`),
    );
    const wheels = cache();
    const distribution = await loadDistribution(wheels.sources, pyodide, wheels.http);
    expect(distribution.abi).toBe(pyodide.abi);
    expect(providerOf(distribution, 'sklearn.svm')?.name).toBe('scikit-learn');
    expect(providerOf(distribution, 'PIL')?.name).toBe('pillow');
    expect(providerOf(distribution, 'nothing_like_it')).toBeUndefined();
    expect(micropipLock(distribution, pyodide).packages.map((one) => one.name)).toContain('micropip');
    for (const requirements of Object.values(recipes)) {
      const lock = lockFromDistribution(distribution, pyodide, requirements);
      expect(lock.packages.length).toBeGreaterThanOrEqual(requirements.length);
    }
  });

  test('an entry that is broken is named', () => {
    const text = pyodideLock([makeWheel('a')]).replace(/"sha256":"../, '"sha256":"ZZ');
    expect(() => parseDistribution(text, 'it')).toThrow('it.packages.a.sha256');
  });
});

describe('an image', () => {
  test('is defined by a lock, and loads its wheels', async () => {
    const { base } = await fillMirror();
    const wheels = cache({ mirror });
    const lock = await resolveLock(['app'], { wheels, kernel: kernel(withBase) });
    const definition = defineImage('mine', lock, { warm: [{ filename: 'w.py', code: 'import app' }] });
    expect(definition.imports).toEqual(['app']);
    expect(parseImageDefinition(encodeImageDefinition(definition))).toEqual(definition);
    const source = imageSource(definition, wheels);
    expect(source).toMatchObject({ name: 'mine', lockHash: expect.stringMatching(/^[0-9a-f]{64}$/) });
    const loaded = await source.load({});
    expect(loaded).toMatchObject({ imports: ['app'], warm: definition.warm });
    expect(await readFile(fileURLToPath(loaded.wheels[1]?.url ?? ''))).toEqual(Buffer.from(base.bytes));
  });

  test('modules that a lock of Pyodide names wrongly are taken from the wheel', async () => {
    const wheel = makeWheel('docx');
    const lock = pyodideLock([wheel]).replace('"imports":["docx"]', '"imports":["python_docx"]');
    await writeFile(join(mirror, pyodideLockFile), lock);
    await writeFile(join(mirror, wheel.fileName), wheel.bytes);
    const wheels = cache({ mirror });
    const resolved = await resolveLock(['docx'], {
      wheels,
      kernel: kernel((request) => frozen(request, ['docx'])),
    });
    expect(resolved.packages[0]?.imports).toEqual(['python_docx']);
    const definition = defineImage('x', resolved, { imports: ['json', 'python_docx'] });
    expect((await imageSource(definition, wheels).load({})).imports).toEqual(['json', 'docx']);
  });

  test('of nothing is the standard library', () => {
    const lock = { version: 1 as const, pyodide: '1', abi: 'x', requirements: [], packages: [] };
    expect(imageSource(defineImage('stdlib', lock), cache()).lockHash).toBe('');
  });

  test('of another Pyodide is refused', async () => {
    const lock = { version: 1 as const, pyodide: '1', abi: 'x', requirements: [], packages: [] };
    await expect(imageSource(defineImage('old', lock), cache()).load({})).rejects.toMatchObject({
      reason: 'bad_lock',
    });
  });

  test.each([
    ['{', 'is not JSON'],
    [{ name: '../x', requirements: [], lock: {}, imports: [], warm: [] }, 'name'],
    [{ name: 'x', requirements: [], lock: {}, imports: [], warm: [] }, 'lock.version'],
  ])('a definition that can’t be read: %j', (input, problem) => {
    expect(() => parseImageDefinition(input)).toThrow(problem);
  });
});

const real = ['numpy', 'micropip', 'scikit-learn', 'lxml'];
const found = await mirrorForTests(real);
describe.skipIf(found.missing.length > 0)(
  `real wheels (${found.missing.join(', ') || real.join(', ')})`,
  () => {
    test('are verified and vetted, and hold the modules that the lock says', async () => {
      const wheels = cache({ mirror: found.folder ?? '', offline: true });
      const pyodide = await wheels.pyodide();
      const distribution = await loadDistribution(wheels.sources, pyodide, wheels.http);
      const lock = lockFromDistribution(distribution, pyodide, real);
      expect(lock.packages.map((one) => one.name)).toContain('scipy');
      for (const { package: one, bytes } of await wheels.fetch(lock.packages)) {
        const modules = topLevelModules(vetWheel(bytes, one.fileName, one.name));
        expect(modules).toEqual(
          expect.arrayContaining(distribution.packages.get(one.name)?.imports ?? ['?']),
        );
      }
    });
  },
);
