import { describe, expect, test } from 'vitest';
import type { TypedArray, Value } from '../runtime.ts';
import { DataFrame, itemsOf, Series } from './tables.ts';

const nat = -(2n ** 63n);
const column = (data: TypedArray, dtype: string) => ({ data, shape: [data.length], dtype });

describe('items', () => {
  test.each<[string, bigint, number | null]>([
    ['datetime64[ns]', 1_704_164_645_123_456_789n, Date.UTC(2024, 0, 2, 3, 4, 5, 123)],
    ['datetime64[us]', -1n, -1],
    ['datetime64[ms]', -1n, -1],
    ['datetime64[s]', 86_400n, 86_400_000],
    ['datetime64[D]', 1n, 86_400_000],
    ['datetime64[W]', -1n, -7 * 86_400_000],
    ['datetime64[M]', -1n, Date.UTC(1969, 11, 1)],
    ['datetime64[2Y]', 27n, Date.UTC(2024, 0, 1)],
    ['datetime64[as]', 5n, 0],
    ['datetime64[s]', nat, null],
    ['datetime64[D]', 10n ** 12n, null],
    ['datetime64', 1n, null],
  ])('%s of %d', (dtype, count, expected) => {
    const [date] = itemsOf(column(BigInt64Array.of(count), dtype));
    expect(date).toEqual(expected === null ? null : new Date(expected));
  });

  test.each<[string, bigint, number | null]>([
    ['timedelta64[ns]', 1_500_000n, 1.5],
    ['timedelta64[25s]', -2n, -50_000],
    ['timedelta64[Y]', 1n, null],
    ['timedelta64[ms]', nat, null],
  ])('%s of %d', (dtype, count, expected) => {
    expect(itemsOf(column(BigInt64Array.of(count), dtype))).toEqual([expected]);
  });

  test('of other types', () => {
    expect(itemsOf(Float32Array.of(0.5, Number.NaN))).toEqual([0.5, Number.NaN]);
    expect(itemsOf(BigInt64Array.of(-5n, 2n ** 53n))).toEqual([-5, 2n ** 53n]);
    expect(itemsOf(column(Float32Array.of(0.5), 'float16'))).toEqual([0.5]);
    expect(itemsOf(column(Uint8Array.of(2, 0), 'bool'))).toEqual([true, false]);
    const complex = { data: Float64Array.of(1, -2, 3, 4), shape: [2], dtype: 'complex128' };
    expect(itemsOf(complex)).toEqual([
      { real: 1, imag: -2 },
      { real: 3, imag: 4 },
    ]);
  });
});

const frame = (index: Value[] | null, indexNames: (string | null)[] = [null]) =>
  new DataFrame({
    columns: ['n', '__proto__', 'when'],
    dtypes: ['int64', 'str', 'datetime64[s]'],
    data: [BigInt64Array.of(1n, 2n), ['a', null], column(BigInt64Array.of(0n, nat), 'datetime64[s]')],
    index,
    indexNames,
    length: 2,
  });

test('records', () => {
  const [first, second] = frame(null).records();
  expect(Object.entries(first ?? {})).toEqual([
    ['n', 1],
    ['__proto__', 'a'],
    ['when', new Date(0)],
  ]);
  expect(Object.values(second ?? {})).toEqual([2, null, null]);
  expect(Object.getPrototypeOf(first)).toBe(Object.prototype);
  const empty = { columns: [], dtypes: [], data: [], index: null, indexNames: [null], length: 2 };
  expect(new DataFrame(empty).records()).toEqual([{}, {}]);
});

test.each<[Value[] | null, (string | null)[], Value]>([
  [null, [null], { index: 1 }],
  [['x', 'y'], ['key'], { key: 'y' }],
  [
    [
      ['x', 1],
      ['y', 2],
    ],
    ['key', null],
    { key: 'y', level_1: 2 },
  ],
])('records with the index %j', (index, names, expected) => {
  expect(frame(index, names).records({ index: true })[1]).toMatchObject(expected as object);
});

test('values of a series', () => {
  const series = new Series({
    name: 's',
    dtype: 'boolean',
    data: column(Uint8Array.of(1), 'bool'),
    index: null,
    indexNames: [null],
  });
  expect(series.values()).toEqual([true]);
});
