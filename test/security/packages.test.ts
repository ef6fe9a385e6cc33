/**
 * T24, T25 with the real engine and a real micropip: what hostile indexes and wheels do to a host that code asks to install from them.
 * What the address check itself refuses is in `test/packages/egress.test.ts`, what the vetting refuses in `test/packages/vet.test.ts`.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Zippable, zipSync } from 'fflate';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { createRuntime, lockPackages, type RuntimeOptions, writeLock } from '../../src/node.ts';
import { installedPyodide } from '../../src/packages/distribution.ts';
import { sha256Of } from '../../src/packages/wheel-cache.ts';
import type { Runtime } from '../../src/runtime.ts';
import { makeWheel, patched, recordOf } from '../packages/make-wheel.ts';
import { serve, type TestServer } from '../packages/server.ts';
import { mirrorForTests } from '../wheels.ts';

const { folder = '', missing } = await mirrorForTests(['micropip', 'six']);
const root = mkdtempSync(join(tmpdir(), 'vivarium-hostile-packages-'));
const cacheDir = join(root, 'cache');
const secret = 'canary-d4e5f6';
const canaryFile = join(root, 'canary.txt');
writeFileSync(canaryFile, secret);

// ---- canaries ------------------------------------------------------------------------------------------------------

let canary: Server;
let hits = 0;
beforeAll(async () => {
  canary = createServer((socket) => {
    hits++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => canary.listen(0, '127.0.0.1', resolve));
});
const port = () => (canary.address() as AddressInfo).port;

const before = Object.getOwnPropertyNames(Object.prototype);
afterEach(() => {
  expect(hits).toBe(0);
  expect(readFileSync(canaryFile, 'utf8')).toBe(secret);
  expect(readdirSync(root).filter((name) => !['cache', 'canary.txt', 'lock.json'].includes(name))).toEqual(
    [],
  );
  expect(['climbed.py', '/climbed.py', '/etc/climbed.py'].filter((path) => existsSync(path))).toEqual([]);
  expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
});
afterAll(async () => {
  await new Promise((resolve) => canary.close(resolve));
  await rm(root, { recursive: true, force: true });
});

// ---- hostile wheels ------------------------------------------------------------------------------------------------

const code = new TextEncoder().encode('value = 1\n');
const withMode = (mode: number): Zippable[string] => [code, { os: 3, attrs: mode * 65536 }];
const zeros = new Uint8Array(20 * 2 ** 20);

const of = (name: string, files: Zippable): Uint8Array<ArrayBuffer> => makeWheel(name, '1.0', files).bytes;

/** As if it had so many members. */
function counted(name: string, members: number): Uint8Array<ArrayBuffer> {
  const { bytes } = makeWheel(name);
  const end = bytes.length - 22;
  return patched(patched(bytes, end + 8, members, 2), end + 10, members, 2);
}

function declared(name: string): Uint8Array<ArrayBuffer> {
  const names = Array.from({ length: 80 }, (_, index) => `${name}/${index}`);
  let { bytes } = makeWheel(name, '1.0', Object.fromEntries(names.map((one) => [one, code])), { level: 6 });
  for (const one of names) bytes = patched(bytes, recordOf(bytes, one) + 24, 15_000_000);
  return bytes;
}

function overlapping(name: string): Uint8Array<ArrayBuffer> {
  const { bytes } = makeWheel(name, '1.0', { [`${name}/a.py`]: new Uint8Array(200) });
  const at = recordOf(bytes, `${name}/__init__.py`);
  const longer = new DataView(bytes.buffer).getUint32(at + 20, true) + 100;
  return patched(patched(bytes, at + 20, longer), at + 24, longer);
}

function twice(name: string): Uint8Array<ArrayBuffer> {
  const text = Buffer.from(of(name, { [`${name}/a.py`]: code, [`${name}/b.py`]: code })).toString('latin1');
  return new Uint8Array(Buffer.from(text.replaceAll(`${name}/b.py`, `${name}/a.py`), 'latin1'));
}

function lying(name: string): Uint8Array<ArrayBuffer> {
  const { bytes } = makeWheel(name, '1.0', { [`${name}/big`]: [zeros, { level: 9 }] }, { level: 6 });
  return patched(bytes, recordOf(bytes, `${name}/big`) + 24, 1000);
}

/** What each is, and what its refusal says. */
const refused: Record<string, [what: string, bytes: Uint8Array<ArrayBuffer>, says: RegExp]> = {
  climber: ['zip slip', of('climber', { '../../../../climbed.py': code }), /climbs out/],
  absolute: ['an absolute path', of('absolute', { '/etc/climbed.py': code }), /absolute path/],
  drive: ['a drive', of('drive', { 'C:/climbed.py': code }), /absolute path/],
  moved: [
    'a .data folder that climbs',
    of('moved', { 'moved-1.0.data/purelib/../../climbed.py': code }),
    /climbs out/,
  ],
  linker: ['a link', of('linker', { 'linker/passwd': withMode(0o120777) }), /link or a device/],
  device: ['a device', of('device', { 'device/null': withMode(0o020666) }), /link or a device/],
  bomb: ['a bomb', of('bomb', { 'bomb/data': [zeros, { level: 9 }] }), /more than 200 times/],
  declared: ['more than 1 GiB, as declared', declared('declared'), /unpack to more than/],
  lying: ['a member that is larger than it says', lying('lying'), /another size than it says/],
  many: ['50 001 members', counted('many', 50_001), /50001 members, 50000 at most/],
  million: ['more members than 65 535: zip64', counted('million', 0xffff), /larger than a wheel may be/],
  twice: ['a name twice', twice('twice'), /is there twice/],
  nested: ['a folder that is a file', of('nested', { 'nested/__init__.py/x.py': code }), /a file too/],
  shadowjs: ['js', of('shadowjs', { 'js/__init__.py': code }), /stand in for a module of the runtime/],
  shadowpyodide: ['pyodide', of('shadowpyodide', { 'pyodide/ffi.py': code }), /stand in for/],
  shadowpyodidejs: ['pyodide_js', of('shadowpyodidejs', { 'pyodide_js.py': code }), /stand in for/],
  shadowharness: ['vivarium', of('shadowharness', { 'vivarium/_kernel.py': code }), /stand in for/],
  shadowsite: ['sitecustomize', of('shadowsite', { 'sitecustomize.py': code }), /stand in for/],
  shadowuser: ['usercustomize', of('shadowuser', { 'usercustomize/__init__.py': code }), /stand in for/],
  backslash: ['a backslash', of('backslash', { 'x\\..\\..\\climbed.py': code }), /backslash/],
  nul: ['NUL', of('nul', { 'nul/x.py\0.txt': code }), /control character/],
  newline: ['a newline', of('newline', { 'newline/x\ny.py': code }), /control character/],
  overlapping: ['members that share their bytes', overlapping('overlapping'), /overlaps/],
  cutoff: ['half a file', of('cutoff', {}).subarray(0, 200), /no whole archive/],
  nometadata: ['no metadata', zipSync({ 'x.py': code }), /no metadata/],
};

/** Local headers and descriptors say what they like: the central directory counts. */
function localLies(name: string): Uint8Array<ArrayBuffer> {
  const { bytes } = makeWheel(name, '1.0', { [`${name}/a.py`]: code });
  const local = new DataView(bytes.buffer).getUint32(recordOf(bytes, `${name}/a.py`) + 42, true);
  // A descriptor follows, it says; and sizes that aren't.
  return patched(patched(patched(bytes, local + 6, 8, 2), local + 18, 0xffffff), local + 22, 0xfffffff0);
}

const standIn = new TextEncoder().encode('raise SystemExit("a stand-in ran")\n');
/** Odd, but harmless. */
const taken: Record<string, Uint8Array<ArrayBuffer>> = {
  liar: localLies('liar'),
  aliases: of('aliases', {
    'aliases/Case.py': code,
    'aliases/case.py': new TextEncoder().encode('value = 2\n'),
    'aliases/caf\u00e9.py': code,
    'aliases/cafe\u0301.py': code,
  }),
  names: of('names', {
    '__proto__/x.py': code,
    'names/__proto__': code,
    'names/constructor.py': code,
    'prototype.py': code,
  }),
  shadower: of('shadower', {
    ...Object.fromEntries(
      ['colorsys.py', 'json/__init__.py', 'os.py', 'wave.py'].map((path) => [path, standIn]),
    ),
    'evil.pth': new TextEncoder().encode('import sys; sys.stand_in = True\n'),
  }),
};

const all = new Map<string, Uint8Array<ArrayBuffer>>([
  ...Object.entries(refused).map(([name, [, bytes]]) => [name, bytes] as const),
  ...Object.entries(taken),
  ['good', of('good', {})],
]);

// ---- indexes -------------------------------------------------------------------------------------------------------

interface Link {
  fileName: string;
  url: string;
  sha256?: string;
}

/** An index as operators have them, with pages of these links and with files below `/files/`. */
function serveIndex(pages: (name: string) => readonly Link[] | number, files = all): Promise<TestServer> {
  return serve((request, response) => {
    const url = request.url ?? '';
    const name = /^\/simple\/([^/]+)\/$/.exec(url)?.[1];
    const file = /^\/files\/([^-]+)-/.exec(url)?.[1];
    const found = name === undefined ? undefined : pages(name);
    const bytes = file === undefined ? undefined : files.get(file);
    if (url.startsWith('/away')) response.writeHead(302, { location: `http://127.0.0.1:${port()}/` }).end();
    else if (bytes !== undefined) response.end(request.method === 'HEAD' ? undefined : bytes);
    else if (found === undefined || typeof found === 'number') response.writeHead(found ?? 404).end();
    else {
      response.setHeader('content-type', 'application/vnd.pypi.simple.v1+json');
      const links = found.map(({ fileName, url: to, sha256 }) => ({
        filename: fileName,
        url: to,
        hashes: sha256 === undefined ? {} : { sha256 },
      }));
      response.end(JSON.stringify({ meta: { 'api-version': '1.0' }, name, files: links }));
    }
  });
}

const fileOf = (name: string, version = '1.0') => `${name}-${version}-py3-none-any.whl`;
const ownFile = (name: string): Link[] => [{ fileName: fileOf(name), url: `/files/${fileOf(name)}` }];

const install = `
import micropip
told = []
for name in names:
    try:
        await micropip.install(name)
        told.append("installed")
    except micropip.InstallError as error:
        told.append([error.reason, error.package, str(error)])
told`;

/** Links to the canary, as they might be written. */
const astray = (): Record<string, string> => ({
  'astray-https': `https://127.0.0.1:${port()}/`,
  'astray-http': `http://127.0.0.1:${port()}/`,
  'astray-name': `https://localhost:${port()}/`,
});

describe.skipIf(missing.length > 0)(
  `with real workers (wheels missing: ${missing.join(', ') || 'none'})`,
  { timeout: 120_000 },
  () => {
    let index: TestServer;
    let runtime: Runtime;
    const start = (options: RuntimeOptions = {}) =>
      createRuntime({ size: 1, mirror: folder, cacheDir, install: 'any', ...options });

    beforeAll(async () => {
      for (const name of ['VIVARIUM_MIRROR', 'PIP_EXTRA_INDEX_URL', 'PIP_NO_INDEX']) vi.stubEnv(name, '');
      index = await serveIndex((name) => {
        const fileName = fileOf(name.replaceAll('-', '_'));
        const place = astray()[name];
        if (place !== undefined) return [{ fileName, url: `${place}${fileName}` }];
        if (name === 'redirected') return [{ fileName, url: `/away/${fileName}` }];
        return all.has(name) ? ownFile(name) : 404;
      });
      vi.stubEnv('PIP_INDEX_URL', `${index.url}simple`);
      runtime = await start();
    }, 120_000);
    afterAll(async () => {
      vi.unstubAllEnvs();
      await Promise.all([runtime?.close(), index?.[Symbol.asyncDispose]()]);
    });

    async function told(names: readonly string[], one = runtime): Promise<unknown[]> {
      const { value, error } = await one.run(install, { globals: { names } });
      expect(error?.message).toBeUndefined();
      return value as unknown[];
    }

    // ---- T24 -------------------------------------------------------------------------------------------------------

    test('T24: links of an index to private addresses, and redirects there: nobody is asked', async () => {
      const names = [...Object.keys(astray()), 'redirected'];
      const answers = await told(names);
      for (const [at, name] of names.entries())
        expect(answers[at]).toEqual([
          expect.stringMatching(/^(not_allowed|network)$/),
          name,
          expect.anything(),
        ]);
      expect(JSON.stringify(answers)).not.toContain(String(port()));
      expect(await told(['good'])).toEqual(['installed']);
    });

    test.each([
      'http://127.0.0.1:PORT/x-1.0-py3-none-any.whl',
      'x @ https://127.0.0.1:PORT/x-1.0-py3-none-any.whl',
      'https://localhost:PORT/x-1.0-py3-none-any.whl',
    ])('T24: code that names an address itself: %s', async (written) => {
      const asked = written.replace('PORT', String(port()));
      const code = 'import micropip; await micropip.install(asked)';
      const { error } = await runtime.run(code, { globals: { asked } });
      expect(error?.message).toMatch(/address/);
      // As its caller's word it is looked at as any other.
      await expect(runtime.run('1', { packages: [asked] })).rejects.toMatchObject({
        code: 'install',
        reason: 'not_allowed',
        message: expect.stringContaining('not public'),
      });
    });

    test('T24: code chooses no index', async () => {
      const code = `
import micropip
told = []
for how in ({"index_urls": [url]}, {"index_urls": url}):
    try:
        await micropip.install("good", **how)
        told.append("installed")
    except Exception as error:
        told.append(type(error).__name__)
told`;
      const { value } = await runtime.run(code, { globals: { url: `http://127.0.0.1:${port()}/simple` } });
      expect(value).not.toContain('installed');
    });

    test('T24: a lock that names a private address', async () => {
      const lock = await lockPackages(['good'], { mirror: folder, cacheDir });
      const path = join(root, 'lock.json');
      for (const one of lock.packages)
        one.source = { kind: 'index', url: `http://127.0.0.1:${port()}/good-1.0-py3-none-any.whl` };
      await writeLock(lock, path);
      const elsewhere = mkdtempSync(join(cacheDir, 'empty-'));
      await using other = await start({ mirror: undefined, cacheDir: elsewhere, lock: path });
      await expect(other.run('1')).rejects.toMatchObject({
        reason: 'not_allowed',
        details: { package: 'good' },
      });
    });

    describe('T24: dependency confusion', () => {
      const named = (version: string, whose: string) =>
        makeWheel('corp', version, { 'corp/whose.py': new TextEncoder().encode(`whose = "${whose}"\n`) });
      const [mine, theirs] = [named('1.0', 'mine'), named('99.0', 'theirs')];
      const serving = (wheel: typeof mine) => {
        const { fileName, sha256, bytes } = wheel;
        const page = [{ fileName, url: `/files/${fileName}`, sha256 }];
        return serveIndex(() => page, new Map([['corp', bytes]]));
      };
      const code = 'import micropip; await micropip.install("corp"); from corp.whose import whose; whose';
      afterEach(() => {
        vi.stubEnv('PIP_EXTRA_INDEX_URL', '');
        vi.stubEnv('PIP_INDEX_URL', `${index.url}simple`);
      });

      test('an extra index comes first, whatever version the other one has', async () => {
        await using own = await serving(mine);
        await using open = await serving(theirs);
        vi.stubEnv('PIP_EXTRA_INDEX_URL', `${own.url}simple`);
        vi.stubEnv('PIP_INDEX_URL', `${open.url}simple`);
        await using one = await start();
        expect((await one.run(code)).value).toBe('mine');
        expect(open.requests).toEqual([]);
        const lock = await lockPackages(['corp'], { mirror: folder, cacheDir });
        expect(lock.packages).toMatchObject([{ name: 'corp', version: '1.0', sha256: mine.sha256 }]);
      });

      test.each(['refuses', 'is down'])(
        'while an extra index %s, nothing is taken from the other one',
        async (how) => {
          const own = await serveIndex(() => 403);
          if (how === 'is down') await own[Symbol.asyncDispose]();
          await using open = await serving(theirs);
          vi.stubEnv('PIP_EXTRA_INDEX_URL', `${own.url}simple`);
          vi.stubEnv('PIP_INDEX_URL', `${open.url}simple`);
          await using one = await start();
          const { value, error } = await one.run(code);
          expect([value, error?.name]).toEqual([undefined, expect.stringContaining('InstallError')]);
          expect(open.requests).toEqual([]);
          if (how === 'refuses') await own[Symbol.asyncDispose]();
        },
      );

      test('what a lock pins is that very file, also when its index has another one by now', async () => {
        const url = `${index.url}files/good-1.0-py3-none-any.whl`;
        const lock = await lockPackages(['good'], { mirror: folder, cacheDir });
        const [good] = lock.packages;
        if (good === undefined) expect.unreachable();
        Object.assign(good, { sha256: 'ab'.repeat(32), source: { kind: 'index', url } });
        const path = join(root, 'lock.json');
        await writeLock(lock, path);
        await using one = await start({ lock: path });
        await expect(one.run('1')).rejects.toMatchObject({
          reason: 'hash_mismatch',
          details: { package: 'good' },
        });
      });
    });

    // ---- T25 -------------------------------------------------------------------------------------------------------

    test('T25: wheels that are refused, each by what is wrong with it, and the next install works', async () => {
      const names = Object.keys(refused);
      const path = join(root, 'lock.json');
      // A lock that pins them: nothing but the wheels themselves is at fault. And nobody has to resolve them one by one.
      const packages = [...names, 'good'].map((name) => {
        const source = { kind: 'index', url: `${index.url}files/${fileOf(name)}` } as const;
        const sha256 = sha256Of(all.get(name) ?? expect.unreachable());
        return {
          name,
          version: '1.0',
          fileName: fileOf(name),
          sha256,
          source,
          dependencies: [],
          imports: [],
        };
      });
      const { version, abi } = await installedPyodide();
      await writeLock({ version: 1, pyodide: version, abi, requirements: [], packages }, path);
      await using one = await start({ lock: path, install: 'locked' });
      // A run may ask twenty times.
      for (const some of [names.slice(0, 15), names.slice(15)]) {
        const { value, error } = await one.run(install, {
          globals: { names: [...some, 'good'] },
          image: 'stdlib',
        });
        expect(error?.message).toBeUndefined();
        const answers = value as unknown[];
        for (const [at, name] of some.entries()) {
          const [what, , says] = refused[name] ?? expect.unreachable();
          expect([what, answers[at]]).toEqual([
            what,
            ['unsafe_wheel', expect.any(String), expect.stringMatching(says)],
          ]);
        }
        expect(answers.at(-1)).toBe('installed');
        // Of the host it says nothing.
        expect(JSON.stringify(answers)).not.toContain(root);
        expect(JSON.stringify(answers)).not.toContain(index.url);
      }
      const kept = await readdir(join(cacheDir, 'wheels'), { recursive: true });
      // What a member holds is seen only where it is unpacked, which is inside the sandbox.
      expect(kept.filter((file) => names.some((name) => file.includes(`${name}-1.0`)))).toEqual([
        expect.stringContaining('lying-1.0'),
      ]);
      expect((await runtime.run('import os; sorted(os.listdir("/"))')).value).not.toContain('climbed.py');
    });

    test('T25: odd names and lying headers are what the archive’s directory says, each its own file', async () => {
      const code = `
import importlib, micropip
for name in ["liar", "aliases", "names"]:
    await micropip.install(name)
import liar.a, prototype
from names import constructor
modules = [importlib.import_module("aliases." + name) for name in ("Case", "case", "caf\u00e9")]
[liar.a.value, [one.value for one in modules], constructor.value, importlib.import_module("__proto__.x").value]`;
      const { value, error } = await runtime.run(code);
      expect([value, error?.message]).toEqual([[1, [1, 2, 1], 1, 1], undefined]);
      expect(
        (await runtime.run('import importlib.util; importlib.util.find_spec("liar") is None')).value,
      ).toBe(true);
    });

    test('T25: what has the name of a module of the standard library stands in for none, installed or frozen', async () => {
      const code = `
import importlib, sys
importlib.invalidate_caches()
for name in ("json", "colorsys", "os", "wave"):
    sys.modules.pop(name, None)
import colorsys, json, os, wave
files = [one.__file__ for one in (colorsys, json, os, wave)]
[any("site-packages" in file for file in files), hasattr(sys, "stand_in"), json.loads("[1]")]`;
      const installed = await runtime.run(`import micropip; await micropip.install("shadower")\n${code}`);
      expect([installed.value, installed.error?.message]).toEqual([[false, false, [1]], undefined]);
      const frozen = await runtime.run(code, { packages: ['shadower'] });
      expect([frozen.value, frozen.error?.message]).toEqual([[false, false, [1]], undefined]);
    });
  },
);
