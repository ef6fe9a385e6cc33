import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { temporaryFolder, vivarium } from './program.ts';

const examples = fileURLToPath(new URL('../../examples', import.meta.url));

test('runs a program: stdout is its own, byte for byte', async () => {
  const code =
    'import sys; print("a", end=""); sys.stdout.buffer.write(b"\\x00\\n"); print("b", file=sys.stderr); 42';
  expect(await vivarium(['run', '-c', code])).toEqual({ code: 0, stdout: 'a\0\n', stderr: 'b\n' });
});

test('the first command of the README', async () => {
  const cwd = temporaryFolder();
  const args = ['run', join(examples, 'report.py'), '--file', join(examples, 'sales.csv')];
  const { code, stdout, stderr } = await vivarium(args, { cwd });
  expect(stderr).toBe('vivarium: wrote summary.csv (251 bytes)\n');
  expect(stdout.split('\n')).toContain('North   Lantern    401   9734.50  +21.9%');
  expect(readFileSync(join(cwd, 'summary.csv'), 'utf8')).toContain('all,,1361,40553.40,');
  expect(readdirSync(cwd)).toEqual(['summary.csv']);
  expect(code).toBe(0);
});

describe('what is wrong with the program', () => {
  test('an exception: its traceback, exit code 1', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'bad.py'), 'def f():\n    return 1 / 0\n\nf()\n');
    const { code, stdout, stderr } = await vivarium(['run', 'bad.py'], { cwd: folder });
    expect(stderr.split('\n')).toEqual(
      expect.arrayContaining([
        'Traceback (most recent call last):',
        '  File "bad.py", line 4, in <module>',
        '  File "bad.py", line 2, in f',
        '    return 1 / 0',
        'ZeroDivisionError: division by zero',
      ]),
    );
    expect(stderr).not.toContain('_pyodide');
    expect([code, stdout]).toEqual([1, '']);
  });

  test('a syntax error: its place, with a caret', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'bad.py'), 'x = 1\ny = (x +\n');
    const { code, stderr } = await vivarium(['run', 'bad.py'], { cwd: folder });
    expect(stderr).toContain('File "bad.py", line 2');
    expect(stderr).toMatch(/\n {4}y = \(x \+\n {8}\^\n/);
    expect(stderr).toContain("SyntaxError: '(' was never closed");
    expect(code).toBe(1);
  });

  test.each([
    ['sys.exit(3)', 3, ''],
    ['sys.exit()', 0, ''],
    ['sys.exit("no luck")', 1, 'no luck\n'],
  ])('%s', async (end, code, stderr) => {
    expect(await vivarium(['run', '-c', `import sys; ${end}`])).toEqual({ code, stdout: '', stderr });
  });
});

describe('usage: one line and exit code 2', () => {
  test('a missing file, a folder, a file that is not UTF-8', async () => {
    const cwd = temporaryFolder();
    mkdirSync(join(cwd, 'folder'));
    writeFileSync(join(cwd, 'latin.py'), Buffer.from([0x70, 0xe9, 0x0a]));
    const ends = await Promise.all(
      ['none.py', 'folder', 'latin.py'].map((name) => vivarium(['run', name], { cwd })),
    );
    expect(ends).toEqual([
      { code: 2, stdout: '', stderr: 'vivarium: no such file: none.py\n' },
      { code: 2, stdout: '', stderr: 'vivarium: is a folder: folder\n' },
      { code: 2, stdout: '', stderr: 'vivarium: not UTF-8 text: latin.py\n' },
    ]);
  });

  test.each([
    [['run']],
    [['run', '-c', '1', 'a.py']],
    [['run', '-c', '1', '--timeout', 'soon']],
    [['run', '-c', '1', '--memory', '512']],
    [['run', '-c', '1', '--engine', 'fake']],
    [['run', '-c', '1', '--nonsense']],
    [['run', '-c', '1', '--env', 'A']],
    [['fly']],
    [[]],
  ])('%j', async (args) => {
    const { code, stdout, stderr } = await vivarium(args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).not.toBe('');
  });
});

describe('limits', () => {
  test('time: exit code 124', async () => {
    const { code, stdout, stderr } = await vivarium([
      'run',
      '--timeout',
      '300ms',
      '-c',
      'print(1)\nwhile True: pass',
    ]);
    expect([code, stdout]).toEqual([124, '1\n']);
    expect(stderr).toContain('vivarium: timeout: ');
  });

  test('memory: exit code 137', async () => {
    const { code, stderr } = await vivarium(['run', '--memory', '64mb', '-c', 'x = bytearray(2**28)']);
    expect(stderr).toContain('MemoryError');
    expect(code).toBe(137);
  });

  test('Ctrl-C: exit code 130, Python is interrupted first', async () => {
    // Inside the `try`, and when all of the line is there: an interrupt can part what `print` writes.
    const code = 'try:\n  print(1)\n  while True: pass\nfinally: print(2)';
    const ended = await vivarium(['run', '-c', code], {
      onStdout(text, program) {
        if (text === '1\n') program.interrupt();
      },
    });
    expect(ended).toMatchObject({ code: 130, stdout: '1\n2\n' });
    expect(ended.stderr).toContain('KeyboardInterrupt');
  });

  test('SIGTERM: exit code 143, Python is interrupted first', async () => {
    const code = 'try:\n  print(1)\n  while True: pass\nfinally: print(2)';
    const ended = await vivarium(['run', '-c', code], {
      onStdout(text, program) {
        if (text === '1\n') program.terminate();
      },
    });
    expect(ended).toMatchObject({ code: 143, stdout: '1\n2\n' });
    expect(ended.stderr).toContain('KeyboardInterrupt');
  });

  test('SIGTERM: code that ignores it is killed', async () => {
    const code = 'while True:\n  try:\n    print(1)\n    while True: pass\n  except KeyboardInterrupt: pass';
    const ended = await vivarium(['run', '-c', code], {
      onStdout(text, program) {
        if (text === '1\n') program.terminate();
      },
    });
    expect(ended.code).toBe(143);
  });

  test('a reader that went away ends the program quietly', async () => {
    const { code, stderr } = await vivarium(['run', '-c', 'while True: print("x" * 1000)'], {
      onStdout: (_, process) => process.closeStdout(),
    });
    expect([code, stderr]).toEqual([0, '']);
  });
});

describe('input', () => {
  test('arguments, environment and files', async () => {
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, 'a.txt'), 'A');
    const program =
      'import os, sys; print(sys.argv[1:], os.environ["K"], open("in/b.txt").read(), os.environ.get("HOME"))';
    const args = [
      'run',
      '-c',
      program,
      '--env',
      'K=V=1',
      '--file',
      'a.txt=in/b.txt',
      '--',
      '-c',
      '--file',
      'x',
    ];
    const { code, stdout, stderr } = await vivarium(args, { cwd });
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^\['-c', '--file', 'x'\] V=1 A /);
    expect(stdout).not.toContain(process.env.HOME);
    expect(code).toBe(0);
  });

  test('stdin: a pipe, a file, one that never ends and is not asked for', async () => {
    const reader = 'print(input(), input())';
    expect(await vivarium(['run', '-c', reader], { stdin: 'a\nß' })).toMatchObject({ stdout: 'a ß\n' });
    expect((await vivarium(['run', '-c', reader], { stdin: 'a' })).stderr).toContain('EOFError');
    expect(await vivarium(['run', '-c', 'print(1)'], { stdin: { open: true } })).toMatchObject({
      stdout: '1\n',
    });
    expect(await vivarium(['run', '-'], { stdin: 'print(2)' })).toMatchObject({ stdout: '2\n' });
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, 'in.txt'), 'from a file');
    const fd = openSync(join(cwd, 'in.txt'), 'r');
    const launcher = fileURLToPath(new URL('../../bin/vivarium.js', import.meta.url));
    const args = [launcher, 'run', '-c', 'import sys; print(sys.stdin.read())'];
    const { stdout } = spawnSync(process.execPath, args, {
      stdio: [fd, 'pipe', 'inherit'],
      encoding: 'utf8',
    });
    closeSync(fd);
    expect(stdout).toBe('from a file\n');
  });
});

describe('output', () => {
  test('--json: the execution as one document', async () => {
    const code = 'import sys\nprint("out")\nprint("err", file=sys.stderr)\n{"a": 2**70}';
    const { code: exit, stdout, stderr } = await vivarium(['run', '--json', '-c', code]);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({
      status: 'ok',
      text: `{'a': ${2n ** 70n}}`,
      value: { a: String(2n ** 70n) },
      files: [],
    });
    expect([document.logs.stdout.join(''), document.logs.stderr.join('')]).toEqual(['out\n', 'err\n']);
    expect([exit, stderr]).toEqual([0, '']);
  });

  test('--json: an exception is data too', async () => {
    const { code, stdout, stderr } = await vivarium(['run', '--json', '-c', '1 / 0']);
    expect(JSON.parse(stdout)).toMatchObject({
      status: 'error',
      error: { name: 'ZeroDivisionError', line: 1 },
    });
    expect([code, stderr]).toEqual([1, '']);
  });

  test('files come back into the current folder, where nothing is lost, or into --out', async () => {
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, 'mine.txt'), 'mine');
    const program =
      'import os; os.mkdir("d")\nfor p in ("mine.txt", "d/new.txt"): open(p, "w").write("theirs")';
    const here = await vivarium(['run', '-c', program], { cwd });
    expect(here.code).toBe(1);
    expect(here.stderr).toContain('vivarium: did not write mine.txt: mine.txt exists and differs');
    expect(readFileSync(join(cwd, 'mine.txt'), 'utf8')).toBe('mine');
    expect(readFileSync(join(cwd, 'd/new.txt'), 'utf8')).toBe('theirs');

    const there = await vivarium(['run', '--quiet', '--out', 'out', '-c', program], { cwd });
    expect(there).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(readFileSync(join(cwd, 'out/mine.txt'), 'utf8')).toBe('theirs');
  });
});

test.each([
  ['the node engine', ['--engine', 'node']],
  ['no image', ['--no-image']],
  ['a process for the run', ['--isolation', 'process']],
  ['state that stays', ['--isolation', 'none']],
])('%s gives the same', async (_, options) => {
  expect(await vivarium(['run', ...options, '-c', 'print(6 * 7)'])).toEqual({
    code: 0,
    stdout: '42\n',
    stderr: '',
  });
});

test('doctor', async () => {
  const { code, stdout } = await vivarium(['doctor', '--json']);
  const { ok, checks } = JSON.parse(stdout);
  expect(checks.map(({ name }: { name: string }) => name)).toEqual(
    expect.arrayContaining(['node', 'pyodide', 'deno']),
  );
  expect([ok, code]).toEqual([true, 0]);
});

test('doctor --security: attacks, or says why it could not', { timeout: 120_000 }, async () => {
  const without = await vivarium(['doctor', '--security'], { env: { VIVARIUM_DENO: '/no/such/deno' } });
  expect(without).toMatchObject({ code: 1, stdout: '' });
  expect(without.stderr).toContain('/no/such/deno');

  const { code, stdout } = await vivarium(['doctor', '--security', '--json']);
  const { ok, facts, probes } = JSON.parse(stdout);
  expect([...facts, ...probes].filter((each: { ok: boolean }) => !each.ok)).toStrictEqual([]);
  expect(facts.map(({ name }: { name: string }) => name)).toEqual(
    expect.arrayContaining(['deno', 'environment', 'permissions']),
  );
  expect(probes.length).toBeGreaterThan(15);
  expect([ok, code]).toStrictEqual([true, 0]);
});

test('help and version are answers, not errors', async () => {
  expect(await vivarium(['--help'])).toMatchObject({ code: 0, stderr: '' });
  expect((await vivarium(['run', '--help'])).stdout).toContain('Exit codes: 0 fine');
});

test.skipIf(!existsSync('/dev/full'))('a full disk behind stdout: one line, exit code 1', () => {
  const full = openSync('/dev/full', 'w');
  const { status, stderr } = spawnSync(
    process.execPath,
    [fileURLToPath(new URL('../../bin/vivarium.js', import.meta.url)), 'doctor', '--json'],
    { stdio: ['ignore', full, 'pipe'], encoding: 'utf8' },
  );
  closeSync(full);
  expect(stderr).toMatch(/^vivarium: cannot write to stdout: .*\n$/);
  expect(status).toBe(1);
});
