/** What can't be had, from end to end: real workers, a real micropip, an index on the loopback, a mirror folder. */
import { createHash } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { InstallError } from '../../src/errors/errors.ts';
import { createRuntime, lockPackages, openImages, type RuntimeOptions, writeLock } from '../../src/node.ts';
import type { Runtime } from '../../src/runtime.ts';
import { mirrorForTests } from '../wheels.ts';
import { makeWheel, pyodideLockFile } from './make-wheel.ts';
import { serve, type TestServer } from './server.ts';

const { folder = '', missing } = await mirrorForTests(['micropip', 'six']);
const root = mkdtempSync(join(tmpdir(), 'vivarium-failures-'));
const cacheDir = join(root, 'cache');
afterAll(() => rm(root, { recursive: true, force: true }));

// ---- the index -----------------------------------------------------------------------------------------------------

interface IndexFile {
  fileName: string;
  bytes?: Uint8Array;
  /** Default: where the bytes are. */
  url?: string;
  sha256?: string;
}

const bytes = new TextEncoder().encode('pass\n');
const cutOff = makeWheel('cut-off');
const link = [bytes, { os: 3, attrs: 0o120777 * 65536 }] as [Uint8Array, { os: number; attrs: number }];
const bomb = [new Uint8Array(2e7), { level: 9 }] as [Uint8Array, { level: 9 }];

const files: Record<string, IndexFile[]> = {
  'good-one': [makeWheel('good-one')],
  dep: [makeWheel('dep', '1.0'), makeWheel('dep', '2.0')],
  'needs-dep': [makeWheel('needs-dep', '1.0', {}, { requires: ['dep'] })],
  native: [
    makeWheel('native', '0.9'),
    { fileName: 'native-1.0-cp314-cp314-manylinux_2_28_x86_64.whl', bytes },
    { fileName: 'native-1.0.tar.gz', bytes },
  ],
  'wants-old': [makeWheel('wants-old', '1.0', {}, { requires: ['dep<2'] })],
  'wants-new': [makeWheel('wants-new', '1.0', {}, { requires: ['dep>=2'] })],
  altered: [{ ...makeWheel('altered'), sha256: 'ab'.repeat(32) }],
  bomb: [makeWheel('bomb', '1.0', { 'bomb/data': bomb })],
  climber: [makeWheel('climber', '1.0', { '../../climbed.py': bytes })],
  linker: [makeWheel('linker', '1.0', { 'linker/link': link })],
  shadow: [makeWheel('shadow', '1.0', { 'pyodide/__init__.py': bytes })],
  'cut-off': [{ ...cutOff, bytes: cutOff.bytes.subarray(0, 200), sha256: '' }],
  // Its name would lead out of the folder of the wheel cache.
  escaping: [
    {
      ...makeWheel('escaping'),
      url: `/files/escaping-1.0-py3-none-any${encodeURIComponent('/../../../../escaped')}.whl`,
    },
  ],
};

function serveIndex(): Promise<TestServer> {
  const all = new Map(
    Object.values(files)
      .flat()
      .map((file) => [file.url ?? `/files/${file.fileName}`, file.bytes]),
  );
  return serve((request, response) => {
    const name = /^\/simple\/([^/]+)\/$/.exec(request.url ?? '')?.[1] ?? '';
    const found = all.get(request.url ?? '');
    if (found !== undefined) response.end(request.method === 'HEAD' ? undefined : found);
    else if (name === 'denied') response.writeHead(401).end();
    else if (files[name] === undefined) response.writeHead(404).end();
    else {
      const links = files[name].map(({ fileName, url, sha256 = '' }) => ({
        filename: fileName,
        url: url ?? `../../files/${fileName}`,
        hashes: sha256 === '' ? {} : { sha256 },
      }));
      response.setHeader('content-type', 'application/vnd.pypi.simple.v1+json');
      response.end(JSON.stringify({ meta: { 'api-version': '1.0' }, name, files: links }));
    }
  });
}

// ---- what is left --------------------------------------------------------------------------------------------------

async function filesBelow(dir: string): Promise<string[]> {
  const all = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  return all.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name).slice(dir.length + 1));
}

const images = async () => (await filesBelow(join(cacheDir, 'images'))).sort();

/** Files that nobody will use, and wheels that aren't what they are kept as. */
async function halfInstalled(): Promise<string[]> {
  const bad: string[] = [];
  for (const file of await filesBelow(root)) {
    const [top, kind, sha256] = file.split(sep);
    const isWheel = top === 'cache' && kind === 'wheels' && file.endsWith('.whl');
    const actual = isWheel
      ? createHash('sha256')
          .update(await readFile(join(root, file)))
          .digest('hex')
      : '';
    const isKept = isWheel || /^cache.(images|locks).[^/\\]+\.(image|json)$/.test(file);
    if (!isKept || (isWheel && actual !== sha256)) bad.push(file);
  }
  return bad;
}

// ---- tests ---------------------------------------------------------------------------------------------------------

describe.skipIf(missing.length > 0)(
  `with real workers (wheels missing: ${missing.join(', ') || 'none'})`,
  { timeout: 120_000 },
  () => {
    let index: TestServer;
    let elsewhere: TestServer;
    let runtime: Runtime;
    const start = (options: RuntimeOptions = {}) =>
      createRuntime({ size: 1, mirror: folder, cacheDir, install: 'any', ...options });

    beforeAll(async () => {
      [index, elsewhere] = [await serveIndex(), await serve((_, response) => void response.end())];
      const astray = { ...makeWheel('astray'), url: `${elsewhere.url}astray-1.0-py3-none-any.whl` };
      files.astray = [astray];
      for (const name of ['VIVARIUM_MIRROR', 'PIP_EXTRA_INDEX_URL', 'PIP_NO_INDEX']) vi.stubEnv(name, '');
      vi.stubEnv('PIP_INDEX_URL', `${index.url}simple`);
      runtime = await start();
      // Builds all that failures may not add to.
      await runtime.run('1', { packages: ['dep==1.0'] });
      await runtime.run('1');
    }, 120_000);
    afterAll(async () => {
      vi.unstubAllEnvs();
      await Promise.all([runtime, index, elsewhere].map((one) => one?.[Symbol.asyncDispose]()));
    });

    interface Failure {
      asks: string[];
      reason: string;
      package: string;
      message: RegExp;
      suggestion: RegExp;
    }
    const another = /^use another version of the package, or another source$/;
    const failures: Record<string, Failure> = {
      'no such package': {
        asks: ['sixx'],
        reason: 'not_found',
        package: 'sixx',
        message: /^There is no package sixx/,
        suggestion: /^Did you mean six\?$/,
      },
      'no such version': {
        asks: ['dep>=3'],
        reason: 'not_found',
        package: 'dep',
        message: /no version of dep that fits dep>=3/,
        suggestion: /^dep 2\.0 has a wheel that would work\.$/,
      },
      'no WebAssembly wheel': {
        asks: ['native>=1'],
        reason: 'no_wheel',
        package: 'native',
        message: /^native>=1 has no wheel that this interpreter can load/,
        suggestion: /^native 0\.9 has a wheel that would work\.$/,
      },
      'a conflict': {
        asks: ['wants-old', 'wants-new'],
        reason: 'conflict',
        package: 'dep',
        message: /wants-(old|new) 1\.0 needs dep.* wants-(old|new) 1\.0 needs dep/,
        suggestion: /^dep 2\.0 has a wheel that would work\.$/,
      },
      'another hash than the index says': {
        asks: ['altered'],
        reason: 'hash_mismatch',
        package: 'altered',
        message: /^altered is not installed: .* \(sha256 (ab){32} expected/,
        suggestion: /don't trust that source/,
      },
      'a zip bomb': {
        asks: ['bomb'],
        reason: 'unsafe_wheel',
        package: 'bomb',
        message: /"bomb\/data" unpacks to 20000000 bytes/,
        suggestion: another,
      },
      'a path that climbs out': {
        asks: ['climber'],
        reason: 'unsafe_wheel',
        package: 'climber',
        message: /"\.\.\/\.\.\/climbed\.py" climbs out of its folder/,
        suggestion: another,
      },
      'a link': {
        asks: ['linker'],
        reason: 'unsafe_wheel',
        package: 'linker',
        message: /is a link or a device/,
        suggestion: another,
      },
      'a stand-in for the runtime': {
        asks: ['shadow'],
        reason: 'unsafe_wheel',
        package: 'shadow',
        message: /would stand in for a module of the runtime/,
        suggestion: another,
      },
      'a wheel that was cut off': {
        asks: ['cut-off'],
        reason: 'unsafe_wheel',
        package: 'cut-off',
        message: /is no whole archive/,
        suggestion: another,
      },
      'an index that links to another host': {
        asks: ['astray'],
        reason: 'network',
        package: 'astray',
        message: /neither a source of packages nor linked from one/,
        suggestion: /./,
      },
      'an index whose file name is a path': {
        asks: ['escaping'],
        reason: 'network',
        package: 'escaping',
        message: /neither a source of packages nor linked from one/,
        suggestion: /./,
      },
      'an index that wants credentials': {
        asks: ['denied'],
        reason: 'network',
        package: 'denied',
        message: /answers 401: credentials are missing or wrong/,
        suggestion: /./,
      },
    };

    /** What came of each try to install, and the files that it left. */
    const inRun = `
import micropip, os, site
before = os.listdir(site.getsitepackages()[0])
found = []
for each in asks:
    try:
        found.append(await micropip.install(each))
    except micropip.InstallError as error:
        found.append([error.reason, error.package, str(error)])
[found, [name for name in os.listdir(site.getsitepackages()[0]) if name not in before]]`;

    test.each(Object.entries(failures))('T24, T25, F16: %s', async (_, failure) => {
      const built = await images();
      const error = await runtime.run('1', { packages: failure.asks }).then(
        () => expect.unreachable(),
        (caught: unknown) => caught as InstallError,
      );
      expect(error).toMatchObject({
        name: 'InstallError',
        code: 'install',
        details: { reason: failure.reason, package: failure.package },
        message: expect.stringMatching(failure.message),
      });
      expect(error.details.suggestion).toMatch(failure.suggestion);
      expect(error.message).toContain(error.details.suggestion);
      expect(await halfInstalled()).toEqual([]);
      expect(await images()).toEqual(built);
      expect(elsewhere.requests).toEqual([]);
    });

    test('a run is told the same, and has nothing of it', async () => {
      const names = ['no WebAssembly wheel', 'a conflict', 'a zip bomb', 'a path that climbs out'];
      const asked = names.flatMap((name) => failures[name] ?? []);
      const { value, error } = await runtime.run(inRun, { globals: { asks: asked.map(({ asks }) => asks) } });
      const told = asked.map((one) => [one.reason, one.package, expect.stringMatching(one.message)]);
      expect([value, error?.message]).toEqual([[told, []], undefined]);
      expect(await halfInstalled()).toEqual([]);
    });

    const unusual: [string, RuntimeOptions, Record<string, string>, object][] = [
      [
        'a missing mirror',
        { mirror: join(root, 'nowhere') },
        {},
        { reason: 'mirror', message: expect.stringMatching(/^there is no mirror folder .*nowhere/) },
      ],
      [
        'no network',
        {},
        { PIP_INDEX_URL: 'http://127.0.0.1:2/simple' },
        { reason: 'network', message: expect.stringMatching(/^absent: .*ECONNREFUSED/) },
      ],
      [
        'offline',
        { offline: true },
        {},
        { reason: 'network', message: expect.stringMatching(/^absent is in no source .*--offline/) },
      ],
    ];
    test.each(unusual)('F16: %s', async (_, options, env, failure) => {
      try {
        for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
        await expect(start({ ...options, packages: ['absent'] })).rejects.toMatchObject(failure);
      } finally {
        vi.stubEnv('PIP_INDEX_URL', `${index.url}simple`);
      }
      expect(await halfInstalled()).toEqual([]);
    });

    describe('a mirror of our own', () => {
      const mirror = join(root, 'mirror');
      afterEach(() => rm(mirror, { recursive: true, force: true }));
      const fill = async (): Promise<string> => {
        await mkdir(mirror);
        const text = await readFile(join(folder, pyodideLockFile), 'utf8');
        await writeFile(join(mirror, pyodideLockFile), text);
        const fileName: string = JSON.parse(text).packages.six.file_name;
        return fileName;
      };

      test('F16: that lacks a wheel, or has another one', async () => {
        const fileName = await fill();
        await using other = await start({ mirror, packages: ['six'] });
        await expect(other.run('1')).rejects.toMatchObject({
          details: { reason: 'mirror', package: 'six', suggestion: expect.stringContaining(fileName) },
        });
        await writeFile(join(mirror, fileName), makeWheel('six').bytes);
        await using another = await start({ mirror, packages: ['six'] });
        await expect(another.run('1')).rejects.toMatchObject({
          details: { reason: 'hash_mismatch', package: 'six' },
        });
        await rm(mirror, { recursive: true });
        expect(await halfInstalled()).toEqual([]);
      });
    });

    test.each([[undefined], ['http://127.0.0.1:2/']])(
      'F16: offline, what is frozen is there, whatever it came from (the mirror %s)',
      async (mirror) => {
        await using one = await start({ mirror, offline: true, packages: ['dep==1.0'] });
        expect((await one.run('"dep" in __import__("sys").modules')).value).toBe(true);
      },
    );

    test('F16: after all of it everything works', async () => {
      expect((await runtime.run('import dep; dep.version', { packages: ['dep==1.0'] })).value).toBe('1.0');
      const code = 'import micropip; await micropip.install("good-one"); import good_one; good_one.version';
      expect((await runtime.run(code)).value).toBe('1.0');
    });

    // ---- what a run may install ------------------------------------------------------------------------------------

    /** What came of each: the reason of a refusal, or that it can be imported. */
    const tryOut = `
import importlib, micropip
found = []
for name in asks:
    try:
        await micropip.install(name)
        found.append("installed" if importlib.import_module(name.replace("-", "_")) else "")
    except micropip.InstallError as error:
        found.append(error.reason)
found`;
    const asks = ['six', 'good-one'];
    const refused = 'not_allowed';
    test.each([
      ['nothing', 'never', [refused, refused]],
      ['nothing', 'locked', [refused, refused]],
      ['a mirror', 'never', [refused, refused]],
      ['a mirror', 'locked', ['installed', refused]],
      ['a mirror', 'any', ['installed', 'installed']],
      ['a lock', 'never', [refused, refused]],
      ['a lock', 'locked', ['installed', refused]],
    ] as const)('with %s, %s', async (source, install, expected) => {
      const lock = join(root, 'vivarium.lock.json');
      if (source === 'a lock')
        await writeLock(await lockPackages(['six'], { mirror: folder, cacheDir }), lock);
      await using one = await start({
        install,
        mirror: source === 'a mirror' ? folder : undefined,
        ...(source === 'a lock' && { lock }),
      });
      const { value, error } = await one.run(tryOut, {
        image: 'stdlib',
        globals: { asks },
      });
      expect([value, error?.message]).toEqual([expected, undefined]);
      await rm(lock, { force: true });
    });

    test('what the image holds stays as it is, also when it is only a file', async () => {
      const { image } = await (await openImages({ mirror: folder, cacheDir })).build({
        packages: ['dep==1.0'],
      });
      const code = `
import dep, micropip
await micropip.install("needs-dep")
import needs_dep
try:
    await micropip.install("dep==2.0")
except micropip.InstallError as error:
    refusal = [error.reason, error.package, str(error)]
[dep.version, needs_dep.version, refusal]`;
      const refusal = ['conflict', 'dep', expect.stringContaining('the image holds dep 1.0')];
      for (const held of [{ packages: ['dep==1.0'] }, { image: image.path }]) {
        const { value, error } = await runtime.run(code, held);
        expect([value, error?.message]).toEqual([['1.0', '1.0', refusal], undefined]);
      }
    });
  },
);
