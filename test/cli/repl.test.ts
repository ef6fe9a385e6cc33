import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { LineSource } from '../../src/cli/lines.ts';
import { SessionError, WorkerError } from '../../src/errors/errors.ts';
import type { RuntimeEvent } from '../../src/runtime.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { createFakeRuntime, FakeClock, type FakeRun } from '../../src/testing.ts';
import { FaultyStore } from '../sessions/subject.ts';
import { temporaryFolder } from './program.ts';
import { pythonLike, startRepl } from './repl-subject.ts';

/** What comes back is written there. */
function inFolder(): string {
  const folder = temporaryFolder();
  const before = process.cwd();
  process.chdir(folder);
  onTestFinished(() => process.chdir(before));
  return folder;
}

test('runs what a pipe has, one by one, without prompts', async () => {
  const { done, codes, stdout, stderr } = startRepl({
    text: 'a\nf(\n1)\nfor x:\n  b\n\nc',
    run: ({ code, message }) => ({ stdout: `<${code}>\n`, stderr: `${message.purpose} ` }),
  });
  expect(await done).toBe(0);
  expect(codes).toEqual(['a', 'f(\n1)', 'for x:\n  b\n', 'c']);
  expect(stdout.text).toBe('<a>\n<f(\n1)>\n<for x:\n  b\n>\n<c>\n');
  expect(stderr.text).toBe('prompt '.repeat(4));
});

test.each([
  ['the last line counts', 'bad\ngood', 0],
  ['an exception', 'good\nbad', 1],
  ['a magic', 'good\n%nothing', 2],
  ['sys.exit ends it', 'exits\ngood', 7],
  ['exit', 'good\nexit()\nbad', 0],
  ['quit', 'quit\nbad', 0],
  ['what is refused', 'good\n%rollback nowhere', 2],
])('the exit code: %s', async (_, text, code) => {
  const { done } = startRepl({
    text,
    run: ({ code }) => {
      if (code === 'bad') return { error: { name: 'ValueError', value: 'no' } };
      return code === 'exits' ? { error: { name: 'SystemExit', value: '7' }, exitCode: 7 } : {};
    },
  });
  expect(await done).toBe(code);
});

test('nothing at all', async () => {
  const { done, codes, stdout, stderr } = startRepl({ text: '' });
  expect([await done, codes, stdout.text, stderr.text]).toEqual([0, [], '', '']);
});

test('what was asked for reaches Python', async () => {
  const folder = inFolder();
  writeFileSync('a.txt', 'A');
  const seen: FakeRun[] = [];
  const { done } = startRepl({
    request: { file: [`${join(folder, 'a.txt')}=in/a.txt`], env: ['K=V'], timeout: 1500, figures: 'svg' },
    text: 'a',
    run: (run) => {
      seen.push(run);
      return {};
    },
  });
  expect(await done).toBe(0);
  expect(seen).toMatchObject([{ message: { env: { K: 'V' }, figures: 'svg', limits: { timeoutMs: 1500 } } }]);
  expect(String(seen[0]?.state.files.get('/home/pyodide/in/a.txt')?.bytes)).toBe('A');
});

test('nothing limits how long a line may take', async () => {
  let timeoutMs: number | undefined;
  const { done } = startRepl({
    text: 'a',
    run: ({ message }) => {
      ({ timeoutMs } = message.limits);
      return {};
    },
  });
  expect([await done, timeoutMs]).toEqual([0, 0]);
  const usual = startRepl({
    text: 'a',
    host: { timeoutMs: undefined },
    run: ({ message }) => {
      ({ timeoutMs } = message.limits);
      return {};
    },
  });
  expect([await usual.done, timeoutMs]).toEqual([0, 60_000]);
});

test('the session: its name, image and packages', async () => {
  let seen: unknown;
  const request = { session: 'notes', image: 'data' };
  const { done } = startRepl({
    request,
    text: 'a',
    run: ({ image }) => {
      seen = image;
      return {};
    },
  });
  expect([await done, seen]).toEqual([0, 'data']);
  const missing = startRepl({ request: { session: 'notes', create: false }, text: 'a' });
  await expect(missing.done).rejects.toMatchObject({ code: 'session_not_found' });
  expect(missing.codes).toEqual([]);
});

test.each([
  [{ create: false }, '--no-create'],
  [{ session: 'a', isolation: 'process' as const }, '--isolation'],
  [{ session: 'a', image: false }, 'needs an image'],
  [{ image: 'data', with: ['numpy'] }, '--image'],
])('flags that exclude one another: %j', async (request, message) => {
  await expect(startRepl({ request, text: 'a' }).done).rejects.toMatchObject({
    code: 'usage',
    message: expect.stringContaining(message),
  });
});

test('a session is let go of: the next prompt has it', async () => {
  const store = new FaultyStore(new MemoryStore());
  const fake = { store: async () => store };
  const run = ({ state, code }: { state: { values: Map<string, unknown> }; code: string }) => {
    if (code === 'set') state.values.set('x', 'kept');
    return { stdout: String(state.values.get('x')) };
  };
  const request = { session: 'notes' };
  expect(await startRepl({ request, text: 'set', run, fake }).done).toBe(0);
  const again = startRepl({ request, text: 'get', run, fake });
  expect([await again.done, again.stdout.text]).toEqual([0, 'kept']);
  expect(await store.record({ tenant: '', id: 'notes' })).toMatchObject({ leasedBy: undefined });
});

test('what goes wrong with the session is told, and the prompt goes on', async () => {
  const { done, stderr, stdout } = startRepl({
    request: { session: 'notes' },
    text: 'a\nsocket\nb',
    run: ({ code, state }) => {
      if (code === 'socket') state.obstacles.add('a socket');
      return { stdout: `${code}.` };
    },
  });
  expect(await done).toBe(0);
  expect(stdout.text).toBe('a.socket.b.');
  expect(stderr.text).toMatch(/^vivarium: .*a socket/);
});

test('a worker that can’t be had ends it', async () => {
  const { done } = startRepl({
    text: 'a',
    fake: { boot: () => ({ error: new WorkerError('boot_failed', 'no deno') }) },
  });
  await expect(done).rejects.toThrow('no deno');
});

test('displays: text is shown, pictures are kept under names that are free', async () => {
  const folder = inFolder();
  writeFileSync('figure-1.png', 'mine');
  const png = Buffer.from('png').toString('base64');
  const { done, stdout, stderr } = startRepl({
    text: 'a\nb',
    run: () => ({
      displays: [
        { data: { 'text/plain': 'shown' }, metadata: {} },
        { data: { 'text/plain': 'Figure', 'image/png': png }, metadata: {} },
      ],
    }),
  });
  expect(await done).toBe(0);
  expect(stdout.text).toBe('shown\nshown\n');
  expect(stderr.text).toBe(
    'vivarium: wrote figure-2.png (3 bytes)\nvivarium: wrote figure-3.png (3 bytes)\n',
  );
  expect(readFileSync(join(folder, 'figure-1.png'), 'utf8')).toBe('mine');
  expect(readFileSync(join(folder, 'figure-3.png'), 'utf8')).toBe('png');
});

test('Ctrl-C interrupts Python; a pipe is over then', async () => {
  const subject = startRepl({
    text: 'a\nhang\nb',
    run: ({ code }) => (code === 'hang' ? { delayMs: Infinity } : {}),
  });
  await vi.waitFor(() => expect(subject.codes).toEqual(['a', 'hang']));
  subject.pressCtrlC();
  expect(await subject.done).toBe(130);
  expect(subject.codes).toEqual(['a', 'hang']);
});

test('Ctrl-C while nothing runs ends a pipe', async () => {
  const subject = startRepl({});
  subject.input.write('a\n');
  await vi.waitFor(() => expect(subject.codes).toEqual(['a']));
  subject.pressCtrlC();
  expect(await subject.done).toBe(130);
});

test('SIGTERM: Python is interrupted, the session is let go of', async () => {
  const store = new FaultyStore(new MemoryStore());
  const subject = startRepl({
    request: { session: 'notes' },
    text: 'hang\n',
    run: () => ({ delayMs: Infinity }),
    fake: { store: async () => store },
  });
  await vi.waitFor(() => expect(subject.codes).toEqual(['hang']));
  subject.terminate();
  expect(await subject.done).toBe(143);
  expect(await store.record({ tenant: '', id: 'notes' })).toMatchObject({ leasedBy: undefined });
});

test('a reader that went away ends it', async () => {
  const subject = startRepl({ text: 'a\n', run: () => ({ delayMs: Infinity }) });
  await vi.waitFor(() => expect(subject.codes).toEqual(['a']));
  (subject.stdout as unknown as NodeJS.WritableStream).emit(
    'error',
    Object.assign(new Error('gone'), { code: 'EPIPE' }),
  );
  expect(await subject.done).toBe(0);
});

// ---- at a terminal ---------------------------------------------------------------------------------------------------

/** Typed when it's asked for. */
function typist() {
  const prompts: string[] = [];
  const told: string[] = [];
  let give: ((line: Awaited<ReturnType<LineSource['next']>>) => void) | undefined;
  const source: LineSource = {
    next(prompt) {
      prompts.push(prompt);
      return new Promise((resolve) => {
        give = resolve;
      });
    },
    peek: async () => undefined,
    drop: () => told.push('drop'),
    rest: () => told.push('rest') > 0,
    close: () => told.push('close'),
  };
  const asked = () => vi.waitFor(() => expect(give).toBeDefined());
  const type = async (text: string | undefined) => {
    await asked();
    const answer = give;
    give = undefined;
    answer?.(text === undefined ? { kind: 'end' } : { kind: 'line', text });
  };
  const terminal = { interactive: true, stdoutIsTerminal: true, stderrIsTerminal: true };
  return { host: { ...terminal, openLines: () => source }, type, asked, prompts, told };
}

test('greets, and says which session it is', async () => {
  const { host, type } = typist();
  const { done, stderr } = startRepl({ host });
  await type(undefined);
  expect(await done).toBe(0);
  expect(stderr.text).toContain(
    'Python 3.99.1 in Vivarium 1.2.3 (Pyodide 9.9.9), image stdlib. The session ends with it',
  );

  const named = typist();
  const second = startRepl({ host: named.host, request: { session: 'no\u001btes' } });
  await expect(second.done).rejects.toMatchObject({ code: 'usage' });
  const third = startRepl({ host: named.host, request: { session: 'notes' } });
  await named.type('exit');
  await third.done;
  expect(third.stderr.text).toContain('Session notes, revision 0.');

  const quiet = typist();
  const fourth = startRepl({ host: quiet.host, request: { quiet: true } });
  await quiet.type('exit');
  await fourth.done;
  expect(fourth.stderr.text).toBe('');
});

test('a prompt begins a line, and the terminal is Python’s meanwhile', async () => {
  const { host, type, told, asked } = typist();
  const { done, stdout, stderr } = startRepl({
    host,
    request: { quiet: true },
    run: ({ code }) => ({ [code === 'err' ? 'stderr' : 'stdout']: code }),
  });
  await type('out');
  await type('err');
  await type('line');
  await asked();
  expect([stdout.text, stderr.text]).toEqual(['outline', '\nerr\n\n']);
  expect(told).toEqual(['rest', 'rest', 'rest']);
  await type(undefined);
  // As Python's prompt: what was wrong in between was told.
  expect(await done).toBe(0);
  expect(told.at(-1)).toBe('close');
});

test('Ctrl-C interrupts Python, else it drops the line', async () => {
  const { host, type, told, asked } = typist();
  const subject = startRepl({
    host,
    run: ({ code }) => (code === 'hang' ? { delayMs: Infinity } : {}),
  });
  await type('hang');
  await vi.waitFor(() => expect(subject.codes).toEqual(['hang']));
  subject.pressCtrlC();
  await asked();
  subject.pressCtrlC();
  expect(told).toEqual(['rest', 'drop']);
  await type('next');
  await asked();
  expect(subject.codes).toEqual(['hang', 'next']);
  await type(undefined);
  expect(await subject.done).toBe(0);
});

test('a prompt while Python boots, when that is all there is to wait for', async () => {
  const { host, type, prompts } = typist();
  const booting = Promise.withResolvers<void>();
  const run = vi.fn(() => ({}));
  const clock = new FakeClock();
  const runtime = createFakeRuntime({
    run: pythonLike(run),
    clock,
    boot: () => {
      booting.resolve();
      return { delayMs: 1000 };
    },
  });
  const tell: ((event: RuntimeEvent) => void)[] = [];
  const subscribe = runtime.subscribe.bind(runtime);
  runtime.subscribe = (listener) => {
    tell.push(listener);
    return subscribe(listener);
  };
  const { done } = startRepl({ host: { ...host, createRuntime: async () => runtime } });
  await booting.promise;
  expect(prompts).toEqual([]);
  const progress = { stage: 'assets', done: 0, total: 0, message: 'reading the runtime' };
  for (const listener of tell) listener({ type: 'progress', progress });
  await type('a');
  expect(run).not.toHaveBeenCalled();
  clock.advance(1000);
  await vi.waitFor(() => expect(run).toHaveBeenCalledTimes(1));
  await type(undefined);
  expect(await done).toBe(0);
});

test('Ctrl-C before Python is there gives up', async () => {
  const { host } = typist();
  const booting = Promise.withResolvers<void>();
  const subject = startRepl({
    host,
    fake: {
      boot: () => {
        booting.resolve();
        return { delayMs: Infinity };
      },
    },
  });
  await booting.promise;
  subject.pressCtrlC();
  expect(await subject.done).toBe(130);
});

test('Tab asks Python, or knows the magics', async () => {
  const { host, type } = typist();
  let completer: ((line: string) => Promise<{ word: string; matches: readonly string[] }>) | undefined;
  const source = host.openLines();
  const subject = startRepl({
    host: {
      ...host,
      openLines: (given) => {
        completer = given;
        return source;
      },
    },
  });
  await vi.waitFor(() => expect(completer).toBeDefined());
  expect(await completer?.('x.ap')).toEqual({ word: 'x.ap', matches: ['x.aps'] });
  expect(await completer?.('%re')).toEqual({ word: '%re', matches: ['%reset'] });
  expect(subject.codes).toEqual([]);
  await type(undefined);
  await subject.done;
});

// ---- magics ------------------------------------------------------------------------------------------------------------

test('files go in and out', async () => {
  const folder = inFolder();
  writeFileSync('in.txt', 'in');
  writeFileSync('taken.txt', 'mine');
  const lines = [
    '%files',
    '%load in.txt',
    '%load "in.txt" sub/other.txt',
    '%files',
    '%files sub',
    '%save in.txt',
    '%save in.txt taken.txt',
    '%save sub/other.txt .hidden',
    '%load nowhere.txt',
    '%save nowhere.txt',
    '%load',
  ];
  const { done, stdout, stderr } = startRepl({ text: lines.join('\n') });
  expect(await done).toBe(2);
  expect(stdout.text).toMatch(/^FILE +SIZE +CHANGED\nin\.txt +2 bytes .*\nsub\/other\.txt +2 bytes/);
  expect(stdout.text.match(/sub\/other\.txt/g)).toHaveLength(2);
  expect(stderr.text.split('\n')).toEqual([
    'vivarium: no files',
    'vivarium: loaded in.txt (2 bytes)',
    'vivarium: loaded sub/other.txt (2 bytes)',
    'vivarium: unchanged in.txt (2 bytes)',
    'vivarium: wrote taken.txt (2 bytes)',
    'vivarium: wrote .hidden (2 bytes)',
    'vivarium: no such file: nowhere.txt',
    expect.stringContaining('nowhere.txt'),
    'vivarium: say %load PATH [NAME]',
    '',
  ]);
  expect(readFileSync(join(folder, 'taken.txt'), 'utf8')).toBe('in');
});

test('nothing of this machine is replaced unless it’s named', async () => {
  inFolder();
  writeFileSync('in.txt', 'in');
  writeFileSync('a.txt', 'mine');
  const { done, stderr } = startRepl({ text: '%load in.txt a.txt\n%save a.txt' });
  expect(await done).toBe(2);
  expect(stderr.text).toContain('a.txt exists and differs (%save NAME PATH replaces it)');
  expect(readFileSync('a.txt', 'utf8')).toBe('mine');
});

test('checkpoints and back', async () => {
  const run = ({ code, state }: { code: string; state: { values: Map<string, unknown> } }) => {
    if (code.startsWith('set')) state.values.set('x', code.slice(4));
    return { stdout: `${state.values.get('x') ?? 'nothing'}\n` };
  };
  const lines = [
    '%rollback',
    'set 1',
    '%checkpoint one',
    'set 2',
    '%rollback one',
    'get',
    '%checkpoint',
    '%rollback',
    '%reset',
    'get',
  ];
  const { done, stdout, stderr } = startRepl({ text: lines.join('\n'), run });
  expect(await done).toBe(0);
  expect(stdout.text.split('\n')).toEqual([
    '1',
    '2',
    '1',
    expect.stringMatching(/^CHECKPOINT +REVISION +MADE$/),
    expect.stringMatching(/^one +1 +just now$/),
    expect.stringMatching(/^r\d+ +\d+ +just now$/),
    'nothing',
    '',
  ]);
  expect(stderr.text).toMatch(
    /^vivarium: no checkpoints\nvivarium: checkpoint one \(revision 1\)\nvivarium: back at one, as revision \d\n/,
  );
});

test('what was entered, how long it took, and what there is', async () => {
  const lines = [
    'a',
    'f(\n1)',
    '%history',
    '%history 1',
    '%history x',
    '%time b',
    '%help',
    '%pip install c',
    '%toString',
  ];
  const { done, stdout, stderr, codes } = startRepl({ text: lines.join('\n') });
  expect(await done).toBe(2);
  expect(stdout.text).toMatch(/^a\nf\(\n1\)\n%history\n%history 1\n%files /);
  expect(stdout.text).toContain('%pip install PACKAGE');
  expect(codes).toEqual(['a', 'f(\n1)', 'b', '%pip install c']);
  expect(stderr.text).toMatch(
    /^vivarium: not a number: x\nvivarium: [\d.]+ ms, [\d.]+ ms of it computing\nvivarium: there is no %toString: .*\n$/,
  );
});

test('quiet: only what was asked for, and errors', async () => {
  inFolder();
  writeFileSync('in.txt', 'in');
  const { done, stderr } = startRepl({
    request: { quiet: true },
    text: '%load in.txt\n%save in.txt out.txt\n%files x y',
  });
  expect(await done).toBe(2);
  expect(stderr.text).toBe('vivarium: say %files [FOLDER]\n');
  expect(existsSync('out.txt')).toBe(true);
});

test('a session that another build of its image made can be reset', async () => {
  const store = new FaultyStore(new MemoryStore());
  const request = { session: 'notes' };
  const first = startRepl({
    request,
    text: 'x = 1',
    run: ({ state }) => {
      state.values.set('x', '1');
      return {};
    },
    fake: { store: async () => store },
  });
  expect(await first.done).toBe(0);
  const error = new SessionError('session_image', 'another build of the image');
  const work = ({ what }: { what: string }) => (what === 'thaw' ? { error } : {});
  const { done, codes, stderr } = startRepl({
    request,
    text: '%reset\ny = 2',
    fake: { store: async () => store, work },
  });
  expect(await done).toBe(0);
  expect(stderr.text).toContain('%reset at the prompt');
  expect(codes).toEqual(['y = 2']);
});
