/** A value of Python's as JSON; after a NUL its parts, each a byte for its length and so many bytes. */
import { isDeepStrictEqual } from 'node:util';
import { protocolLimits } from '../../../src/protocol/limits.ts';
import { ProtocolError } from '../../../src/protocol/protocol-error.ts';
import { DataFrame, Series } from '../../../src/protocol/tables.ts';
import { decodeValue, encodeValue } from '../../../src/protocol/value-codec.ts';
import { valueToJson } from '../../../src/protocol/value-json.ts';
import { PythonRepr } from '../../../src/protocol/values.ts';
import type { Value } from '../../../src/runtime.ts';
import { bytesOf, ensure, refusable } from '../target.ts';

export const sources: readonly string[] = [
  ...['value-codec', 'value-json', 'tables', 'typed-arrays', 'json'].map((name) => `protocol/${name}.ts`),
];
export const json = true;
export const maxBytes = 262_144;
export const dictionary: readonly string[] = [
  ...'ltdsifcbaFSDyor'.split(''),
  ...['i1', 'u1', 'i8', 'u8', 'f4', 'f8', '?1', 'nan', 'inf', '-inf', '-0', 'type', 'cycle', 'depth', 'size'],
  ...[
    'bool',
    'int8',
    'uint8',
    'int64',
    'float16',
    'float64',
    'complex64',
    'complex128',
    'shape',
    'dtype',
    'data',
  ],
  ...[
    'datetime64[ns]',
    'timedelta64[25s]',
    'datetime64[Y]',
    'datetime64',
    '2024-02-29T12:00:00.123456+01:30:15',
  ],
  ...[
    '-271821-04-20T00:00:00Z',
    '+275760-09-13T00:00:00Z',
    '0001-01-01',
    '9'.repeat(40),
    '-',
    '__proto__',
    '\0',
  ],
];

const plain: Value[] = [
  [null, true, -0, Number.NaN, -Infinity, 2 ** 53, 12n ** 30n, 'text', '\ud800'],
  { a: { b: [1, 2.5] }, __proto__x: new Map<Value, Value>([[1, new Set([1, 'x'])]]) },
  [new Date(0), new PythonRepr('module', '<m>', 'type'), { real: 1, imag: 2 }],
  [new Uint8Array(3), new Int16Array(2), new Float64Array(1), new BigInt64Array(2)],
  { data: new Float64Array(4), shape: [2, 2], dtype: 'float64' },
  { data: new BigInt64Array([0n, -1n, 1n << 62n]), shape: [3], dtype: 'datetime64[D]' },
  { data: new Float32Array(4), shape: [2], dtype: 'complex64' },
  new DataFrame({
    columns: ['a', 'b'],
    dtypes: ['int64', 'str'],
    data: [new BigInt64Array([1n, 2n]), ['x', null]],
    index: [
      ['k', 1],
      ['l', 2],
    ],
    indexNames: ['i', null],
    length: 2,
  }),
  new Series({
    name: 's',
    dtype: 'bool',
    data: { data: new Uint8Array(2), shape: [2], dtype: 'bool' },
    index: null,
    indexNames: [null],
  }),
];
const wires: unknown[] = [
  [
    't',
    1,
    ['o', 'C', 'x', 1],
    ['c', 1, ['f', 'nan']],
    ['y', '2024-01-02'],
    ['D', '2024-02-29T12:00:00.5+01:30:15'],
  ],
  ['F', ['l', 'a'], ['l', 'int8'], ['l', ['a', 'i1', 0, [1], 'int8']], null, ['l', null], 1],
  ['F', ['l'], ['l'], ['l'], null, ['l', null], 9],
  ['S', null, 'int8', ['d', 'shape', ['l', 3], 'dtype', 'int8'], null, ['l', null]],
  ['d', 'shape', ['l', 3], 'dtype', 'int8', '__proto__', ['d', 'x', 1]],
];
export const seeds: readonly Uint8Array[] = [
  ...plain.map((value) => {
    const { json: text, parts } = encodeValue(value);
    return Buffer.concat([
      bytesOf(text),
      Uint8Array.of(0),
      ...parts.flatMap((part) => [Uint8Array.of(part.length), part]),
    ]);
  }),
  ...wires.map((wire) => bytesOf(JSON.stringify(wire))),
];

const { maxBareRows } = protocolLimits;

export function fuzz(data: Uint8Array): void {
  const end = data.indexOf(0);
  const text = end === -1 ? data : data.subarray(0, end);
  const parts = end === -1 ? [] : partsOf(data.subarray(end + 1));
  const value = refusable(() => decodeValue(text, parts), ProtocolError);
  if (value === undefined) return;
  // What programs do with values first.
  const nodes = nodesOf(valueToJson(value));
  ensure(nodes <= 4 * data.length + maxBareRows + 100, `${nodes} nodes of JSON from ${data.length} bytes`);
  if (value instanceof DataFrame) value.records({ index: true });
  if (value instanceof Series) value.values();
  roundTrip(value);
}

/** Once through JavaScript's encoder a value is as stable as what programs send. */
function roundTrip(value: Value): void {
  const first = refusable(() => encodeValue(value), TypeError);
  // Python may nest deeper than what goes in.
  if (first === undefined) return;
  const back = decodeValue(first.json, first.parts);
  const second = encodeValue(back);
  ensure(
    second.json === first.json && isDeepStrictEqual(second.parts, first.parts),
    'encodes to something else',
  );
}

function nodesOf(json: unknown): number {
  if (typeof json !== 'object' || json === null) return 1;
  return Object.values(json).reduce((sum: number, item) => sum + nodesOf(item), 1);
}

function partsOf(bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += 1 + (bytes[at] ?? 0))
    parts.push(bytes.slice(at + 1, at + 1 + (bytes[at] ?? 0)));
  return parts;
}
