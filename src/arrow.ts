/** `vivarium/arrow`: tables as Arrow bytes. Needs the package `apache-arrow`. */
import type { Data, DataType, TimeUnit } from 'apache-arrow';
import { UsageError } from './errors/errors.ts';
import { itemsOf, levelsOf, unitOf } from './protocol/tables.ts';
import { isTypedArray } from './protocol/typed-arrays.ts';
import { valueToJson } from './protocol/value-json.ts';
import type { Column, DataFrame, Series, Value } from './runtime.ts';

type Arrow = typeof import('apache-arrow');

/**
 * The table as an Arrow IPC stream. An index that is more than the count of rows becomes the first columns, named as
 * `records({ index: true })` names them; of columns with one label the later ones get a number: `a`, `a_1`. NaT is null; times of a zone keep it; columns of mixed types are JSON text.
 * Rejects with a `UsageError` when `apache-arrow` is not installed.
 */
export async function toArrow(table: DataFrame | Series): Promise<Uint8Array> {
  const arrow = await load();
  const frame = 'columns' in table ? table : asFrame(table);
  const { columns, data, dtypes, index, length } = frame;
  const levels: [string, Column, string][] =
    index === null ? [] : levelsOf(frame, length).map(([name, items]) => [name, items, '']);
  const single = levels[0];
  // As it lies in memory, unless it has levels.
  if (single !== undefined && levels.length === 1 && index !== null) single[1] = index;
  const all = [
    ...levels,
    ...columns.map((name, at): [string, Column, string] => [name, data[at] ?? [], dtypes[at] ?? '']),
  ];
  const children = all.map(([, column, dtype]) => dataOf(arrow, column, dtype));
  const names = unique(all.map(([name]) => name));
  const fields = names.map((name, at) => new arrow.Field(name, children[at]?.type ?? new arrow.Null(), true));
  const schema = new arrow.Schema(fields);
  const rows = arrow.makeData({ type: new arrow.Struct(fields), length, nullCount: 0, children });
  return arrow.tableToIPC(new arrow.Table([new arrow.RecordBatch(schema, rows)]), 'stream');
}

/** What apache-arrow 21 writes of two columns with one name, it can't read. */
function unique(names: readonly string[]): string[] {
  const taken = new Set(names);
  const seen = new Set<string>();
  return names.map((name) => {
    let free = name;
    for (let count = 1; seen.has(name) && taken.has(free); count++) free = `${name}_${count}`;
    seen.add(name);
    taken.add(free);
    return free;
  });
}

async function load(): Promise<Arrow> {
  try {
    return await import('apache-arrow');
  } catch (cause) {
    throw new UsageError('usage', 'toArrow needs a package: npm install apache-arrow@21', { cause });
  }
}

function asFrame(series: Series): Pick<DataFrame, Exclude<keyof DataFrame, 'records'>> {
  const { name, dtype, data, index, indexNames } = series;
  const length = series.values().length;
  return { columns: [name ?? '0'], dtypes: [dtype], data: [data], index, indexNames, length };
}

function dataOf(arrow: Arrow, column: Column, pandasType: string): Data {
  if (Array.isArray(column)) return inferred(arrow, column);
  if (isTypedArray(column)) return single(arrow.makeVector(column));
  const { data, dtype } = column;
  if (data instanceof BigInt64Array && /^(datetime|timedelta)64/.test(dtype)) {
    return times(arrow, data, dtype, pandasType);
  }
  if (dtype === 'bool') return built(arrow, itemsOf(column), new arrow.Bool());
  if (dtype.startsWith('complex')) {
    const part = dtype === 'complex64' ? new arrow.Float32() : new arrow.Float64();
    const parts = ['real', 'imag'].map((name) => new arrow.Field(name, part, false));
    return built(arrow, itemsOf(column), new arrow.Struct(parts));
  }
  return single(arrow.makeVector(data));
}

const notATime = -(2n ** 63n);

function times(arrow: Arrow, counts: BigInt64Array, dtype: string, pandasType: string): Data {
  const { count, unit } = unitOf(dtype);
  const { TimeUnit, Timestamp, Duration } = arrow;
  const units: Record<string, TimeUnit> = {
    s: TimeUnit.SECOND,
    ms: TimeUnit.MILLISECOND,
    us: TimeUnit.MICROSECOND,
    ns: TimeUnit.NANOSECOND,
  };
  const known = count === 1n ? units[unit] : undefined;
  const zone = /, (.+)\]$/.exec(pandasType)?.[1];
  const type = (as: TimeUnit): DataType =>
    dtype.startsWith('datetime') ? new Timestamp(as, zone ?? null) : new Duration(as);
  if (known !== undefined) return nullable(arrow, type(known), counts, (at) => counts[at] === notATime);
  // Units that Arrow lacks.
  const items = itemsOf({ data: counts, shape: [counts.length], dtype });
  return milliseconds(arrow, type(TimeUnit.MILLISECOND), items);
}

function milliseconds(arrow: Arrow, type: DataType, items: readonly Value[]): Data {
  const counts = BigInt64Array.from(items, (item) => BigInt(Math.round(Number(item ?? 0))));
  return nullable(arrow, type, counts, (at) => items[at] === null);
}

function nullable(arrow: Arrow, type: DataType, data: BigInt64Array, isNull: (at: number) => boolean): Data {
  const valid = new Uint8Array(Math.ceil(data.length / 8));
  let nullCount = 0;
  for (let at = 0; at < data.length; at++) {
    if (isNull(at)) nullCount += 1;
    else valid[at >> 3] = (valid[at >> 3] ?? 0) | (1 << (at & 7));
  }
  const nulls = nullCount === 0 ? {} : { nullBitmap: valid };
  // The cast: the overloads of `makeData` are by exact type.
  const props = { type: type as InstanceType<Arrow['Timestamp']>, length: data.length, nullCount, data };
  return arrow.makeData({ ...props, ...nulls });
}

/** The narrowest type for all items. */
function inferred(arrow: Arrow, items: readonly Value[]): Data {
  const present = items.filter((item) => item !== null && item !== undefined);
  const all = (test: (item: Value) => boolean): boolean => present.every(test);
  if (present.length === 0) return arrow.makeData({ type: new arrow.Null(), length: items.length });
  if (all((item) => typeof item === 'string')) return built(arrow, items, new arrow.Utf8());
  if (all((item) => typeof item === 'boolean')) return built(arrow, items, new arrow.Bool());
  if (all((item) => item instanceof Uint8Array)) return built(arrow, items, new arrow.Binary());
  if (all((item) => item instanceof Date)) {
    return milliseconds(arrow, new arrow.TimestampMillisecond(), items);
  }
  if (all(isInt64)) {
    const counts = BigInt64Array.from(items, (item) => BigInt((item ?? 0) as number | bigint));
    return nullable(arrow, new arrow.Int64(), counts, (at) => items[at] === null);
  }
  if (all((item) => typeof item === 'number')) return built(arrow, items, new arrow.Float64());
  const texts = items.map((item) =>
    item === null || typeof item === 'string' ? item : JSON.stringify(valueToJson(item)),
  );
  return built(arrow, texts, new arrow.Utf8());
}

function isInt64(item: Value): boolean {
  if (typeof item === 'bigint') return item === BigInt.asIntN(64, item);
  return typeof item === 'number' && Number.isSafeInteger(item) && !Object.is(item, -0);
}

function built(arrow: Arrow, items: readonly Value[], type: DataType): Data {
  if (items.length === 0) return arrow.makeData({ type: type as InstanceType<Arrow['Utf8']>, length: 0 });
  return single(arrow.vectorFromArray(items, type));
}

function single({ data }: { data: readonly Data[] }): Data {
  const [first] = data;
  if (first === undefined || data.length > 1) throw new TypeError('a column in more than one chunk');
  return first;
}
