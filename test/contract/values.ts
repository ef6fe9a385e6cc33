import { expect, it } from 'vitest';
import type { Value } from '../../src/runtime.ts';
import { evaluate, ok, py, type Subject } from './subject.ts';

/** Python expression → what a caller gets. Each row of the table in `protocol/values.ts`, and its edges. */
const conversions: [code: string, value: Value][] = [
  ['[None]', [null]],
  ['True', true],
  ['[False, 0, ""]', [false, 0, '']],
  ['42', 42],
  ['-(2**53 - 1)', -9007199254740991],
  ['2**53 - 1', 9007199254740991],
  ['2**53', 9007199254740992n],
  ['-(2**53)', -9007199254740992n],
  ['10**100', 10n ** 100n],
  ['1.5', 1.5],
  ['1e300', 1e300],
  ['5e-324', 5e-324],
  ['float("nan")', Number.NaN],
  ['[float("inf"), -float("inf")]', [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]],
  ['-0.0', -0],
  ['complex(1, -2)', { real: 1, imag: -2 }],
  ['"grüße 🐍 \\x00 end"', 'grüße 🐍 \0 end'],
  ['"\\ud800"', '\ud800'],
  ['b"\\x00\\xff"', Uint8Array.of(0, 255)],
  ['bytearray(b"ab")', Uint8Array.of(97, 98)],
  ['b""', new Uint8Array(0)],
  ['[1, [2, [3, []]]]', [1, [2, [3, []]]]],
  ['["i", "5"]', ['i', '5']],
  ['(1, "a")', [1, 'a']],
  ['()', []],
  ['{"a": 1, "b": {"c": [2]}}', { a: 1, b: { c: [2] } }],
  ['{}', {}],
  [
    '{1: "a", (2, 3): "b"}',
    new Map<Value, Value>([
      [1, 'a'],
      [[2, 3], 'b'],
    ]),
  ],
  [
    '{"a": 1, 2: 3}',
    new Map<Value, Value>([
      ['a', 1],
      [2, 3],
    ]),
  ],
  ['{1, 2}', new Set([1, 2])],
  ['frozenset(["x"])', new Set(['x'])],
  ['import datetime\ndatetime.date(2026, 2, 28)', new Date('2026-02-28T00:00:00Z')],
  [
    'import datetime\ndatetime.datetime(2026, 2, 28, 12, 30, 15, 250000)',
    new Date('2026-02-28T12:30:15.250Z'),
  ],
  [
    'import datetime as d\nd.datetime(2026, 2, 28, 12, tzinfo=d.timezone(d.timedelta(hours=2)))',
    new Date('2026-02-28T10:00:00Z'),
  ],
  ['from array import array\narray("b", [-1])', Int8Array.of(-1)],
  ['from array import array\narray("B", [255])', Uint8Array.of(255)],
  ['from array import array\narray("h", [-2])', Int16Array.of(-2)],
  ['from array import array\narray("H", [65535])', Uint16Array.of(65535)],
  ['from array import array\narray("i", [-3, 4])', Int32Array.of(-3, 4)],
  ['from array import array\narray("I", [2**32 - 1])', Uint32Array.of(4294967295)],
  ['from array import array\narray("q", [-(2**63)])', BigInt64Array.of(-(2n ** 63n))],
  ['from array import array\narray("Q", [2**64 - 1])', BigUint64Array.of(2n ** 64n - 1n)],
  ['from array import array\narray("f", [0.5])', Float32Array.of(0.5)],
  ['from array import array\narray("d", [0.1, -0.0])', Float64Array.of(0.1, -0)],
  ['memoryview(b"abc")[1:]', Uint8Array.of(98, 99)],
  ['memoryview(b"abcd")[::2]', Uint8Array.of(97, 99)],
  ['memoryview(b"\\x01\\x00\\x02\\x00").cast("H")', Uint16Array.of(1, 2)],
  [
    'memoryview(bytes(range(6))).cast("B", [2, 3])',
    { data: Uint8Array.of(0, 1, 2, 3, 4, 5), shape: [2, 3], dtype: 'uint8' },
  ],
];

export function values(subject: Subject): void {
  it.each(conversions)('converts %s', async (code, value) => {
    expect(await evaluate(subject.run(code))).toStrictEqual(value);
  });

  it('converts a dataclass, nested, to a plain object', async () => {
    const value = await evaluate(
      subject.run(py`
        from dataclasses import dataclass, field

        @dataclass
        class Point:
            x: int
            y: float

        @dataclass
        class Shape:
            name: str
            points: list[Point] = field(default_factory=list)

        Shape("line", [Point(1, 2.5), Point(3, 4.0)])
      `),
    );
    expect(value).toStrictEqual({
      name: 'line',
      points: [
        { x: 1, y: 2.5 },
        { x: 3, y: 4 },
      ],
    });
  });

  it('has no value after a statement, and none for None', async () => {
    const statement = await ok(subject.run('x = 1'));
    expect(statement.value).toBeUndefined();
    expect(statement.text).toBeUndefined();
    const none = await ok(subject.run('None'));
    expect(none.value ?? undefined).toBeUndefined();
    expect(none.text).toBeUndefined();
  });

  it('has no value when the last line is a statement, whatever stood before', async () => {
    expect((await ok(subject.run('40 + 2\nx = 1'))).value).toBeUndefined();
  });

  it.each(['', '   \n\n', '# nothing but a comment'])('runs %j', async (code) => {
    expect((await ok(subject.run(code))).value).toBeUndefined();
  });

  it('gives the repr as text', async () => {
    expect((await ok(subject.run('["a", 1]'))).text).toBe("['a', 1]");
    expect((await ok(subject.run('"a"'))).text).toBe("'a'");
  });

  it('converts an int beyond the limit of int-to-str conversion', async () => {
    const value = await evaluate(subject.run('10**5000'));
    expect(value === 10n ** 5000n).toBe(true);
  });

  it('marks an object without a counterpart by its repr', async () => {
    const value = await evaluate(
      subject.run(py`
        class Animal:
            def __repr__(self):
                return "<a capybara>"

        [Animal(), len, range(3)]
      `),
    );
    expect(value).toMatchObject([
      { type: 'Animal', repr: '<a capybara>', why: 'type' },
      { type: 'builtin_function_or_method', repr: '<built-in function len>', why: 'type' },
      { type: 'range', repr: 'range(0, 3)', why: 'type' },
    ]);
  });

  it('survives a repr that raises', async () => {
    const execution = await subject.run(py`
      class Bad:
          def __repr__(self):
              raise RuntimeError("no repr")

      {"a": 1, "bad": Bad()}
    `);
    expect(execution.status).toBe('ok');
    expect(execution.value).toMatchObject({ a: 1, bad: { type: 'Bad', why: 'type' } });
  });

  it('marks where a cycle closes and keeps the rest', async () => {
    const value = await evaluate(subject.run('a = [1]\nb = {"up": a, "n": 2}\na.append(b)\na'));
    expect(value).toMatchObject([1, { up: { type: 'list', why: 'cycle' }, n: 2 }]);
  });

  it('keeps an object that is held twice without a cycle', async () => {
    expect(await evaluate(subject.run('a = [1]\n[a, a]'))).toStrictEqual([[1], [1]]);
  });

  it('cuts a value nested 100,000 deep and marks the place', async () => {
    const execution = await ok(subject.run('x = []\nfor _ in range(100_000):\n    x = [x]\nx'));
    let depth = 0;
    let at = execution.value;
    while (Array.isArray(at)) {
      at = at[0];
      depth += 1;
    }
    expect(at).toMatchObject({ why: 'depth' });
    expect(depth).toBeGreaterThanOrEqual(32);
    expect(depth).toBeLessThan(100_000);
  });

  it('takes no key of a dict for a prototype', async () => {
    const value = await evaluate(
      subject.run('import json\njson.loads(\'{"__proto__": {"polluted": 1}, "constructor": 2}\')'),
    );
    const keys = value instanceof Map ? [...value.keys()] : Object.keys(Object(value));
    expect(keys).toStrictEqual(['__proto__', 'constructor']);
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
    expect(Reflect.get(Object(value), 'polluted')).toBeUndefined();
  });

  it('converts a subclass as its base, and not what only looks like one', async () => {
    const value = await evaluate(
      subject.run(py`
        from collections import OrderedDict, defaultdict, namedtuple
        from unittest.mock import MagicMock

        Pair = namedtuple("Pair", "a b")
        [OrderedDict(a=1), defaultdict(list, b=[2]), Pair(1, 2), MagicMock()]
      `),
    );
    expect(value).toMatchObject([{ a: 1 }, { b: [2] }, [1, 2], { type: 'MagicMock', why: 'type' }]);
  });

  it('does not let a value that changes under conversion break the run', async () => {
    const execution = await subject.run(py`
      class Trap(dict):
          def items(self):
              raise RuntimeError("trap")
          def __iter__(self):
              raise RuntimeError("trap")

      [Trap(a=1), 7]
    `);
    expect(execution.status).toBe('ok');
    expect(Array.isArray(execution.value) && execution.value[1]).toBe(7);
  });
}
