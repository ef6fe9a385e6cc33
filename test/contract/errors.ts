import { describe, expect, it } from 'vitest';
import { LimitError, PythonError } from '../../src/errors/errors.ts';
import type { PythonErrorInfo } from '../../src/runtime.ts';
import { ok, py, type Subject } from './subject.ts';

async function failure(subject: Subject, ...args: Parameters<Subject['run']>): Promise<PythonErrorInfo> {
  const execution = await subject.run(...args);
  expect(execution.status).toBe('error');
  if (execution.error === undefined) throw new Error('an error must be described');
  return execution.error;
}

export function errors(subject: Subject): void {
  it('returns what Python raised, with its user frames as data', async () => {
    const error = await failure(
      subject,
      py`
        def half(n):
            return n / (n - n)

        half(4)
      `,
    );
    expect(error).toMatchObject({
      name: 'ZeroDivisionError',
      value: 'division by zero',
      message: 'ZeroDivisionError: division by zero',
      line: 2,
    });
    expect(error.frames).toMatchObject([
      {
        file: '<run>',
        line: 4,
        column: 1,
        endLine: 4,
        endColumn: 8,
        function: '<module>',
        source: 'half(4)',
      },
      { file: '<run>', line: 2, column: 12, function: 'half', source: '    return n / (n - n)' },
    ]);
    const text = error.traceback.join('\n');
    expect(text).toMatch(/^Traceback \(most recent call last\):/);
    expect(text).toContain('File "<run>", line 4, in <module>');
    expect(text).toContain('^');
    expect(text.trimEnd()).toMatch(/ZeroDivisionError: division by zero$/);
  });

  it('shows frames of user files, with their source, and none of ours', async () => {
    const error = await failure(subject, 'import helper\nhelper.fail({"key": 1})', {
      files: { 'helper.py': 'def fail(data):\n    return data["missing"]\n' },
      filename: 'main.py',
    });
    expect(
      error.frames.map((frame) => [frame.file.split('/').at(-1), frame.line, frame.source]),
    ).toStrictEqual([
      ['main.py', 2, 'helper.fail({"key": 1})'],
      ['helper.py', 2, '    return data["missing"]'],
    ]);
  });

  it.each([
    ['synchronous', '1/0'],
    ['with top-level await', 'import asyncio\nawait asyncio.sleep(0)\n1/0'],
    ['inside a task', 'import asyncio\nasync def f():\n    1/0\nawait asyncio.gather(f())'],
  ])('has no frame of the harness: %s', async (_, code) => {
    const error = await failure(subject, code);
    expect(error.frames.length).toBeGreaterThan(0);
    expect(error.frames.every((frame) => frame.file === '<run>')).toBe(true);
    expect(error.traceback.join('\n')).not.toMatch(/pyodide|vivarium/i);
  });

  it.each([
    ['an unfinished call', 'x = 1\nprint("a"', 2, 6],
    ['a stray character', 'x = 1 +* 2', 1, 8],
    ['an indentation', 'if True:\nprint(1)', 2, 1],
    ['await in a function', 'def f():\n    await x', 2, 5],
  ])('gives the place of a syntax error: %s', async (_, code, line, column) => {
    const error = await failure(subject, code);
    expect(error.name).toMatch(/^(SyntaxError|IndentationError)$/);
    expect({ line: error.line, column: error.column }).toStrictEqual({ line, column });
    expect(error.traceback.join('\n')).toContain('^');
    expect(error.traceback.join('\n')).toContain('File "<run>"');
  });

  it('refuses source with a NUL as a syntax error', async () => {
    expect((await failure(subject, 'x = 1\0')).name).toMatch(/SyntaxError|ValueError/);
  });

  it('tells the chain of causes', async () => {
    const error = await failure(
      subject,
      py`
        try:
            int("x")
        except ValueError as e:
            raise LookupError("outer") from e
      `,
    );
    expect(error.message).toBe('LookupError: outer');
    const text = error.traceback.join('\n');
    expect(text).toContain("ValueError: invalid literal for int() with base 10: 'x'");
    expect(text).toContain('The above exception was the direct cause of the following exception');
  });

  it('tells a group and its notes', async () => {
    const error = await failure(
      subject,
      'e = ExceptionGroup("several", [ValueError("one"), TypeError("two")])\ne.add_note("a note")\nraise e',
    );
    expect(error.name).toBe('ExceptionGroup');
    const text = error.traceback.join('\n');
    for (const part of ['ValueError: one', 'TypeError: two', 'a note']) expect(text).toContain(part);
  });

  it('survives an exception that can not be printed', async () => {
    const error = await failure(
      subject,
      py`
        class Mean(Exception):
            def __str__(self):
                raise RuntimeError("no text for you")

        raise Mean()
      `,
    );
    expect(error.name).toBe('Mean');
  });

  it('bounds an exception with a huge text', async () => {
    const execution = await subject.run('raise ValueError("x" * 30_000_000)');
    expect(execution.status).toBe('error');
    expect(execution.error?.name).toBe('ValueError');
    expect(execution.error?.value.length).toBeLessThan(30_000_000);
  });

  it.each([
    ['KeyboardInterrupt', 'raise KeyboardInterrupt'],
    ['GeneratorExit', 'raise GeneratorExit'],
    ['CancelledError', 'import asyncio\nraise asyncio.CancelledError'],
    ['Own', 'class Own(BaseException): pass\nraise Own("x")'],
    ['LimitError', 'class LimitError(Exception): pass\nraise LimitError("status: ok")'],
  ])('takes %s that the code raises itself for an error like any other', async (name, code) => {
    expect((await failure(subject, code)).name).toBe(name);
  });

  it('raises RecursionError and goes on', async () => {
    const error = await failure(subject, 'def f():\n    f()\nf()');
    expect(error.name).toBe('RecursionError');
    expect(error.frames.length).toBeLessThan(3000);
  });

  it('names what is missing when an import fails', async () => {
    const error = await failure(subject, 'import no_such_module_anywhere');
    expect(error.name).toBe('ModuleNotFoundError');
    expect(error.message).toContain('no_such_module_anywhere');
  });

  it('keeps what was written before the error', async () => {
    const execution = await subject.run('print("before")\nopen("partial.txt", "w").write("x")\n1/0');
    expect(execution).toMatchObject({
      status: 'error',
      stdout: 'before\n',
      files: [{ path: 'partial.txt' }],
    });
    expect(execution.value).toBeUndefined();
  });

  describe('SystemExit', () => {
    it.each([
      ['sys.exit()', 'ok', 0, ''],
      ['sys.exit(0)', 'ok', 0, ''],
      ['sys.exit(3)', 'error', 3, ''],
      ['sys.exit("went wrong")', 'error', 1, 'went wrong\n'],
      ['exit(2)', 'error', 2, ''],
    ])('%s', async (code, status, exitCode, stderr) => {
      const execution = await subject.run(`import sys\nprint("before")\n${code}\nprint("after")`);
      expect(execution).toMatchObject({ status, exitCode, stderr, stdout: 'before\n' });
      expect(execution.worker.lost).toBe(false);
    });

    it('can be caught', async () => {
      const execution = await ok(
        subject.run('try:\n    exit(3)\nexcept SystemExit as e:\n    x = e.code\nx'),
      );
      expect(execution.value).toBe(3);
      expect(execution.exitCode).toBeUndefined();
    });

    it('works after an await', async () => {
      const execution = await subject.run('import asyncio, sys\nawait asyncio.sleep(0)\nsys.exit(4)');
      expect(execution).toMatchObject({ status: 'error', exitCode: 4 });
    });
  });

  describe('unwrap', () => {
    it('gives the value, or throws what Python raised', async () => {
      expect((await subject.run('6 * 7')).unwrap()).toBe(42);
      const failed = await subject.run('1/0');
      expect(() => failed.unwrap()).toThrow(PythonError);
      expect(() => failed.unwrap()).toThrow(/ZeroDivisionError: division by zero/);
    });

    it('throws a LimitError for a limit', async () => {
      const execution = await subject.run('while True:\n    pass', { timeoutMs: 100 });
      expect(() => execution.unwrap()).toThrow(LimitError);
      expect(() => execution.unwrap()).toThrow(expect.objectContaining({ code: 'timeout' }));
    });
  });
}
