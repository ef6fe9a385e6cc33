import type { TypedArray, Value } from '../runtime.ts';
import { DataFrame, itemsOf, Series } from './tables.ts';
import { toBase64 } from './text.ts';
import { isNdArray } from './typed-arrays.ts';
import { PythonRepr } from './values.ts';

/**
 * A value as JSON data, for `--json` and for HTTP. It can't be turned back in every case:
 *
 *     bigint             number when it is safe, else a string of digits
 *     NaN, ±Infinity     "NaN", "Infinity", "-Infinity"
 *     undefined          null
 *     Uint8Array         { "$bytes": base64 }
 *     other typed arrays array of numbers; `NdArray` nested arrays
 *     DataFrame          array of records, with its index unless that only counts the rows
 *     Series             array of items; of [index, item] when it has an index
 *     Map                array of [key, value]; Set: array
 *     Date               ISO text; PythonRepr: its repr
 */
export function valueToJson(value: Value): unknown {
  if (value === null || value === undefined) return null;
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value !== 'object') return value;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof PythonRepr) return value.repr;
  if (value instanceof Uint8Array) return { $bytes: toBase64(value) };
  if (ArrayBuffer.isView(value)) return numbers(value);
  if (value instanceof Map) return Array.from(value, ([key, item]) => [valueToJson(key), valueToJson(item)]);
  if (value instanceof Set || Array.isArray(value)) return Array.from(value, valueToJson);
  if (value instanceof DataFrame) return valueToJson(value.records({ index: value.index !== null }));
  if (value instanceof Series) return series(value);
  if (isNdArray(value)) {
    const { data, shape, dtype = '' } = value;
    return nested(itemsOf({ data, shape, dtype }).map(valueToJson), shape);
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, valueToJson(item)]));
}

function series({ data, index }: Series): unknown[] {
  const values = itemsOf(data).map(valueToJson);
  if (index === null) return values;
  const labels = itemsOf(index).map(valueToJson);
  return values.map((item, row) => [labels[row], item]);
}

function numbers(data: TypedArray): unknown[] {
  return Array.from<number | bigint, unknown>(data, valueToJson);
}

/** As Python's `tolist()`; an array without items is an empty list, whatever its shape claims. */
function nested(items: unknown[], shape: readonly number[]): unknown {
  const [length, ...inner] = shape;
  if (length === undefined) return items[0];
  if (items.length === 0 || inner.length === 0) return items;
  const step = items.length / length;
  return Array.from({ length }, (_, index) => nested(items.slice(index * step, (index + 1) * step), inner));
}
