import { tableFromIPC } from 'apache-arrow';
import { expect, test } from 'vitest';
import { toArrow } from './arrow.ts';
import { DataFrame, Series } from './protocol/tables.ts';
import type { Column, TypedArray, Value } from './runtime.ts';

const nat = -(2n ** 63n);
const nd = (data: TypedArray, dtype: string, length = data.length): Column => ({
  data,
  shape: [length],
  dtype,
});

const columns: [name: string, data: Column, dtype: string, type: string, items: unknown[]][] = [
  ['int', BigInt64Array.of(1n, -2n), 'int64', 'Int64', [1n, -2n]],
  ['float', Float64Array.of(0.5, Number.NaN), 'float64', 'Float64', [0.5, Number.NaN]],
  ['byte', Uint8Array.of(1, 255), 'uint8', 'Uint8', [1, 255]],
  ['bool', nd(Uint8Array.of(1, 0), 'bool'), 'bool', 'Bool', [true, false]],
  ['half', nd(Float32Array.of(0.5, 1), 'float16'), 'float16', 'Float32', [0.5, 1]],
  ['text', ['a', null], 'str', 'Utf8', ['a', null]],
  ['nullable', [1, null], 'Int64', 'Int64', [1n, null]],
  ['huge', [2n ** 62n, 1], 'object', 'Int64', [2n ** 62n, 1n]],
  ['flags', [true, null], 'boolean', 'Bool', [true, null]],
  ['mixed', ['a', { b: [1n] }], 'object', 'Utf8', ['a', '{"b":[1]}']],
  ['numbers', [1.5, null], 'object', 'Float64', [1.5, null]],
  ['none', [null, null], 'object', 'Null', [null, null]],
  ['bytes', [Uint8Array.of(1), null], 'object', 'Binary', [Uint8Array.of(1), null]],
  ['dates', [new Date(5), null], 'object', 'Timestamp<MILLISECOND>', [5, null]],
  ['time', nd(BigInt64Array.of(1500n, nat), 'datetime64[ms]'), '', 'Timestamp<MILLISECOND>', [1500, null]],
  ['day', nd(BigInt64Array.of(1n, nat), 'datetime64[D]'), '', 'Timestamp<MILLISECOND>', [86_400_000, null]],
  [
    'zone',
    nd(BigInt64Array.of(1_000_000n, 0n), 'datetime64[us]'),
    'datetime64[us, Europe/Berlin]',
    'Timestamp<MICROSECOND, Europe/Berlin>',
    [1000, 0],
  ],
  ['delta', nd(BigInt64Array.of(7n, nat), 'timedelta64[ns]'), '', 'Duration<NANOSECOND>', [7n, null]],
  [
    'hours',
    nd(BigInt64Array.of(1n, 2n), 'timedelta64[h]'),
    '',
    'Duration<MILLISECOND>',
    [3_600_000n, 7_200_000n],
  ],
];

async function read(table: DataFrame | Series) {
  return tableFromIPC(await toArrow(table));
}

const frameOf = (
  named: typeof columns,
  index: Column | null = null,
  indexNames: (string | null)[] = [null],
) =>
  new DataFrame({
    columns: named.map(([name]) => name),
    dtypes: named.map(([, , dtype]) => dtype),
    data: named.map(([, data]) => data),
    index,
    indexNames,
    length: 2,
  });

test('every type of column', async () => {
  const table = await read(frameOf(columns));
  expect(table.numRows).toBe(2);
  expect(table.schema.fields.map(({ name, type }) => [name, String(type)])).toEqual(
    columns.map(([name, , , type]) => [name, type]),
  );
  for (const [at, [name, , , , items]] of columns.entries()) {
    const vector = table.getChildAt(at);
    expect([name, Array.from({ length: 2 }, (_, row) => vector?.get(row))]).toEqual([name, items]);
  }
});

test('complex numbers', async () => {
  const complex = nd(Float64Array.of(1, -2, 3, 4), 'complex128', 2);
  const table = await read(frameOf([['z', complex, 'complex128', '', []]]));
  expect(table.getChildAt(0)?.get(0)?.toJSON()).toEqual({ real: 1, imag: -2 });
});

test.each<[Column, (string | null)[], [string, unknown][]]>([
  [['x', 'y'], ['key'], [['key', 'y']]],
  [Float64Array.of(1, 2), [null], [['index', 2]]],
  [
    [
      ['x', 1],
      ['y', 2],
    ] as Value[],
    [null, 'b'],
    [
      ['level_0', 'y'],
      ['b', 2n],
    ],
  ],
])('with the index %j', async (index, names, expected) => {
  const table = await read(frameOf(columns.slice(0, 1), index, names));
  expect(table.schema.names).toEqual([...expected.map(([name]) => name), 'int']);
  expect(expected.map((_, at) => table.getChildAt(at)?.get(1))).toEqual(expected.map(([, item]) => item));
});

test('two columns of one name, a series, and nothing', async () => {
  const twice = await read(
    frameOf([
      ['a', Float64Array.of(1, 2), 'float64', '', []],
      ['a', ['x', 'y'], 'str', '', []],
      ['a_1', ['z', 'z'], 'str', '', []],
      ['a', ['u', 'v'], 'str', '', []],
    ]),
  );
  expect(twice.schema.names).toEqual(['a', 'a_2', 'a_1', 'a_3']);
  expect(twice.getChildAt(1)?.get(1)).toBe('y');
  const series = new Series({ name: null, dtype: 'str', data: ['x'], index: null, indexNames: [null] });
  expect((await read(series)).toArray().map((row) => row.toJSON())).toEqual([{ 0: 'x' }]);
  const empty = { index: null, indexNames: [null], length: 0 };
  const bare = new DataFrame({
    columns: ['a', 'b'],
    dtypes: ['str', 'bool'],
    data: [[], nd(new Uint8Array(), 'bool')],
    ...empty,
  });
  expect((await read(bare)).numRows).toBe(0);
  expect((await read(bare)).schema.names).toEqual(['a', 'b']);
  const none = new DataFrame({ ...empty, columns: [], dtypes: [], data: [], length: 3 });
  expect((await read(none)).numRows).toBe(3);
});
