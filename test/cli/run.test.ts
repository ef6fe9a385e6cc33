import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type RunRequest, run } from '../../src/cli/run.ts';
import type { Execution, RunOptions } from '../../src/runtime.ts';
import { execution, fakeHost, type Script } from './fake-host.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vivarium-run-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const request = (changes: Partial<RunRequest> = {}): RunRequest => ({
  code: '1',
  argv: [],
  file: [],
  env: [],
  out: folder,
  progress: true,
  with: [],
  ...changes,
});

const raised = (name: string, value: string, traceback: string[] = []) => ({
  name,
  value,
  message: `${name}: ${value}`,
  traceback: traceback.length > 0 ? traceback : [`${name}: ${value}`],
  frames: traceback.length > 0 ? [{ file: 'a.py', line: 1, function: '<module>' }] : [],
});

describe('exit codes', () => {
  const cases: [string, Partial<Execution>, number, string][] = [
    ['fine', {}, 0, ''],
    ['sys.exit(0)', { exitCode: 0 }, 0, ''],
    ['sys.exit(3)', { status: 'error', exitCode: 3, error: raised('SystemExit', '3', ['no']) }, 3, ''],
    ['sys.exit(-1)', { status: 'error', exitCode: -1, error: raised('SystemExit', '-1') }, 255, ''],
    ['sys.exit("why")', { status: 'error', exitCode: 1, error: raised('SystemExit', 'why', ['T']) }, 1, ''],
    [
      'an exception',
      { status: 'error', error: raised('KeyError', "'a'", ['Traceback', 'x\n']) },
      1,
      'Traceback\nx\n',
    ],
    ['a time-out', { status: 'timeout', error: raised('Timeout', '5 s') }, 124, 'vivarium: timeout: 5 s\n'],
    ['Ctrl-C', { status: 'interrupted', error: raised('Interrupted', 'x', ['T']) }, 130, 'T\n'],
    ['Ctrl-C while booting', { status: 'interrupted', error: raised('Interrupted', 'x') }, 130, ''],
    [
      'out of memory',
      { status: 'oom', error: raised('MemoryError', '', ['T']) },
      137,
      'T\nvivarium: out of memory\n',
    ],
    [
      'a crash',
      { status: 'crashed', error: raised('WorkerCrashed', 'gone') },
      1,
      'vivarium: crashed: gone\n',
    ],
  ];
  test.each(cases)('%s', async (_, result, code, message) => {
    const { host, stderr, stdout, state } = fakeHost(() => execution(result));
    expect(await run(request(), host)).toBe(code);
    expect(stderr.text).toBe(message);
    expect(stdout.text).toBe('');
    expect(state.closed).toBe(true);
  });
});

test('passes on what was asked for', async () => {
  let seen: RunOptions = {};
  const { host } = fakeHost((_, options) => {
    seen = options;
    return execution();
  });
  const program = join(folder, 'a.py');
  writeFileSync(program, 'x');
  const { code: _, ...rest } = request({ argv: ['-x', 'y'], env: ['A=1'] });
  await run({ ...rest, program, file: [`${program}=lib/b.py`], isolation: 'process' }, host);
  expect(seen).toMatchObject({
    filename: program,
    argv: ['-x', 'y'],
    env: { A: '1' },
    files: { 'lib/b.py': Buffer.from('x') },
  });
});

test('output goes to its own stream as it comes, byte for byte', async () => {
  const { host, stdout, stderr } = fakeHost((_, { onStdout, onStderr }) => {
    onStdout?.('a', Uint8Array.of(0x61));
    onStderr?.('b', Uint8Array.of(0x62));
    return execution({ text: '42' });
  });
  await run(request(), host);
  expect([stdout.text, stderr.text]).toEqual(['a', 'b']);
});

test.each([
  [false, 'vivarium: no room\n'],
  [true, ''],
])('warnings of the runtime, once each (quiet: %s)', async (quiet, expected) => {
  const { host, stderr, tell } = fakeHost(() => {
    for (let n = 0; n < 2; n++) tell({ type: 'warning', message: 'no room' });
    return execution();
  });
  expect(await run(request({ quiet }), host)).toBe(0);
  expect(stderr.text).toBe(expected);
});

test('--json prints one document and nothing else', async () => {
  const { host, stdout, stderr } = fakeHost((_, { onStdout, onStderr }) => {
    onStdout?.('a', Uint8Array.of(0x61));
    onStderr?.('b', Uint8Array.of(0x62));
    const value = {
      big: 2n ** 70n,
      map: new Map([[1, new Set(['x'])]]),
      bytes: Uint8Array.of(1),
      nan: Number.NaN,
    };
    const error = raised('KeyError', "'a'", ['Traceback']);
    return execution({ status: 'error', value, error, logs: { stdout: ['a'], stderr: ['b'] } });
  });
  expect(await run(request({ json: true, quiet: true }), host)).toBe(1);
  expect(stderr.text).toBe('');
  expect(JSON.parse(stdout.text)).toMatchObject({
    status: 'error',
    value: { big: String(2n ** 70n), map: [[1, ['x']]], bytes: { $bytes: 'AQ==' }, nan: 'NaN' },
    error: { name: 'KeyError' },
    logs: { stdout: ['a'], stderr: ['b'] },
  });
});

test('files come back, and a file that cannot fails the run', async () => {
  const bytes = Buffer.from('new');
  const file = (path: string) => ({ id: path, path, mimeType: 'text/plain', size: 3, bytes });
  const { host, stderr } = fakeHost(() => execution({ files: [file('a/b.txt'), file('../c.txt')] }));
  expect(await run(request(), host)).toBe(1);
  expect(readFileSync(join(folder, 'a/b.txt'), 'utf8')).toBe('new');
  expect(stderr.text).toBe(
    `vivarium: wrote ${join(folder, 'a/b.txt')} (3 bytes)\n` +
      'vivarium: did not write ../c.txt: not a path below the folder\n',
  );
});

describe('stdin', () => {
  const stdinOf = async (
    code: string,
    stdin: Parameters<typeof fakeHost>[1],
    changes: Partial<RunRequest> = {},
  ) => {
    let seen: unknown;
    const { host } = fakeHost((_, options) => {
      seen = options.stdin;
      return execution();
    }, stdin);
    await run(request({ code, ...changes }), host);
    return seen;
  };

  test('a file or a pipe is read, only for a program that may want it', async () => {
    expect(await stdinOf('input()', { kind: 'file', text: 'x' })).toBe('x');
    expect(await stdinOf('1', { kind: 'file', text: '\0' })).toBe('');
    expect(await stdinOf('input()', { kind: 'stream', text: 'x' })).toBe('x');
    expect(await stdinOf('1', { kind: 'stream', text: 'x' })).toBe('');
    expect(await stdinOf('input()', { kind: 'terminal', text: 'x' })).toBe('');
  });

  test('a module that was passed in may want it too', async () => {
    const module = join(folder, 'lib.py');
    writeFileSync(module, 'import sys; sys.stdin.read()');
    expect(await stdinOf('import lib', { kind: 'stream', text: 'x' }, { file: [module] })).toBe('x');
  });

  test('- reads the program', async () => {
    let seen: unknown;
    const script: Script = (code, { stdin, filename }) => {
      seen = { code, stdin, filename };
      return execution();
    };
    const { host } = fakeHost(script, { kind: 'stream', text: 'input()' });
    const { code: _, ...rest } = request({ program: '-' });
    await run(rest, host);
    expect(seen).toEqual({ code: 'input()', stdin: '', filename: '<stdin>' });
  });
});

describe('Ctrl-C', () => {
  const started = () => {
    const { promise: running, resolve } = Promise.withResolvers<void>();
    const fake = fakeHost(async (_, { signal }) => {
      resolve();
      const interrupted = Promise.withResolvers<Execution>();
      signal?.addEventListener('abort', () => interrupted.resolve(execution({ status: 'interrupted' })));
      return interrupted.promise;
    });
    return { ...fake, running };
  };

  test('interrupts Python and waits for its end', async () => {
    const { host, running, pressCtrlC, listeners } = started();
    const ended = run(request(), host);
    await running;
    pressCtrlC();
    expect(await ended).toBe(130);
    expect(listeners.size).toBe(0);
  });

  test('SIGTERM does the same, and has an exit code of its own', async () => {
    const { host, running, terminate, listeners } = started();
    const ended = run(request(), host);
    await running;
    terminate();
    expect(await ended).toBe(143);
    expect(listeners.size).toBe(0);
  });

  test.each([
    ['Ctrl-C', 'SIGTERM', 143],
    ['SIGTERM', 'SIGTERM', 143],
    ['SIGTERM', 'Ctrl-C', 130],
  ])('%s and then %s ends it at once', async (first, second, code) => {
    const { promise: running, resolve } = Promise.withResolvers<void>();
    const { host, state, pressCtrlC, terminate } = fakeHost(() => {
      resolve();
      return new Promise(() => undefined);
    });
    const ended = run(request(), host);
    await running;
    for (const signal of [first, second]) (signal === 'SIGTERM' ? terminate : pressCtrlC)();
    expect(await ended).toBe(code);
    expect(state.closed).toBe(true);
  });

  test('the second one ends it at once', async () => {
    const { promise: running, resolve } = Promise.withResolvers<void>();
    const { host, state, pressCtrlC } = fakeHost(() => {
      resolve();
      return new Promise(() => undefined);
    });
    const ended = run(request(), host);
    await running;
    pressCtrlC();
    pressCtrlC();
    expect(await ended).toBe(130);
    expect(state.closed).toBe(true);
  });
});

test.each([
  ['a reader that has gone', 'EPIPE', 0],
  ['a full disk', 'ENOSPC', 1],
])('stdout of %s ends the run', async (_, errno, exit) => {
  const { host, stdout, stderr } = fakeHost(() => {
    stdout.destroy(Object.assign(new Error(errno), { code: errno }));
    return new Promise(() => undefined);
  });
  expect(await run(request(), host)).toBe(exit);
  expect(stderr.text).toBe('');
});

test('what the caller did wrong starts no runtime', async () => {
  const { host, state } = fakeHost(() => execution());
  const { code: _, ...rest } = request({ program: join(folder, 'none.py') });
  await expect(run(rest, host)).rejects.toMatchObject({ code: 'usage' });
  await expect(run(request({ env: ['A'] }), host)).rejects.toMatchObject({ code: 'usage' });
  await expect(run(request({ file: [folder] }), host)).rejects.toMatchObject({ code: 'usage' });
  expect(state).toEqual({ closed: false, runs: 0 });
});

test('a file that lies here but was not passed in gets a hint', async () => {
  const path = join(folder, 'data.csv');
  writeFileSync(path, '');
  const error = raised('FileNotFoundError', `[Errno 44] No such file or directory: '${path}'`);
  const { host, stderr } = fakeHost(() => execution({ status: 'error', error }));
  await run(request(), host);
  expect(stderr.text).toContain(`--file ${path}`);
});

describe('packages', () => {
  const asked = async (changes: Partial<RunRequest>) => {
    const { host, state, stderr } = fakeHost(() => execution());
    await run(request(changes), host);
    return { packages: state.packages, said: stderr.text };
  };
  const script = '# /// script\n# dependencies = ["six"]\n# ///\n';

  test('of --with, of the script and of its imports add up', async () => {
    expect(await asked({ code: '1' })).toEqual({ packages: [], said: '' });
    expect(await asked({ with: ['numpy,pandas>=3,<4', 'lxml'] })).toEqual({
      packages: ['numpy', 'pandas>=3,<4', 'lxml'],
      said: '',
    });
    expect((await asked({ code: script })).packages).toEqual(['six']);
    const helper = join(folder, 'helper.py');
    writeFileSync(helper, '');
    expect(await asked({ code: script, auto: true, with: ['NumPy<3'], file: [helper] })).toEqual({
      packages: ['NumPy<3', 'six', 'opencv-python'],
      said: 'vivarium: --auto: opencv-python (cv2), numpy\n',
    });
    expect((await asked({ auto: true, quiet: true })).said).toBe('');
  });

  test('an image or a lock says it all', async () => {
    expect((await asked({ code: script, lock: 'l.json' })).packages).toEqual([]);
    expect((await asked({ code: script, image: 'data' })).packages).toEqual([]);
    expect((await asked({ code: script, image: false })).packages).toEqual(['six']);
    for (const both of [
      { image: 'data', with: ['six'] },
      { image: 'data', auto: true },
      { image: 'data', lock: 'l.json' },
      { lock: 'l.json', with: ['six'] },
    ])
      await expect(asked(both)).rejects.toMatchObject({ code: 'usage' });
  });

  test('Ctrl-C while they are resolved ends it', async () => {
    const { host, pressCtrlC, state } = fakeHost(() => execution());
    const { promise: resolving, resolve } = Promise.withResolvers<void>();
    host.packagesOf = () => {
      resolve();
      return new Promise(() => undefined);
    };
    const ended = run(request({ auto: true }), host);
    await resolving;
    pressCtrlC();
    expect(await ended).toBe(130);
    expect(state.runs).toBe(0);
  });

  test('what would help with a missing module follows the traceback', async () => {
    const error = { ...raised('ModuleNotFoundError', "No module named 'six'", ['T']), hint: '--with six' };
    const { host, stderr } = fakeHost(() => execution({ status: 'error', error }));
    expect(await run(request(), host)).toBe(1);
    expect(stderr.text).toBe('T\nhint: --with six\n');
  });
});

test('figures come back as files, but not with --json', async () => {
  const figure = { data: { 'image/png': 'AQ==' }, metadata: {}, isMainResult: false };
  let figures: unknown;
  const script: Script = (_, options) => {
    figures = options.figures;
    return execution({ results: [figure] });
  };
  const { host, stderr } = fakeHost(script);
  expect(await run(request({ figures: 'svg' }), host)).toBe(0);
  expect(readFileSync(join(folder, 'figure-1.png'))).toEqual(Buffer.from([1]));
  expect([figures, stderr.text]).toEqual([
    'svg',
    `vivarium: wrote ${join(folder, 'figure-1.png')} (1 bytes)\n`,
  ]);
  rmSync(join(folder, 'figure-1.png'));
  const json = fakeHost(script);
  await run(request({ json: true }), json.host);
  expect(JSON.parse(json.stdout.text)).toMatchObject({ results: [figure], files: [] });
  expect(readdirSync(folder)).toEqual([]);
});
