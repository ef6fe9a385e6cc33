import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toBase64 } from './text.ts';
import { valueToJson } from './value-json.ts';
import { PythonRepr } from './values.ts';

test('every kind of value', () => {
  const value = {
    plain: [null, undefined, true, 1.5, 'a'],
    numbers: [Number.NaN, Infinity, -Infinity, 5n, 2n ** 53n, -(2n ** 53n)],
    bytes: Uint8Array.of(0, 255),
    array: Float32Array.of(0.5, Number.NaN),
    longs: BigInt64Array.of(1n, 2n ** 60n),
    nd: { data: Int8Array.of(1, 2, 3, 4, 5, 6), shape: [3, 2] },
    scalar: { data: Int8Array.of(7), shape: [] },
    none: { data: new Int8Array(), shape: [1e15, 0] },
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
    map: [[1, [2]]],
    date: '1970-01-01T00:00:00.000Z',
    repr: '<T>',
  });
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
