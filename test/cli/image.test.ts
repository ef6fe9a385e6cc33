import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as cli from '../../src/cli/image.ts';
import { lock } from '../../src/cli/lock.ts';
import { InstallError } from '../../src/errors/errors.ts';
import type { ImageInfo, Images, Lock } from '../../src/node.ts';
import { fakeDesk } from './fake-host.ts';

const content: NonNullable<ImageInfo['content']> = {
  packages: ['numpy', 'pandas', 'six', 'pytz', 'lxml', 'regex'].map((name) => ({ name, version: '1.0' })),
  imports: ['numpy'],
  warm: ['warm.py'],
  python: '3.14.2',
  pyodide: '314.0.7',
  heapBytes: 45e6,
  keptBytes: 25e6,
  libraries: 11,
  files: { count: 444, bytes: 10.8e6 },
  descriptors: 0,
  fingerprint: { pyodide: '314.0.7', buildId: 'b', kernelHash: 'k', lockHash: 'l' },
};
const ready: ImageInfo & { path: string } = {
  id: 'packages-1',
  names: ['mine'],
  path: '/cache/packages-1.image',
  state: 'ready',
  content,
  fileBytes: 35.8e6,
  builtAt: new Date('2026-01-01T10:00:00Z'),
  usedAt: new Date(),
};
const damaged: ImageInfo = {
  ...ready,
  id: 'bad',
  names: [],
  state: 'damaged',
  problem: 'cut short',
  content: null,
};
const foreign: ImageInfo = {
  ...ready,
  id: 'old',
  names: [],
  state: 'foreign',
  problem: 'it is for Pyodide 1',
};
const unbuilt: ImageInfo = {
  ...ready,
  id: 'later',
  names: ['later'],
  path: null,
  state: 'unbuilt',
  content: null,
};
const emptyLock: Lock = { version: 1, pyodide: '1', abi: 'x', requirements: [], packages: [] };

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vivarium-image-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function fake(images: Partial<Images>) {
  const unused = () => Promise.reject(new Error('not asked for'));
  const all: Images = {
    build: unused,
    list: unused,
    inspect: unused,
    verify: unused,
    remove: unused,
    prune: unused,
    exportTo: unused,
    importFrom: unused,
    ...images,
  };
  const desk = fakeDesk();
  const host: cli.ImageHost = {
    ...desk.desk,
    openImages: () => Promise.resolve(all),
    readRequirements: (path) => Promise.resolve([`of ${path}`]),
    readLock: () => Promise.resolve(emptyLock),
  };
  return { ...desk, host };
}

test('ls: one line an image', async () => {
  const { host, stdout } = fake({ list: () => Promise.resolve([ready, unbuilt, damaged]) });
  expect(await cli.listImages({}, host)).toBe(0);
  expect(stdout.text).toBe(
    [
      'NAME   PACKAGES                          FILE     HEAP     USED   STATE',
      'mine   numpy, pandas, six, pytz, 2 more  35.8 MB  45.0 MB  today  ready',
      'later                                                      today  unbuilt',
      'bad                                      35.8 MB           today  damaged',
      '',
    ].join('\n'),
  );
});

test('ls: says where none comes from, on stderr', async () => {
  const { host, stdout, stderr } = fake({ list: () => Promise.resolve([]) });
  expect(await cli.listImages({}, host)).toBe(0);
  expect([stdout.text, stderr.text]).toEqual([
    '',
    'vivarium: there are no images yet: the first run builds one\n',
  ]);
  expect(await cli.listImages({ json: true }, host)).toBe(0);
  expect(JSON.parse(stdout.text)).toEqual([]);
});

test('inspect: all that is known, and nothing that steers a terminal', async () => {
  const hostile = { ...ready, content: { ...content, imports: ['a\u001b[2Jb\nc\u202e'] } };
  const { host, stdout } = fake({ inspect: () => Promise.resolve(hostile) });
  await cli.inspectImage('mine', {}, host);
  expect(stdout.text.split('\n')).toEqual(
    expect.arrayContaining([
      'state             ready',
      'python            3.14.2 (Pyodide 314.0.7)',
      'imports           a\u{fffd}[2Jb\u{fffd}c\u{fffd}',
      'heap              45.0 MB, 25.0 MB of it kept',
      'files             444 (10.8 MB)',
    ]),
  );
  const { host: other, stdout: json } = fake({ inspect: () => Promise.resolve(ready) });
  await cli.inspectImage('mine', { json: true }, other);
  expect(JSON.parse(json.text)).toEqual(JSON.parse(JSON.stringify(ready)));
});

describe('verify', () => {
  const byPath: Record<string, ImageInfo> = { mine: ready, bad: damaged, old: foreign };
  const verify = (reference: string) => Promise.resolve(byPath[reference] ?? ready);

  test.each([
    [['mine'], 0],
    [['mine', 'bad'], 1],
    [['old'], 1],
  ])('%j: exit code %d', async (references, code) => {
    const { host, stdout } = fake({ verify });
    expect(await cli.verifyImages(references, {}, host)).toBe(code);
    expect(stdout.text.trimEnd().split('\n')).toHaveLength(references.length);
  });

  test('all: what is for another version is no fault', async () => {
    const list = () => Promise.resolve([ready, unbuilt, { ...foreign, path: 'old' }]);
    const { host, stdout } = fake({ verify, list });
    expect(await cli.verifyImages([], {}, host)).toBe(0);
    expect(stdout.text).toBe('ok       mine\nforeign  old   it is for Pyodide 1\n');
  });
});

describe('build', () => {
  const flags = { packages: [], requirement: [], warm: [], import: [] };

  test('passes on what was asked for, and prints the path alone', async () => {
    const warm = join(folder, 'w.py');
    writeFileSync(warm, 'import json');
    let seen: unknown;
    const { host, stdout, stderr } = fake({
      build: (request) => {
        seen = request;
        return Promise.resolve({ image: ready, built: true, lock: emptyLock });
      },
    });
    const asked = { packages: ['six'], requirement: ['r.txt'], warm: [warm], import: ['os'], name: 'mine' };
    expect(await cli.buildImage(asked, host)).toBe(0);
    expect(seen).toMatchObject({
      packages: ['six', 'of r.txt'],
      warm: [{ filename: 'w.py', code: 'import json' }],
      imports: ['os'],
      name: 'mine',
    });
    expect(stdout.text).toBe('/cache/packages-1.image\n');
    expect(stderr.text).toBe('vivarium: built mine (35.8 MB)\n');
  });

  test('what excludes one another is a usage error, before anything starts', async () => {
    const { host } = fake({});
    for (const both of [
      { recipe: 'data', lock: 'l' },
      { packages: ['six'], lock: 'l' },
    ])
      await expect(cli.buildImage({ ...flags, ...both }, host)).rejects.toMatchObject({ code: 'usage' });
    await expect(cli.buildImage({ ...flags, warm: ['none.py'] }, host)).rejects.toThrow(
      'no such file: none.py',
    );
  });

  test.each([
    ['Ctrl-C', 130],
    ['SIGTERM', 143],
  ])('%s ends it, with exit code %i', async (signal, code) => {
    const { promise: started, resolve } = Promise.withResolvers<AbortSignal | undefined>();
    const { host, pressCtrlC, terminate, listeners } = fake({
      build: (_, options) => {
        resolve(options?.signal);
        return new Promise((_, reject) => {
          options?.signal?.addEventListener('abort', () => reject(new Error('aborted')));
        });
      },
    });
    const ended = cli.buildImage({ ...flags, recipe: 'data' }, host);
    const given = await started;
    (signal === 'SIGTERM' ? terminate : pressCtrlC)();
    expect(await ended).toBe(code);
    expect([given?.aborted, listeners.size]).toEqual([true, 0]);
  });

  test('what fails is for the caller to print', async () => {
    const error = new InstallError('no wheel', { reason: 'no_wheel', package: 'x', suggestion: '' });
    const { host, listeners } = fake({ build: () => Promise.reject(error) });
    await expect(cli.buildImage({ ...flags, recipe: 'data' }, host)).rejects.toBe(error);
    expect(listeners.size).toBe(0);
  });
});

test('rm, prune, export and import say what they did on stderr, and with --json on stdout', async () => {
  const { host, stdout, stderr } = fake({
    remove: () => Promise.resolve(1e6),
    prune: () => Promise.resolve({ removed: ['a'], freedBytes: 2e6 }),
    exportTo: () => Promise.resolve(ready),
    importFrom: (_, name) => Promise.resolve({ ...ready, names: [name] }),
  });
  await cli.removeImages(['mine'], {}, host);
  await cli.pruneImages({}, host);
  await cli.exportImage('mine', 'm.zst', {}, host);
  await cli.importImage('/x/new.image.zst', {}, host);
  expect(stdout.text).toBe('');
  expect(stderr.text.split('\n')).toEqual([
    'vivarium: removed mine (1.0 MB)',
    'vivarium: removed 1 file (2.0 MB)',
    'vivarium: wrote m.zst: mine',
    'vivarium: imported new: run with --image new',
    '',
  ]);
  stderr.text = '';
  await cli.pruneImages({ json: true }, host);
  await cli.removeImages(['mine'], { quiet: true }, host);
  expect(JSON.parse(stdout.text)).toEqual({ removed: ['a'], freedBytes: 2e6 });
  expect(stderr.text).toBe('');
});

describe('lock', () => {
  const locked: Lock = {
    ...emptyLock,
    packages: [
      ['six', { kind: 'distribution' } as const],
      ['own', { kind: 'mirror' } as const],
      ['pure', { kind: 'index', url: 'https://index.test/simple/pure.whl' } as const],
    ].map(([name, source]) => ({
      name: name as string,
      version: '1.0',
      fileName: 'x.whl',
      sha256: '',
      source: source as Lock['packages'][number]['source'],
      dependencies: [],
      imports: [],
    })),
  };
  const request = { requirements: ['six'], requirement: [], extra: [], out: 'l.json' };
  const lockHost = () => {
    const written: string[] = [];
    const { desk, ...rest } = fakeDesk();
    const host = {
      ...desk,
      lockPackages: () => Promise.resolve(locked),
      readRequirements: () => Promise.resolve([]),
      writeLock: (_: Lock, path: string) => Promise.resolve(void written.push(path)),
      writePylock: (_: Lock, path: string) => Promise.resolve(void written.push(path)),
    };
    return { host, written, ...rest };
  };

  test('writes the files, and says what is in them on stderr', async () => {
    const { host, written, stdout, stderr } = lockHost();
    expect(await lock({ ...request, pylock: 'pylock.toml' }, host)).toBe(0);
    expect(written).toEqual(['pylock.toml', 'l.json']);
    expect(stdout.text).toBe('');
    expect(stderr.text).toBe(
      '  six   1.0  Pyodide\n  own   1.0  the mirror\n  pure  1.0  index.test\n' +
        'vivarium: locked 3 packages in l.json and pylock.toml\n',
    );
  });

  test('- is stdout, and --quiet says nothing', async () => {
    const { host, written, stdout, stderr } = lockHost();
    expect(await lock({ ...request, out: '-', quiet: true }, host)).toBe(0);
    expect([written, stderr.text]).toEqual([[], '']);
    expect(JSON.parse(stdout.text)).toEqual(locked);
  });
});
