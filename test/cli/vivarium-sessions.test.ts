import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Ended, temporaryFolder, type VivariumOptions, vivarium } from './program.ts';
import { inTerminalOf } from './terminal.ts';

/** The command line with a store and a history of the test's own. */
function subject() {
  const folder = temporaryFolder();
  const env = { XDG_DATA_HOME: folder, VIVARIUM_SESSION_STORE: join(folder, 'store') };
  const go = (args: readonly string[], options: VivariumOptions = {}): Promise<Ended> =>
    vivarium(args, { cwd: folder, env, ...options });
  return { folder, env, go };
}

const fine = (stdout: string, stderr = ''): Ended => ({ code: 0, stdout, stderr });

describe('sessions', () => {
  test('a generator goes on in another process; fork, export, import, rm', async () => {
    const { go, folder } = subject();
    const begin =
      'def counting():\n  n = 0\n  while True:\n    n += 1\n    yield n\nnumbers = counting()\nprint(next(numbers))';
    const more = 'print(next(numbers))';
    expect(await go(['run', '--session', 'notes', '-c', begin])).toEqual(fine('1\n'));
    expect(await go(['run', '-s', 'notes', '--no-create', '-c', more])).toEqual(fine('2\n'));
    expect(await go(['sessions', 'fork', 'notes', 'other'])).toMatchObject({ code: 0, stdout: '' });
    expect(await go(['run', '-s', 'other', '-c', more])).toEqual(fine('3\n'));
    const exported = await go(['sessions', 'export', 'notes', '-o', 'notes.session']);
    expect(exported).toMatchObject({ code: 0, stdout: '' });
    expect(await go(['sessions', 'import', 'notes.session', 'again'])).toMatchObject({ code: 0 });
    expect(await go(['run', '-s', 'again', '-c', more])).toEqual(fine('3\n'));
    const { stdout } = await go(['sessions', 'ls', '--json']);
    const seen = JSON.parse(stdout).map(({ id, revision, status }: Record<string, unknown>) => [
      id,
      revision,
      status,
    ]);
    expect(seen).toEqual([
      ['again', 2, 'frozen'],
      ['notes', 2, 'frozen'],
      ['other', 2, 'frozen'],
    ]);
    expect(await go(['sessions', 'rm', 'notes', 'again'])).toMatchObject({ code: 0, stdout: '' });
    expect((await go(['sessions', 'ls'])).stdout).toMatch(/^NAME .*\nother .*\n$/);
    expect(existsSync(join(folder, 'notes.session'))).toBe(true);
  });

  test('exit codes', async () => {
    const { go } = subject();
    const missing = await go(['run', '--session', 'nope', '--no-create', '-c', '1']);
    expect(missing).toEqual({ code: 4, stdout: '', stderr: "vivarium: there is no session 'nope'\n" });
    expect(await go(['sessions', 'show', 'nope'])).toMatchObject({ code: 4 });
    expect(await go(['sessions', 'rm', 'nope'])).toMatchObject({ code: 4 });
    expect(await go(['sessions', 'rm'])).toMatchObject({ code: 2 });
    expect(await go(['sessions'])).toMatchObject({ code: 2 });
    expect(await go(['run', '--session', 'a\nb', '-c', '1'])).toMatchObject({ code: 2, stdout: '' });
    expect((await go(['sessions', '--help'])).stdout).toContain('4 the session');
    expect((await go(['--help'])).stdout).toMatch(/ repl .*\n.* sessions /s);
  });

  test('a run that fails keeps what it did; functions of one run fail in another one with their own lines', async () => {
    const { go } = subject();
    expect(await go(['run', '-s', 'a', '-c', 'x = 1\ndef f():\n  return x / 0\n1 / 0'])).toMatchObject({
      code: 1,
    });
    const { code, stderr } = await go(['run', '-s', 'a', '-c', 'x = 2\nf()']);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /File "<cell 2>", line 2, in <module>\n +f\(\)\n.*File "<cell 1>", line 3, in f\n +return x \/ 0\n/s,
    );
  });
});

describe('repl, fed by a pipe', () => {
  test('runs a script as a prompt would, and ends as its last line', async () => {
    const { go } = subject();
    const script = [
      'x = 20',
      'for i in range(2):',
      '    x += i',
      '',
      '    x += 0',
      'else:',
      '    print("done")',
      'x * 2',
      '_ + 1',
      'f"""',
      'a {x}',
      '"""',
      'import asyncio; await asyncio.sleep(0, "slept")',
      'input()',
      '1 / 0',
    ].join('\n');
    const { code, stdout, stderr } = await go(['repl'], { stdin: script });
    expect(stdout).toBe("done\n42\n43\n'\\na 21\\n'\n'slept'\n");
    expect(stderr).toMatch(/EOFError.*ZeroDivisionError: division by zero\n$/s);
    expect(code).toBe(1);
  });

  test('leaves nothing without a name, and everything with one', async () => {
    const { go, folder } = subject();
    expect(
      await go(['repl', '--session', 'notes'], { stdin: 'x = 6\nimport sys; sys.exit(3)' }),
    ).toMatchObject({ code: 3 });
    expect(await go(['repl', '-s', 'notes'], { stdin: 'x * 7' })).toEqual(fine('42\n'));
    expect(existsSync(join(folder, 'vivarium', 'repl_history'))).toBe(false);
    const other = subject();
    expect(await other.go(['repl'], { stdin: '6 * 7' })).toEqual(fine('42\n'));
    expect(existsSync(join(other.folder, 'store'))).toBe(false);
  });

  test('Ctrl-C and SIGTERM', async () => {
    const { go } = subject();
    const stdin = 'print(1)\nwhile True: pass\n\nprint(2)';
    const interrupted = await go(['repl', '-s', 'a'], {
      stdin: 'try:\n  print(1)\n  while True: pass\nfinally: print(2)\n\nprint(3)',
      onStdout: (text, program) => text === '1\n' && program.interrupt(),
    });
    expect(interrupted).toMatchObject({ code: 130, stdout: '1\n2\n' });
    const ended = await go(['repl', '-s', 'a'], {
      stdin,
      onStdout: (text, program) => text === '1\n' && program.terminate(),
    });
    expect(ended).toMatchObject({ code: 143, stdout: '1\n' });
    // It was let go of.
    expect(await go(['repl', '-s', 'a'], { stdin: '5' })).toEqual(fine('5\n'));
  });
});

describe('repl, in a terminal', () => {
  test('a session as people have it', async () => {
    const { env, folder, go } = subject();
    const { type, shows, ended } = inTerminalOf(['repl', '--session', 'notes'], env);
    expect(await shows('>>> ')).toMatch(/Python 3\.\d+\.\d+ in Vivarium .*Session notes, revision 0\./s);

    // Values, the last one, several lines, an empty line.
    type('6 * 7\r');
    await shows('\r\n42\r\n');
    await shows('>>> ');
    type('_ + 1\r');
    await shows('\r\n43\r\n');
    await shows('>>> ');
    type('for i in range(2):\r');
    await shows('... ');
    type('    print("line", i)\r');
    await shows('... ');
    type('\r');
    await shows('line 0\r\nline 1\r\n');
    await shows('>>> ');

    // A paste, with an empty line within the function.
    type('def f():\r    x = 1\r\r    return x + 1\r\rf()\r');
    await shows('\r\n2\r\n');
    await shows('>>> ');

    // Tab: names of the session, attributes, modules.
    type('something = []\r');
    await shows('>>> ');
    type('somet\t');
    await shows('something');
    type('.appe\t');
    await shows('append(');
    type('5); something\r');
    await shows('[5]');
    await shows('>>> ');

    // An exception, in colour.
    type('1 / 0\r');
    await shows('\u001b[1m\u001b[35mZeroDivisionError\u001b[39m');
    await shows('>>> ');

    // Ctrl-C: at the prompt, and while Python computes.
    type('abandoned');
    await shows('abandoned');
    type('\x03');
    await shows('KeyboardInterrupt');
    await shows('>>> ');
    type('print("started")\r');
    await shows('\r\nstarted\r\n');
    await shows('>>> ');
    type('while True: x = print("on") if not globals().get("x") else 1; x = 1\r');
    await shows('... ');
    type('\r');
    await shows('\r\non\r\n');
    type('\x03');
    await shows('KeyboardInterrupt');
    await shows('>>> ');
    type('something\r');
    await shows('[5]');
    await shows('>>> ');

    // Output without an end of line, magics.
    type('print("no end", end="")\r');
    await shows(/\r\nno end\r\n.*>>> /s);
    type('open("a.txt", "w").write("hello")\r');
    await shows('>>> ');
    type('%files\r');
    await shows(/a\.txt +5 bytes/);
    await shows('>>> ');
    type('\x04');
    expect(await ended).toBe(0);

    // It's there for another prompt, with the lines of this one.
    const history = readFileSync(join(folder, 'vivarium', 'repl_history'), 'utf8');
    expect(history).toContain('6 * 7\n_ + 1\nfor i in range(2):\n    print("line", i)\n');
    expect(history).not.toContain('abandoned');
    const second = inTerminalOf(['repl', '--session', 'notes', '--no-create'], { ...env, NO_COLOR: '1' });
    expect(await second.shows('>>> ')).toMatch(/Session notes, revision \d\d/);
    second.type('\x1b[A\x1b[A\r');
    await second.shows('\r\n5\r\n');
    await second.shows('>>> ');
    second.type('f(), something, 1 / 0\r');
    await second.shows('\r\nZeroDivisionError: division by zero\r\n');
    await second.shows('>>> ');
    second.type('exit\r');
    expect(await second.ended).toBe(0);
    expect(await go(['run', '-s', 'notes', '-c', 'print(f(), something)'])).toEqual(fine('2 [5]\n'));
  });

  test('sys.exit, figures of pictures, files of this machine', async () => {
    const { env, folder } = subject();
    writeFileSync(join(folder, 'in.txt'), 'from outside');
    const { type, shows, ended } = inTerminalOf(['repl', '-q'], env);
    expect(await shows('>>> ')).not.toContain('Vivarium');
    type(`%load ${join(folder, 'in.txt')}\r`);
    await shows('>>> ');
    type('open("in.txt").read()\r');
    await shows("'from outside'");
    await shows('>>> ');
    type('display("shown")\r');
    await shows("'shown'");
    await shows('>>> ');
    type('import sys; sys.exit("bye")\r');
    await shows('\r\nbye\r\n');
    expect(await ended).toBe(1);
  });
});
