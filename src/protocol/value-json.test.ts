import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ProtocolError } from './protocol-error.ts';
import { DataFrame, Series } from './tables.ts';
import { toBase64 } from './text.ts';
import { decodeValue } from './value-codec.ts';
import { valueToJson } from './value-json.ts';
import { PythonRepr } from './values.ts';

test('every kind of value', () => {
  const value = {
    plain: [null, undefined, true, 1.5, 'a'],
    numbers: [Number.NaN, Infinity, -Infinity, 5n, 2n ** 53n, -(2n ** 53n)],
    bytes: Uint8Array.of(0, 255),
    array: Float32Array.of(0.5, Number.NaN),
    longs: BigInt64Array.of(1n, 2n ** 60n),
    nd: { data: Int8Array.of(1, 2, 3, 4, 5, 6), shape: [3, 2], dtype: 'int8' },
    scalar: { data: Int8Array.of(7), shape: [], dtype: 'int8' },
    none: { data: new Int8Array(), shape: [1e15, 0], dtype: 'int8' },
    flags: { data: Uint8Array.of(1, 0), shape: [2, 1], dtype: 'bool' },
    times: { data: BigInt64Array.of(0n, -(2n ** 63n)), shape: [2], dtype: 'datetime64[s]' },
    complex: { data: Float64Array.of(1, Number.NaN), shape: [1], dtype: 'complex128' },
    frame: new DataFrame({
      columns: ['n'],
      dtypes: ['int64'],
      data: [BigInt64Array.of(1n, 2n)],
      index: null,
      indexNames: [null],
      length: 2,
    }),
    grouped: new DataFrame({
      columns: ['n'],
      dtypes: ['float64'],
      data: [Float64Array.of(0.5)],
      index: ['x'],
      indexNames: ['key'],
      length: 1,
    }),
    series: new Series({ name: null, dtype: 'str', data: ['a'], index: null, indexNames: [null] }),
    indexed: new Series({
      name: 's',
      dtype: 'str',
      data: ['a'],
      index: Float64Array.of(7),
      indexNames: [null],
    }),
    map: new Map([[1, new Set([2])]]),
    date: new Date(0),
    repr: new PythonRepr('T', '<T>', 'type'),
  };
  expect(valueToJson(value)).toStrictEqual({
    plain: [null, null, true, 1.5, 'a'],
    numbers: ['NaN', 'Infinity', '-Infinity', 5, '9007199254740992', '-9007199254740992'],
    bytes: { $bytes: 'AP8=' },
    array: [0.5, 'NaN'],
    longs: [1, '1152921504606846976'],
    nd: [
      [1, 2],
      [3, 4],
      [5, 6],
    ],
    scalar: 7,
    none: [],
    flags: [[true], [false]],
    times: ['1970-01-01T00:00:00.000Z', null],
    complex: [{ real: 1, imag: 'NaN' }],
    frame: [{ n: 1 }, { n: 2 }],
    grouped: [{ key: 'x', n: 0.5 }],
    series: ['a'],
    indexed: [[7, 'a']],
    map: [[1, [2]]],
    date: '1970-01-01T00:00:00.000Z',
    repr: '<T>',
  });
});

test('a dict that merely looks like an array is no column', () => {
  const fake = ['d', 'shape', ['l', 3], 'dtype', 'int8'];
  const index = [null, ['l', null]];
  for (const wire of [
    ['S', null, 'int8', fake, ...index],
    ['S', null, 'int8', ['l', 1, 2, 3], fake, ['l', null]],
    ['F', ['l', 'a'], ['l', 'int8'], ['l', fake], ...index, 3],
    ['F', ['l'], ['l'], ['l'], ['d', 'shape', ['l', 1e15], 'dtype', 'x'], ['l', null], 1e15],
  ])
    expect(() => decodeValue(JSON.stringify(wire))).toThrow(ProtocolError);
});

test('`__proto__` stays a key', () => {
  const value = valueToJson(JSON.parse('{"__proto__":{"polluted":1}}'));
  expect(JSON.stringify(value)).toBe('{"__proto__":{"polluted":1}}');
});

test('base64', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => {
      expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString('base64'));
    }),
  );
  const large = Uint8Array.from({ length: 300_000 }, (_, index) => index);
  expect(toBase64(large)).toBe(Buffer.from(large).toString('base64'));
});
