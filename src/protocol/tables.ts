import type {
  Column,
  DataFrame as DataFrameLike,
  Series as SeriesLike,
  TypedArray,
  Value,
} from '../runtime.ts';
import { isNdArray, isTypedArray } from './typed-arrays.ts';

/** See the interface in `runtime.ts`. */
export class DataFrame implements DataFrameLike {
  readonly columns: readonly string[];
  readonly dtypes: readonly string[];
  readonly data: readonly Column[];
  readonly index: Column | null;
  readonly indexNames: readonly (string | null)[];
  readonly length: number;

  constructor(fields: Omit<DataFrameLike, 'records'>) {
    this.columns = fields.columns;
    this.dtypes = fields.dtypes;
    this.data = fields.data;
    this.index = fields.index;
    this.indexNames = fields.indexNames;
    this.length = fields.length;
  }

  records(options: { index?: boolean } = {}): Record<string, Value>[] {
    const { columns, data, length } = this;
    const cells: [string, Value[]][] = columns.map((name, at) => [name, itemsOf(data[at] ?? [])]);
    const all = options.index ? [...levelsOf(this, length), ...cells] : cells;
    // `fromEntries` defines properties, so `__proto__` is a column like any other.
    return Array.from({ length }, (_, row) =>
      Object.fromEntries(all.map(([name, items]) => [name, items[row]])),
    );
  }
}

/** See the interface in `runtime.ts`. */
export class Series implements SeriesLike {
  readonly name: string | null;
  readonly dtype: string;
  readonly data: Column;
  readonly index: Column | null;
  readonly indexNames: readonly (string | null)[];

  constructor(fields: Omit<SeriesLike, 'values'>) {
    this.name = fields.name;
    this.dtype = fields.dtype;
    this.data = fields.data;
    this.index = fields.index;
    this.indexNames = fields.indexNames;
  }

  values(): Value[] {
    return itemsOf(this.data);
  }
}

/** The index as columns with names, as pandas' `reset_index` names them. */
export function levelsOf(
  { index, indexNames }: Pick<DataFrameLike, 'index' | 'indexNames'>,
  length: number,
): [string, Value[]][] {
  const rows = index === null ? Array.from({ length }, (_, row) => row) : itemsOf(index);
  if (indexNames.length === 1) return [[indexNames[0] ?? 'index', rows]];
  return indexNames.map((name, level) => [
    name ?? `level_${level}`,
    rows.map((row) => (Array.isArray(row) ? row[level] : null)),
  ]);
}

/** Undefined when it is no column. */
export function lengthOf(column: unknown): number | undefined {
  if (Array.isArray(column) || isTypedArray(column)) return column.length;
  // A dict with such keys may hold anything under them.
  if (typeof column !== 'object' || column === null || !isNdArray(column)) return undefined;
  return column.shape.length === 1 && column.dtype !== undefined ? column.shape[0] : undefined;
}

/** Each element as a plain value: numbers, booleans, `{ real, imag }`, dates, milliseconds. */
export function itemsOf(column: Column): Value[] {
  if (Array.isArray(column)) return column;
  if (isTypedArray(column)) return plain(column);
  const { data, dtype } = column;
  if (dtype === 'bool') return numbers(data).map((item) => item !== 0);
  if (dtype.startsWith('complex')) return pairs(numbers(data));
  if (dtype.startsWith('datetime64')) return counts(data).map((count) => dateOf(count, dtype));
  if (dtype.startsWith('timedelta64')) return counts(data).map((count) => durationOf(count, dtype));
  return plain(data);
}

/** Integers as a single one crosses: a bigint only where a number isn't exact. */
function plain(data: TypedArray): (number | bigint)[] {
  return Array.from<number | bigint, number | bigint>(data, (item) =>
    typeof item === 'bigint' && Number.isSafeInteger(Number(item)) ? Number(item) : item,
  );
}

function numbers(data: TypedArray): number[] {
  return Array.from<number | bigint, number>(data, Number);
}

function counts(data: TypedArray): bigint[] {
  return Array.from<number | bigint, bigint>(data, BigInt);
}

function pairs(items: readonly number[]): Value[] {
  return Array.from({ length: items.length / 2 }, (_, at) => ({
    real: items[2 * at] ?? 0,
    imag: items[2 * at + 1] ?? 0,
  }));
}

const notATime = -(2n ** 63n);

/** Of a unit, in attoseconds: no unit is a fraction of it. */
const attoseconds: ReadonlyMap<string, bigint> = new Map([
  ['W', 604_800n * 10n ** 18n],
  ['D', 86_400n * 10n ** 18n],
  ['h', 3600n * 10n ** 18n],
  ['m', 60n * 10n ** 18n],
  ['s', 10n ** 18n],
  ['ms', 10n ** 15n],
  ['us', 10n ** 12n],
  ['ns', 10n ** 9n],
  ['ps', 10n ** 6n],
  ['fs', 1000n],
  ['as', 1n],
]);
const millisecond = 10n ** 15n;

/** Of `datetime64[25s]`: 25 and `s`. */
export function unitOf(dtype: string): { count: bigint; unit: string } {
  const [, count = '', unit = ''] = /\[(\d*)(\D+)\]$/.exec(dtype) ?? [];
  return { count: BigInt(count || 1), unit };
}

/** Null for NaT, and for what no `Date` can be. */
function dateOf(count: bigint, dtype: string): Date | null {
  if (count === notATime) return null;
  const { count: step, unit } = unitOf(dtype);
  let ms: number;
  if (unit === 'Y' || unit === 'M') {
    const date = new Date(0);
    date.setUTCMonth(Number(count * step) * (unit === 'Y' ? 12 : 1));
    ms = date.getTime();
  } else {
    const size = attoseconds.get(unit);
    if (size === undefined) return null;
    // Rounded down, as Python cuts the digits of a time before 1970.
    const all = count * step * size;
    ms = Number(all / millisecond - (all % millisecond < 0n ? 1n : 0n));
  }
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? null : date;
}

/** In milliseconds; null for NaT, and for years and months, which have no length. */
function durationOf(count: bigint, dtype: string): number | null {
  const { count: step, unit } = unitOf(dtype);
  const size = attoseconds.get(unit);
  if (count === notATime || size === undefined) return null;
  const all = count * step * size;
  return Number(all / millisecond) + Number(all % millisecond) / Number(millisecond);
}

/** Whether it is one of a table: flat, and as long as that. */
export function isColumn(column: unknown, length: number): column is Column {
  return lengthOf(column) === length;
}
