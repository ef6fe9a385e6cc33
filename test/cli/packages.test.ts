import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { mirrorForTests } from '../wheels.ts';
import { vivarium as start, temporaryFolder } from './program.ts';

const { folder, missing } = await mirrorForTests(['micropip', 'six', 'python-dateutil']);

/** One for all: images are built once. */
const cacheDir = mkdtempSync(join(tmpdir(), 'vivarium-cli-cache-'));
afterAll(() => rmSync(cacheDir, { recursive: true, force: true }));

const noIndex = { VIVARIUM_CACHE_DIR: cacheDir, PIP_NO_INDEX: '1', VIVARIUM_MIRROR: '' };
const vivarium = (args: readonly string[], cwd: string, env: Record<string, string> = {}) =>
  start(args, { cwd, env: { ...noIndex, VIVARIUM_MIRROR: folder ?? '', ...env } });

const printSix = 'import six; print(six.__version__)';
const version = /^\d+\.\d+\.\d+\n$/;

describe.skipIf(folder === undefined)(
  `packages (wheels missing: ${missing.join(', ') || 'none'})`,
  {
    timeout: 120_000,
  },
  () => {
    test('lock, then run --lock; also for other tools', async () => {
      const cwd = temporaryFolder();
      writeFileSync(join(cwd, 'requirements.txt'), 'python-dateutil  # and six, which that needs\n');
      const locked = await vivarium(['lock', '--pylock', 'pylock.toml'], cwd);
      expect(locked).toMatchObject({ code: 0, stdout: '' });
      expect(locked.stderr).toMatch(
        /^ {2}python-dateutil {2}\S+ +Pyodide\n {2}six +\S+ +Pyodide\nvivarium: locked 2 packages in/,
      );
      const lock = JSON.parse(readFileSync(join(cwd, 'vivarium.lock.json'), 'utf8'));
      expect(lock.packages.map(({ name }: { name: string }) => name)).toEqual(['python-dateutil', 'six']);
      expect(readFileSync(join(cwd, 'pylock.toml'), 'utf8')).toContain('lock-version = "1.0"');

      const code = 'import dateutil, six; print(dateutil.__name__)';
      expect(await vivarium(['run', '--lock', 'vivarium.lock.json', '-c', code], cwd)).toEqual({
        code: 0,
        stdout: 'dateutil\n',
        stderr: '',
      });

      // Another wheel than the one that was locked. In a cache of its own, so that the wheel is fetched.
      lock.packages[1].sha256 = '0'.repeat(64);
      writeFileSync(join(cwd, 'bad.json'), JSON.stringify(lock));
      const bad = await vivarium(['run', '--lock', 'bad.json', '-c', code], cwd);
      expect(bad).toMatchObject({ code: 3, stdout: '' });
      expect(bad.stderr).toMatch(
        /^vivarium: six is not installed: six-.*whl .* is not what the lock says .*\n$/,
      );
    });

    test('an image by name: built, listed, verified, moved, used, removed', async () => {
      const cwd = temporaryFolder();
      writeFileSync(join(cwd, 'warm.py'), 'import json\njson.dumps({})\n');
      const args = ['image', 'build', '-p', 'six', '--warm', 'warm.py', '--import', 'csv', '--name', 'mine'];
      const built = await vivarium(args, cwd);
      expect(built.stderr).toMatch(/^vivarium: built mine \(\S+ MB\)\n$/);
      expect(built.stdout).toMatch(/\.image\n$/);
      expect((await vivarium(args, cwd)).stderr).toMatch(/^vivarium: there already: mine/);

      const path = built.stdout.trim();
      expect(JSON.parse((await vivarium(['image', 'inspect', 'mine', '--json'], cwd)).stdout)).toMatchObject({
        names: ['mine'],
        path,
        state: 'ready',
        content: {
          packages: [{ name: 'six' }],
          imports: ['six', 'csv'],
          warm: ['warm.py'],
          libraries: 0,
          descriptors: 0,
        },
      });
      const listed = await vivarium(['image', 'ls'], cwd);
      expect(listed.stdout).toMatch(/^NAME .*\nmine +six +\S+ MB +\S+ MB +today +ready\n/);
      const frozen = 'import sys; print("six" in sys.modules, "csv" in sys.modules)';
      const used = { code: 0, stdout: 'True True\n', stderr: '' };
      expect(await vivarium(['run', '--image', 'mine', '-c', frozen], cwd)).toEqual(used);

      expect(await vivarium(['image', 'export', 'mine', 'mine.image.zst', '-q'], cwd)).toMatchObject({
        code: 0,
      });
      const imported = await vivarium(['image', 'import', 'mine.image.zst', '--name', 'theirs'], cwd);
      expect(imported).toMatchObject({
        code: 0,
        stderr: 'vivarium: imported theirs: run with --image theirs\n',
      });
      expect(await vivarium(['run', '--image', 'theirs', '-c', frozen], cwd)).toEqual(used);

      const bytes = readFileSync(path);
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      writeFileSync(path, bytes);
      const verified = await vivarium(['image', 'verify', 'mine', 'theirs'], cwd);
      expect(verified).toMatchObject({ code: 1, stderr: '' });
      expect(verified.stdout).toMatch(/^damaged +mine +image checksum is wrong\nok +theirs\n$/);
      expect((await vivarium(['image', 'export', 'mine', 'x.image'], cwd)).code).toBe(3);
      writeFileSync(join(cwd, 'bad.image.zst'), readFileSync(join(cwd, 'mine.image.zst')).subarray(0, 5000));
      const refused = await vivarium(['image', 'import', 'bad.image.zst'], cwd);
      expect(refused.code).toBe(3);
      expect(refused.stderr).toMatch(
        /^vivarium: The image bad.image.zst can't be used: .*cut short; export it again\.\n$/,
      );
      // As a file, wherever it lies, a damaged image is refused too.
      const direct = await vivarium(['run', '--image', path, '-c', '1'], cwd);
      expect([direct.code, direct.stdout]).toEqual([3, '']);
      expect(direct.stderr).toMatch(/checksum is wrong/);

      expect(await vivarium(['image', 'rm', 'mine', 'theirs'], cwd)).toMatchObject({ code: 0, stdout: '' });
      expect((await vivarium(['run', '--image', 'mine', '-c', '1'], cwd)).stderr).toContain(
        'There is no image called "mine"',
      );
      expect(readdirSync(join(cacheDir, 'images', 'named'))).toEqual([]);
    });

    test('a script says by itself what it needs, --with and --auto say it for others', async () => {
      const cwd = temporaryFolder();
      const code = 'import dateutil; print(dateutil.__version__)';
      const block = (python: string) =>
        `# /// script\n# requires-python = "${python}"\n# dependencies = ["python-dateutil"]\n# ///\n${code}\n`;
      writeFileSync(join(cwd, 'script.py'), block('>=3.12'));
      writeFileSync(join(cwd, 'old.py'), block('<3.14'));
      const quiet = { code: 0, stdout: expect.stringMatching(/^2\./), stderr: '' };
      expect(await vivarium(['run', 'script.py'], cwd)).toEqual(quiet);
      expect(await vivarium(['run', '--with', 'python-dateutil', '-c', code], cwd)).toEqual(quiet);
      expect(await vivarium(['run', '--auto', '-c', code], cwd)).toEqual({
        ...quiet,
        stderr: 'vivarium: --auto: python-dateutil (dateutil)\n',
      });
      const old = await vivarium(['run', 'old.py'], cwd);
      expect(old).toMatchObject({ code: 3, stdout: '' });
      expect(old.stderr).toMatch(
        /^vivarium: old\.py needs Python <3\.14, and here is Python 3\.14\.\d+; .*\n$/,
      );
      // What is in the cache needs nobody.
      expect(await vivarium(['run', '--offline', '--with', 'python-dateutil', '-c', code], cwd)).toEqual(
        quiet,
      );
    });

    test('a module that is missing: which package has it, and how to get it', async () => {
      const { code, stderr } = await vivarium(['run', '-c', 'import cv2'], temporaryFolder());
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /ModuleNotFoundError: No module named 'cv2'\nhint: cv2 is in the package opencv-python: /,
      );
    });

    test('installing while it runs: what the mirror holds, as the policy says', async () => {
      const cwd = temporaryFolder();
      const code = `%pip install six\n${printSix}`;
      expect(await vivarium(['run', '-c', code], cwd)).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(version),
      });
      const never = await vivarium(['run', '--install', 'never', '-c', code], cwd);
      expect([never.code, never.stderr]).toEqual([
        1,
        expect.stringContaining('installing is switched off here'),
      ]);
      const elsewhere = await vivarium(['run', '-c', '%pip install nosuchthing'], cwd);
      expect([elsewhere.code, elsewhere.stderr]).toEqual([
        1,
        expect.stringContaining('allow it with --install any'),
      ]);
    });

    const nowhere = { VIVARIUM_MIRROR: '/nowhere/at/all' };
    const empty = { VIVARIUM_MIRROR: '', VIVARIUM_CACHE_DIR: join(cacheDir, 'empty') };
    test.each([
      ['no such package', ['--with', 'nosuchthing'], {}, /no package nosuchthing/],
      [
        'no such package, offline',
        ['--with', 'nosuchthing', '--offline'],
        { PIP_NO_INDEX: '' },
        /nosuchthing is in no source .* offline/,
      ],
      [
        'no such version',
        ['--with', 'six>=99'],
        {},
        /no version of six that fits six>=99\. Pyodide's distribution has six /,
      ],
      [
        'no mirror',
        ['--with', 'six'],
        nowhere,
        /there is no mirror folder \/nowhere\/at\/all; .*VIVARIUM_MIRROR/,
      ],
      [
        'offline, and nothing in the cache',
        ['--with', 'six', '--offline'],
        empty,
        /--offline forbids to fetch it/,
      ],
      ['no requirement', ['--with', './six.whl'], {}, /is a path; put the wheel into a mirror folder/],
      ['no such image', ['--image', 'nobody'], {}, /no image called "nobody": known are stdlib, numpy/],
      ['no such lock', ['--lock', 'none.json'], {}, /none\.json can't be read: ENOENT/],
    ])('%s: one line, exit code 3', async (_, args, env, message) => {
      const { code, stdout, stderr } = await vivarium(['run', ...args, '-c', '1'], temporaryFolder(), env);
      expect(stderr).toMatch(message);
      expect(stderr).toMatch(/^vivarium: [^\n]*\n$/);
      expect([code, stdout]).toEqual([3, '']);
    });

    test('prune, and what doctor says of packages', async () => {
      const cwd = temporaryFolder();
      const pruned = JSON.parse((await vivarium(['image', 'prune', '--all', '--json'], cwd)).stdout);
      expect(pruned.removed.length).toBeGreaterThan(1);
      expect(JSON.parse((await vivarium(['image', 'ls', '--json'], cwd)).stdout)).toEqual([]);
      const rows = async (env: Record<string, string>) => {
        const { stdout, code } = await vivarium(['doctor', '--json'], cwd, env);
        return { code, checks: JSON.parse(stdout).checks };
      };
      expect((await rows({})).checks).toEqual(
        expect.arrayContaining([
          { name: 'mirror', ok: true, detail: expect.stringMatching(/ \(\d+ packages\)$/) },
          { name: 'packages', ok: true, detail: 'the mirror only' },
          { name: 'images', ok: true, detail: '0 (0 MB)' },
        ]),
      );
      expect(await rows(nowhere)).toMatchObject({
        code: 1,
        checks: expect.arrayContaining([expect.objectContaining({ name: 'mirror', ok: false })]),
      });
    });
  },
);

test('what excludes one another is a usage error', async () => {
  const cwd = temporaryFolder();
  const both = await start(['run', '--image', 'data', '--with', 'six', '-c', '1'], { cwd, env: noIndex });
  expect(both).toMatchObject({ code: 2, stderr: expect.stringContaining('it excludes --with') });
  expect((await start(['image', 'build'], { cwd, env: noIndex })).code).toBe(2);
  expect((await start(['lock'], { cwd, env: noIndex })).stderr).toContain(
    'no pyproject.toml and no requirements.txt',
  );
});
