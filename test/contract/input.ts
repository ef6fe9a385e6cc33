import { describe, expect, it } from 'vitest';
import type { Value } from '../../src/runtime.ts';
import { evaluate, ok, py, type Subject } from './subject.ts';

/** A global → the Python expression that is true of it, named `x`. */
const globalsIn: [name: string, value: Value, holds: string][] = [
  ['null', null, 'x is None'],
  ['true', true, 'x is True'],
  ['an integer', 3, 'type(x) is int and x == 3'],
  ['the largest safe integer', Number.MAX_SAFE_INTEGER, 'type(x) is int and x == 2**53 - 1'],
  ['a fraction', 0.25, 'type(x) is float and x == 0.25'],
  ['NaN', Number.NaN, 'x != x'],
  ['-Infinity', Number.NEGATIVE_INFINITY, 'x == -float("inf")'],
  ['-0', -0, 'str(x) == "-0.0"'],
  ['a bigint', 2n ** 70n, 'type(x) is int and x == 2**70'],
  ['text', 'grüße 🐍 \0', 'x == "grüße 🐍 \\x00"'],
  ['an array', [1, 'a', [null]], 'type(x) is list and x == [1, "a", [None]]'],
  ['an object', { a: 1, b: { c: [2] } }, 'type(x) is dict and x == {"a": 1, "b": {"c": [2]}}'],
  ['a Map', new Map<Value, Value>([[1, 'a']]), 'x == {1: "a"}'],
  ['a Set', new Set([1, 2]), 'type(x) is set and x == {1, 2}'],
  ['a Date', new Date('2026-02-28T10:00:00.250Z'), 'x.timestamp() == 1772272800.25'],
  ['bytes', Uint8Array.of(0, 255), 'bytes(x) == b"\\x00\\xff"'],
  ['an empty array of bytes', new Uint8Array(0), 'bytes(x) == b""'],
  ['an Int16Array', Int16Array.of(-1, 2), 'list(x) == [-1, 2]'],
  ['a Float32Array', Float32Array.of(0.5), 'list(x) == [0.5]'],
  ['a Float64Array', Float64Array.of(0.1, -2), 'list(x) == [0.1, -2.0]'],
  ['a BigInt64Array', BigInt64Array.of(-(2n ** 63n)), 'list(x) == [-(2**63)]'],
  ['a view into a larger buffer', new Uint8Array([9, 1, 2, 9]).subarray(1, 3), 'bytes(x) == b"\\x01\\x02"'],
];

export function input(subject: Subject): void {
  describe('globals', () => {
    it.each(globalsIn)('takes %s', async (_, x, holds) => {
      expect(await evaluate(subject.run(holds, { globals: { x } }))).toBe(true);
    });

    it('gives back what it was given', async () => {
      const x: Value = { list: [1, 2n ** 64n, 'a'], map: new Map<Value, Value>([[1, [2]]]), none: null };
      expect(await evaluate(subject.run('x', { globals: { x } }))).toStrictEqual(x);
    });

    it('refuses what has no counterpart and names it', async () => {
      const globals = { callback: (() => 1) as unknown as Value };
      await expect(async () => await subject.run('1', { globals })).rejects.toThrow(/callback/);
    });

    it('has a clean namespace beside them', async () => {
      const names = await evaluate(
        subject.run('sorted(n for n in globals() if not n.startswith("__"))', { globals: { x: 1 } }),
      );
      expect(names).toStrictEqual(['x']);
    });

    it('runs as __main__', async () => {
      expect(
        await evaluate(subject.run('import __main__\n[__name__, __main__.x]', { globals: { x: 5 } })),
      ).toEqual(['__main__', 5]);
    });
  });

  describe('argv and env', () => {
    it('passes argv after the file name', async () => {
      const argv = ['a', 'with space', '--flag=ü', ''];
      const value = await evaluate(subject.run('import sys\nsys.argv', { argv, filename: 'tool.py' }));
      expect(value).toStrictEqual(['tool.py', ...argv]);
    });

    it('has no arguments by default', async () => {
      expect(await evaluate(subject.run('import sys\nlen(sys.argv)'))).toBe(1);
    });

    it('adds env, and shows nothing of the host', async () => {
      process.env.VIVARIUM_CONTRACT_CANARY = 'host secret';
      try {
        const value = await evaluate(
          subject.run('import os\n[os.environ.get("GREETING"), dict(os.environ)]', {
            env: { GREETING: 'hello = wörld' },
          }),
        );
        expect(value).toMatchObject(['hello = wörld', {}]);
        expect(JSON.stringify(value)).not.toContain('host secret');
        expect(JSON.stringify(value)).not.toContain('VIVARIUM_CONTRACT_CANARY');
      } finally {
        delete process.env.VIVARIUM_CONTRACT_CANARY;
      }
    });
  });

  describe('stdin', () => {
    it('reads text line by line, then EOFError', async () => {
      const execution = await ok(
        subject.run(
          py`
            a = input()
            b = input("second? ")
            try:
                input()
            except EOFError as e:
                c = type(e).__name__
            [a, b, c]
          `,
          { stdin: 'one\ntwo ü' },
        ),
      );
      expect(execution.value).toStrictEqual(['one', 'two ü', 'EOFError']);
      expect(execution.stdout).toBe('second? ');
    });

    it('takes lines', async () => {
      expect(
        await evaluate(subject.run('import sys\n[line for line in sys.stdin]', { stdin: ['one', 'two'] })),
      ).toStrictEqual(['one\n', 'two\n']);
    });

    it('is empty by default', async () => {
      const execution = await subject.run('input()');
      expect(execution).toMatchObject({ status: 'error', error: { name: 'EOFError' } });
      expect(await evaluate(subject.run('import sys\nsys.stdin.read()'))).toBe('');
    });

    it('reads bytes', async () => {
      expect(
        await evaluate(subject.run('import sys\nsys.stdin.buffer.read()', { stdin: 'ü\n' })),
      ).toStrictEqual(new TextEncoder().encode('ü\n'));
    });

    it('leaves nothing unread to the next run', async () => {
      await ok(subject.run('input()', { stdin: 'first\nleft over\n' }));
      expect(await evaluate(subject.run('import sys\nsys.stdin.read()', { stdin: 'mine' }))).toBe('mine');
    });
  });
}
