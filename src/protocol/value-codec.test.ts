import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Column, NdArray, TypedArray, Value } from '../runtime.ts';
import { protocolLimits } from './limits.ts';
import { ProtocolError } from './protocol-error.ts';
import { DataFrame, Series } from './tables.ts';
import { decodeValue, encodeValue } from './value-codec.ts';
import { PythonRepr } from './values.ts';

function roundTrip(value: Value): Value {
  const { json, parts } = encodeValue(value);
  return decodeValue(json, parts);
}

const decode = (wire: unknown, ...parts: Uint8Array[]) => decodeValue(JSON.stringify(wire), parts);

/** Keys that no plain object has: with string keys only, a Map comes back as one. */
const mapKey = fc.oneof(fc.integer(), fc.constant(null), fc.boolean());
const size = (shape: readonly number[]) => shape.reduce((all, length) => all * length, 1);
const shapes = fc.array(fc.nat(3), { maxLength: 4 });
const floats = (count: number) => fc.float64Array({ minLength: count, maxLength: count });
const longs = (count: number) => fc.bigInt64Array({ minLength: count, maxLength: count });
const bytes = (count: number) => fc.uint8Array({ minLength: count, maxLength: count });
/** As numpy has them. */
const arrays: fc.Arbitrary<NdArray> = shapes.chain((shape) => {
  const count = size(shape);
  const of = (dtype: string, data: fc.Arbitrary<TypedArray>) =>
    data.map((items): NdArray => ({ data: items, shape, dtype }));
  return fc.oneof(
    of('float64', floats(count)),
    of('uint8', bytes(count)),
    of('bool', bytes(count)),
    of('complex128', floats(2 * count)),
    of(
      'float16',
      floats(count).map((items) => Float32Array.from(items)),
    ),
    of('datetime64[ns]', longs(count)),
    of('timedelta64[25s]', longs(count)),
    of('int64', longs(count)),
  );
});

const texts = (count: number) => fc.array(fc.string(), { minLength: count, maxLength: count });
const columns = (count: number): fc.Arbitrary<Column> =>
  fc.oneof(
    floats(count),
    longs(count),
    texts(count),
    bytes(count).map((data) => ({ data, shape: [count], dtype: 'bool' })),
  );
const indexes = (count: number) =>
  fc.integer({ min: 1, max: 3 }).chain((levels) =>
    fc.record({
      index:
        levels === 1
          ? fc.option(columns(count))
          : fc.array(texts(levels), { minLength: count, maxLength: count }),
      indexNames: fc.array(fc.option(fc.string()), { minLength: levels, maxLength: levels }),
    }),
  );
const tables: fc.Arbitrary<DataFrame | Series> = fc.tuple(fc.nat(4), fc.nat(4)).chain(([width, length]) =>
  fc.oneof(
    fc
      .tuple(
        texts(width),
        texts(width),
        fc.array(columns(length), { minLength: width, maxLength: width }),
        indexes(length),
      )
      .map(([names, dtypes, data, index]) => {
        return new DataFrame({ columns: names, dtypes, data, ...index, length });
      }),
    fc
      .tuple(fc.option(fc.string()), fc.string(), columns(length), indexes(length))
      .map(([name, dtype, data, index]) => new Series({ name, dtype, data, ...index })),
  ),
);

const { value: anyValue } = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<Value>(null, true, false, -0, Number.NaN, Infinity, -Infinity, 2 ** 53, 1e300, 5e-324),
    fc.double(),
    fc.integer(),
    fc.bigInt(),
    fc.string({ unit: 'binary' }),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array(),
    fc.int8Array(),
    fc.uint16Array(),
    fc.int32Array(),
    fc.float32Array(),
    fc.float64Array(),
    fc.bigInt64Array(),
    arrays,
    tables,
    fc.constant(new PythonRepr('module', "<module 'a'>", 'type')),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(fc.string(), tie('value'), { maxKeys: 5, noNullPrototype: true }),
    fc.array(fc.integer()).map((items) => new Set(items)),
    fc.array(fc.tuple(mapKey, tie('value')), { minLength: 1, maxLength: 5 }).map((pairs) => new Map(pairs)),
  ),
}));

describe('round trip', () => {
  test('any value', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        expect(roundTrip(value)).toStrictEqual(value);
      }),
      { numRuns: 500 },
    );
  });

  test('of every kind', () => {
    const value = {
      missing: undefined,
      surrogate: '\ud800',
      clamped: Uint8ClampedArray.of(1, 2),
      buffer: Buffer.from('ab'),
      nd: { data: Float64Array.of(1, 2, 3, 4, 5, 6), shape: [2, 3] },
      scalar: { data: Uint8Array.of(1), shape: [] },
      image: { data: Uint8Array.of(1, 2, 3, 4), shape: [2, 1] },
      other: { data: Uint8Array.of(1, 2), shape: [2], dtype: 'rgb' },
      short: { data: Float64Array.of(1), shape: [1], dtype: 'complex128' },
      wrong: { data: Float64Array.of(1), shape: [1], dtype: 'float32' },
    } as unknown as Value;
    expect(roundTrip(value)).toStrictEqual({
      ...(value as object),
      missing: null,
      clamped: Uint8Array.of(1, 2),
      buffer: Uint8Array.of(0x61, 0x62),
      nd: { data: Float64Array.of(1, 2, 3, 4, 5, 6), shape: [2, 3], dtype: 'float64' },
      scalar: { data: Uint8Array.of(1), shape: [], dtype: 'uint8' },
    });
  });

  test('the wire is the table of `values.ts`', () => {
    const value = [
      null,
      1.5,
      -0,
      2n ** 64n,
      new Date(0),
      Uint8Array.of(1),
      Int16Array.of(1, 2),
      new Set([1]),
    ];
    expect(JSON.parse(encodeValue(value, { firstPart: 3 }).json)).toEqual([
      'l',
      null,
      1.5,
      ['f', '-0'],
      ['i', '18446744073709551616'],
      ['D', '1970-01-01T00:00:00.000Z'],
      ['b', 3],
      ['a', 'i2', 4, [2]],
      ['s', 1],
    ]);
    expect(JSON.parse(encodeValue({ a: new Map([[1, 'x']]) }).json)).toEqual(['d', 'a', ['d', 1, 'x']]);
    const array = { data: Uint8Array.of(1, 0), shape: [2], dtype: 'bool' };
    const frame = {
      columns: ['a'],
      dtypes: ['bool'],
      data: [array],
      index: ['x', 'y'],
      indexNames: ['k'],
      length: 2,
    };
    expect(JSON.parse(encodeValue([array, { ...array, shape: [2, 1] }, new DataFrame(frame)]).json)).toEqual([
      'l',
      ['a', '?1', 0, [2], 'bool'],
      ['a', '?1', 1, [2, 1]],
      ['F', ['l', 'a'], ['l', 'bool'], ['l', ['a', '?1', 2, [2], 'bool']], ['l', 'x', 'y'], ['l', 'k'], 2],
    ]);
  });

  test('views of one buffer are copied apart', () => {
    const { buffer } = Float32Array.of(1, 2, 3);
    const { parts } = encodeValue([
      new Float32Array(buffer, 4),
      new Float32Array(buffer),
      new Uint8Array(buffer, 3, 2),
    ]);
    expect(parts.map((part) => part.buffer.byteLength)).toEqual([8, 12, 2]);
    structuredClone(parts, { transfer: parts.map((part) => part.buffer as ArrayBuffer) });
    expect(buffer.byteLength).toBe(12);
  });
});

describe('encode refuses', () => {
  class Point {}
  const nested = (depth: number): Value => (depth === 0 ? 1 : [nested(depth - 1)]);
  const cycle: Record<string, Value> = { a: [] };
  (cycle.a as Value[]).push({ b: cycle });
  const doubling = Array.from({ length: 60 }).reduce<Value>((inner) => [inner, inner], 'x'.repeat(1000));

  test.each<[string, unknown]>([
    ['globals.a.b[3] is a function', { a: { b: [1, 2, 3, () => 1] } }],
    ['globals["a b"] is a symbol', { 'a b': Symbol('x') }],
    [
      'globals.__proto__.x is a Point',
      JSON.parse('{"__proto__":{}}', (key, at) => (key === '__proto__' ? { x: new Point() } : at)),
    ],
    ['globals is a RegExp', /x/],
    ['globals is a Promise', Promise.resolve()],
    ['globals is a DataView', new DataView(new ArrayBuffer(1))],
    ['globals is a ArrayBuffer', new ArrayBuffer(1)],
    ['globals[0] is an invalid Date', [new Date(Number.NaN)]],
    ['globals.a[0].b contains itself', cycle],
    [`globals${'[0]'.repeat(100)} is nested deeper than 100`, nested(101)],
    ['is too large', doubling],
    ['is too large', Array(2 ** 26)],
    ['is too large', Array(100_000).fill('x'.repeat(1000))],
    ['globals.k has more than 100000 digits', { k: 10n ** 100_000n }],
    ['globals[0] is a function', new Map([[() => 1, 1]])],
  ])('%s', (problem, value) => {
    const run = () => encodeValue(value as Value, { name: 'globals' });
    expect(run).toThrow(TypeError);
    expect(run).toThrow(problem);
  });

  test('but not what is within, or shared', () => {
    expect(roundTrip(nested(100))).toEqual(nested(100));
    const shared = { x: 1 };
    expect(roundTrip([shared, shared])).toEqual([shared, shared]);
    expect(roundTrip(Object.create(null))).toEqual({});
  });
});

describe('decode', () => {
  test('what JavaScript never sends', () => {
    expect(decode(['t', 1, ['t']])).toEqual([1, []]);
    expect(decode(['c', 1, ['f', 'inf']])).toEqual({ real: 1, imag: Infinity });
    expect(decode(['o', 'Point', 'x', 1])).toEqual({ x: 1 });
    expect(decode(['d', 'a', 1, ['t', 1, 2], 2])).toEqual(
      new Map<Value, Value>([
        ['a', 1],
        [[1, 2], 2],
      ]),
    );
    expect(decode(['a', '?1', 0, [2]], Uint8Array.of(0, 1))).toEqual(Uint8Array.of(0, 1));
    expect(decode(['a', '?1', 0, [1, 2]], Uint8Array.of(0, 1))).toEqual({
      data: Uint8Array.of(0, 1),
      shape: [1, 2],
      dtype: 'bool',
    });
    expect(decode(['S', null, 'object', ['l', 1], null, ['l', null]])).toEqual(
      new Series({ name: null, dtype: 'object', data: [1], index: null, indexNames: [null] }),
    );
    expect(decode(['i', `-${'9'.repeat(30)}`])).toBe(-(10n ** 30n - 1n));
    expect(decode(['r', 'list', '[...]', 'cycle'])).toStrictEqual(new PythonRepr('list', '[...]', 'cycle'));
  });

  test.each([
    ['2024-02-29T12:00:00', '2024-02-29T12:00:00.000Z'],
    ['2024-02-29T12:00:00.5', '2024-02-29T12:00:00.500Z'],
    ['2024-02-29T12:00:00.123456', '2024-02-29T12:00:00.123Z'],
    ['2024-02-29T12:00:00+02:00', '2024-02-29T10:00:00.000Z'],
    ['1900-01-01T00:00:00.000001-00:19:32', '1900-01-01T00:19:32.000Z'],
    ['1900-01-01T00:00:00+00:19:32.500000', '1899-12-31T23:40:28.000Z'],
    ['0001-01-01T00:00:00', '0001-01-01T00:00:00.000Z'],
    ['+010000-01-01T00:00:00.000Z', '+010000-01-01T00:00:00.000Z'],
  ])('the datetime %s', (wire, expected) => {
    expect((decode(['D', wire]) as Date).toISOString()).toBe(expected);
  });

  test('dates are midnight UTC', () => {
    expect(decode(['y', '2024-02-29'])).toEqual(new Date('2024-02-29T00:00:00Z'));
  });

  test('arrays lie over aligned parts, and over a copy of others', () => {
    const buffer = new Uint8Array(24);
    const aligned = buffer.subarray(8, 24);
    const [a] = decode(['l', ['a', 'f8', 0, [2]]], aligned) as [Float64Array];
    expect([a.buffer, a.byteOffset, a.length]).toEqual([buffer.buffer, 8, 2]);
    const other = decode(['a', 'f4', 0, [2]], buffer.subarray(1, 9)) as Float32Array;
    expect(other.buffer).not.toBe(buffer.buffer);
  });

  test('`__proto__` is a key', () => {
    for (const wire of [
      ['d', '__proto__', ['d', 'polluted', 1], 'constructor', ['d', 'prototype', ['d', 'polluted', 1]]],
      ['o', 'T', '__proto__', ['d', 'polluted', 1], 'constructor', null],
    ]) {
      const value = decode(wire) as object;
      expect(Object.keys(value)).toEqual(['__proto__', 'constructor']);
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
      expect((value as Record<string, unknown>).polluted).toBeUndefined();
    }
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(Object.keys(roundTrip(JSON.parse('{"__proto__":1}')) as object)).toEqual(['__proto__']);
  });

  test.each<[unknown, ...Uint8Array[]]>([
    [{}],
    [[]],
    [['']],
    [['x', 1]],
    [[['l']]],
    [[null]],
    [['toString']],
    [['d', 'a']],
    [['d', 1]],
    [['o', 'T', 1, 2]],
    [['o', 1]],
    [['i', 1]],
    [['i', '0x10']],
    [['i', '']],
    [['i', '-']],
    [['i', ' 1']],
    [['i', '1', '2']],
    [['i', '9'.repeat(100_002)]],
    [['f', 'NaN']],
    [['f', 1]],
    [['c', 1]],
    [['c', ['i', '1'], 1]],
    [['b', 0]],
    [['b', -1], new Uint8Array(1)],
    [['b', '0'], new Uint8Array(1)],
    [['b', 'length'], new Uint8Array(1)],
    // Small on the wire, and large without end once it is text.
    [['l', ['b', 0], ['b', 0]], new Uint8Array(1)],
    [['l', ['a', 'u1', 0, [1]], ['a', 'i1', 0, [1, 1]]], new Uint8Array(1)],
    [['F', ['l'], ['l'], ['l'], null, ['l', null], 2 ** 32 - 1]],
    [['S', null, 'x', ['l', 1], ['l', 1], ['l', null, null]]],
    [['S', null, 'x', ['l', 1], ['l', ['t', 1, 2]], ['l', null, null, null]]],
    [['S', null, 'x', ['l', 1], null, ['l', null, null]]],
    [['S', null, 'x', ['l', 1], null, ['l']]],
    [['a', 'f8', 0, [1]], new Uint8Array(7)],
    [['a', 'f8', 0, [2]], new Uint8Array(8)],
    [['a', 'u1', 0, [-1, -1]], new Uint8Array(1)],
    [['a', 'u1', 0, [0.5, 2]], new Uint8Array(1)],
    [['a', 'u1', 0, [2 ** 53, 2 ** 53]], new Uint8Array(1)],
    [['a', 'u1', 0, Array(65).fill(1)], new Uint8Array(1)],
    [['a', 'u1', 0, 1], new Uint8Array(1)],
    [['a', 'x1', 0, [1]], new Uint8Array(1)],
    [['a', 'toString', 0, [1]], new Uint8Array(1)],
    [['a', 'u1', 0, [1], 'toString'], new Uint8Array(1)],
    [['a', 'u1', 0, [1], 'float64'], new Uint8Array(1)],
    [['a', 'u1', 0, [1], null], new Uint8Array(1)],
    [['a', 'f4', 0, [1], 'complex64'], new Uint8Array(4)],
    [['a', 'i8', 0, [1], 'datetime64[x]'], new Uint8Array(8)],
    [['a', 'u1', 0, [1], 'uint8', 1], new Uint8Array(1)],
    [['F']],
    [['F', ['l'], ['l'], ['l'], null, ['l', null], -1]],
    [['F', ['l', 'a'], ['l'], ['l', ['l', 1]], null, ['l', null], 1]],
    [['F', ['l', 'a'], ['l', 'x'], ['l'], null, ['l', null], 1]],
    [['F', ['l', 1], ['l', 'x'], ['l', ['l', 1]], null, ['l', null], 1]],
    [['F', ['l', 'a'], ['l', 'x'], ['l', ['l', 1, 2]], null, ['l', null], 1]],
    [['F', ['l', 'a'], ['l', 'x'], ['l', 'b'], null, ['l', null], 1]],
    [['F', ['l', 'a'], ['l', 'x'], ['l', ['s', 1]], null, ['l', null], 1]],
    [['F', ['l', 'a'], ['l', 'x'], ['l', ['d', 'shape', ['l', 1]]], null, ['l', null], 1]],
    [['F', ['l', 'a'], ['l', 'x'], ['l', ['l', 1]], ['l'], ['l', null], 1]],
    [['F', ['l', 'a'], ['l', 'x'], ['l', ['l', 1]], null, ['l', 1], 1]],
    [['F', ['l', 'a'], ['l', 'x'], ['l', ['a', '?1', 0, [1, 1]]], null, ['l', null], 1], new Uint8Array(1)],
    [['S', 1, 'x', ['l'], null, ['l', null]]],
    [['S', null, 1, ['l'], null, ['l', null]]],
    [['S', null, 'x', 'items', null, ['l', null]]],
    [['S', null, 'x', ['l', 1], ['l'], ['l', null]]],
    [['D', '2024-13-01T00:00:00']],
    [['D', '2024-02-29']],
    [['D', 'now']],
    [['D', 0]],
    [['y', '2024-02-29T00:00:00']],
    [['r', 'T', 'repr', 'because']],
    [['r', 'T', 1, 'type']],
    [['l', ['l', ['l', {}]]]],
  ])('%j is refused', (wire, ...parts) => {
    expect(() => decode(wire, ...parts)).toThrow(ProtocolError);
  });

  test('numbers beyond JavaScript', () => {
    expect(() => decodeValue('1e999')).toThrow(ProtocolError);
    expect(decodeValue('9007199254740993')).toBe(2 ** 53);
    expect(decode(['i', '9007199254740993'])).toBe(9007199254740993n);
  });

  test('tables without columns are bounded together', () => {
    const bare = (length: number) => ['F', ['l'], ['l'], ['l'], null, ['l', null], length];
    const { maxBareRows } = protocolLimits;
    expect(() => decode(bare(maxBareRows))).not.toThrow();
    expect(() => decode(['l', bare(maxBareRows), bare(1)])).toThrow(ProtocolError);
  });

  test('nesting is bounded', () => {
    for (const tag of ['["l",', '["d","a",', '["c",1,']) {
      const wire = `${tag.repeat(100_000)}1${']'.repeat(100_000)}`;
      expect(() => decodeValue(wire)).toThrow(`deeper than ${protocolLimits.maxJsonDepth}`);
    }
  });

  test('arbitrary JSON and mutated wires raise nothing else', () => {
    const survives = (json: string | Uint8Array) => {
      try {
        decodeValue(json, [new Uint8Array(8), new Uint8Array(3)]);
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
      }
    };
    fc.assert(fc.property(fc.json(), survives), { numRuns: 300 });
    fc.assert(fc.property(fc.uint8Array(), survives), { numRuns: 200 });
    const tags = fc.constantFrom(
      'l',
      't',
      'd',
      's',
      'i',
      'f',
      'c',
      'b',
      'a',
      'D',
      'y',
      'o',
      'r',
      'F',
      'S',
      'complex64',
      'u1',
      'f8',
      '1',
      'nan',
    );
    const { wire } = fc.letrec((tie) => ({
      wire: fc.oneof(
        { depthSize: 'medium' },
        tags,
        fc.nat(9),
        fc.constant([8]),
        fc.array(tie('wire'), { maxLength: 5 }),
      ),
    }));
    fc.assert(
      fc.property(wire, (value) => survives(JSON.stringify(value))),
      { numRuns: 2000 },
    );
  });
});
