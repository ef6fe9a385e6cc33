import type { Column, TypedArray, Value } from '../runtime.ts';
import { parseJson } from './json.ts';
import { protocolLimits } from './limits.ts';
import { ProtocolError } from './protocol-error.ts';
import { DataFrame, isColumn, lengthOf, Series } from './tables.ts';
import {
  dtypeOf,
  type Format,
  formatOf,
  formats,
  isLength,
  isNdArray,
  isTypedArray,
  layoutOf,
  product,
} from './typed-arrays.ts';
import { PythonRepr, type WireValue } from './values.ts';

/** The table of `values.ts` in code: encode, then decode. */

// ---- encode --------------------------------------------------------------------------------------------------------

export interface EncodeOptions {
  /** How errors call the value. Default `value`. */
  name?: string;
  /** Index of the first buffer among the message's parts. Default 0. */
  firstPart?: number;
}

/**
 * A JavaScript value for Python. Buffers are copied, so that they can be transferred while the caller keeps his.
 * Throws one `TypeError` that names the place of what can't cross: functions, symbols, instances of classes, cycles,
 * more than 100 levels.
 */
export function encodeValue(
  value: unknown,
  options: EncodeOptions = {},
): { json: string; parts: Uint8Array[] } {
  const encoder = new Encoder(options.firstPart ?? 0);
  const json = JSON.stringify(encoder.encode(value, options.name ?? 'value', undefined));
  return { json, parts: encoder.parts };
}

/** Where a value lies in the one being encoded; made into text only when something is wrong. */
interface Place {
  parent: Place | undefined;
  key: string | number;
}

class Encoder {
  readonly parts: Uint8Array[] = [];
  readonly #firstPart: number;
  /** Containers around the present value. */
  readonly #open = new Set<object>();
  #containers = 0;
  /** At most the JSON's length: references to one big object may not multiply without end. */
  #chars = 0;

  constructor(firstPart: number) {
    this.#firstPart = firstPart;
  }

  encode(value: unknown, key: string | number, parent: Place | undefined): WireValue {
    this.#chars += typeof value === 'string' ? value.length + 2 : 2;
    if (this.#chars > protocolLimits.maxJsonBytes) refuse({ parent, key }, 'is too large');
    switch (typeof value) {
      case 'boolean':
      case 'string':
        return value;
      case 'undefined':
        return null;
      case 'number':
        if (Object.is(value, -0)) return ['f', '-0'];
        if (Number.isFinite(value)) return value;
        return ['f', Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf'];
      case 'bigint':
        return ['i', digits(value, { parent, key })];
      case 'object':
        return value === null ? null : this.#object(value, { parent, key });
      case 'function':
      case 'symbol':
        return refuse({ parent, key }, `is a ${typeof value}`);
    }
  }

  #object(value: object, place: Place): WireValue {
    if (this.#open.has(value)) refuse(place, 'contains itself');
    if (this.#open.size >= protocolLimits.maxValueDepth) {
      refuse(place, `is nested deeper than ${protocolLimits.maxValueDepth}`);
    }
    if (++this.#containers > protocolLimits.maxJsonContainers) refuse(place, 'is too large');
    this.#open.add(value);
    const wire = this.#container(value, place);
    this.#open.delete(value);
    return wire;
  }

  #container(value: object, place: Place): WireValue {
    if (Array.isArray(value)) return ['l', ...this.#items(value, place)];
    if (ArrayBuffer.isView(value)) return this.#view(value, place);
    if (value instanceof PythonRepr) return ['r', value.type, value.repr, value.why];
    // By tag, not by class, so that objects of another realm are taken too.
    switch (Object.prototype.toString.call(value)) {
      case '[object Map]':
        return ['d', ...this.#pairs([...(value as Map<unknown, unknown>)], place)];
      case '[object Set]':
        return ['s', ...this.#items([...(value as Set<unknown>)], place)];
      case '[object Date]':
        return ['D', iso(value as Date, place)];
    }
    if (isNdArray(value)) return this.#array(value.data, value.shape, place, value.dtype);
    if (value instanceof DataFrame) return ['F', ...this.#items(fieldsOfFrame(value), place)];
    if (value instanceof Series) return ['S', ...this.#items(fieldsOfSeries(value), place)];
    if (!isPlain(value)) refuse(place, `is a ${value.constructor?.name || 'class instance'}`);
    return ['d', ...this.#pairs(Object.entries(value), place)];
  }

  #items(items: readonly unknown[], place: Place): WireValue[] {
    if (2 * items.length > protocolLimits.maxJsonBytes) refuse(place, 'is too large');
    const wire: WireValue[] = [];
    for (let i = 0; i < items.length; i++) wire.push(this.encode(items[i], i, place));
    return wire;
  }

  #pairs(entries: readonly (readonly [unknown, unknown])[], place: Place): WireValue[] {
    return entries.flatMap(([key, item], index) => {
      const name = typeof key === 'string' ? key : index;
      return [this.encode(key, name, place), this.encode(item, name, place)];
    });
  }

  #view(view: ArrayBufferView, place: Place): WireValue {
    if (isTypedArray(view) && formatOf(view) !== 'u1') return this.#array(view, [view.length], place);
    if (isTypedArray(view) || view instanceof Uint8ClampedArray) return ['b', this.#part(view)];
    return refuse(place, `is a ${view.constructor.name}`);
  }

  #array(data: TypedArray, shape: readonly number[], place: Place, dtype?: string): WireValue {
    const layout = dtype === undefined ? undefined : layoutOf(dtype);
    const format = layout?.format ?? formatOf(data) ?? refuse(place, `holds a ${data.constructor.name}`);
    const array = ['a', format, this.#part(data), [...shape]] as const;
    const implied = dtype === undefined || (shape.length !== 1 && dtype === dtypeOf(format));
    return implied ? array : [...array, dtype];
  }

  #part(view: ArrayBufferView): number {
    const copy = new Uint8Array(view.byteLength);
    copy.set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
    return this.#firstPart + this.parts.push(copy) - 1;
  }
}

function digits(value: bigint, place: Place): string {
  const text = value.toString();
  const { maxIntDigits } = protocolLimits;
  return text.length > maxIntDigits ? refuse(place, `has more than ${maxIntDigits} digits`) : text;
}

function iso(date: Date, place: Place): string {
  return Number.isNaN(date.getTime()) ? refuse(place, 'is an invalid Date') : date.toISOString();
}

function fieldsOfFrame({ columns, dtypes, data, index, indexNames, length }: DataFrame): unknown[] {
  return [columns, dtypes, data, index, indexNames, length];
}

function fieldsOfSeries({ name, dtype, data, index, indexNames }: Series): unknown[] {
  return [name, dtype, data, index, indexNames];
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function refuse(place: Place, problem: string): never {
  let path = '';
  for (let at: Place | undefined = place; at !== undefined; at = at.parent) {
    const { key } = at;
    if (at.parent === undefined) path = key + path;
    else if (typeof key === 'string' && /^[\p{L}_$][\p{L}\d_$]*$/u.test(key)) path = `.${key}${path}`;
    else path = `[${JSON.stringify(key)}]${path}`;
  }
  throw new TypeError(`${path} ${problem}`);
}

// ---- decode --------------------------------------------------------------------------------------------------------

/**
 * A Python value from the wire: hostile bytes in, plain data or a `ProtocolError` out. `parts` are all parts of the
 * message. Typed arrays lie over their part where it is aligned, else over a copy.
 */
export function decodeValue(json: Uint8Array | string, parts: readonly Uint8Array[] = []): Value {
  return new Decoder(parts).decode(parseJson(json, 'value'));
}

class Decoder {
  readonly #parts: readonly Uint8Array[];
  /** Each part is one value's: what a megabyte holds must not be a million values when they are made into text. */
  readonly #taken = new Set<number>();
  #bareRows = 0;

  constructor(parts: readonly Uint8Array[]) {
    this.#parts = parts;
  }

  /** Recursion is bounded by the depth that `parseJson` lets through. */
  decode(wire: unknown): Value {
    if (wire === null || typeof wire === 'boolean' || typeof wire === 'string') return wire;
    if (typeof wire === 'number') return Number.isFinite(wire) ? wire : malformed('number');
    if (!Array.isArray(wire)) return malformed('object');
    switch (wire[0]) {
      case 'l':
      case 't':
        return this.#items(wire, 1);
      case 's':
        return new Set(this.#items(wire, 1));
      case 'd':
        return this.#dict(wire);
      case 'o':
        return typeof wire[1] === 'string'
          ? record(this.#items(wire, 2), 'dataclass')
          : malformed('dataclass');
      case 'i':
        return only(wire, 2) && isDigits(wire[1]) ? BigInt(wire[1]) : malformed('int');
      case 'f':
        return (only(wire, 2) ? floats.get(wire[1]) : undefined) ?? malformed('float');
      case 'c':
        return only(wire, 3)
          ? { real: this.#float(wire[1]), imag: this.#float(wire[2]) }
          : malformed('complex');
      case 'b':
        return only(wire, 2) ? this.#bytes(wire[1]) : malformed('bytes');
      case 'a':
        if (!only(wire, 4) && !only(wire, 5)) return malformed('buffer');
        return this.#array(wire[1], wire[2], wire[3], wire[4]);
      case 'F':
        return only(wire, 7) ? this.#frame(this.#items(wire, 1)) : malformed('frame');
      case 'S':
        return only(wire, 6) ? this.#series(this.#items(wire, 1)) : malformed('series');
      case 'D':
        return only(wire, 2) ? dateOf(wire[1], dateTime) : malformed('datetime');
      case 'y':
        return only(wire, 2) ? dateOf(wire[1], dateOnly) : malformed('date');
      case 'r':
        return only(wire, 4) ? repr(wire[1], wire[2], wire[3]) : malformed('repr');
      default:
        return malformed('tag');
    }
  }

  #items(wire: readonly unknown[], from: number): Value[] {
    const items: Value[] = [];
    for (let i = from; i < wire.length; i++) items.push(this.decode(wire[i]));
    return items;
  }

  #dict(wire: readonly unknown[]): Value {
    const flat = this.#items(wire, 1);
    if (flat.every((key, index) => index % 2 === 1 || typeof key === 'string')) return record(flat, 'dict');
    return new Map(pairs(flat, 'dict'));
  }

  #float(wire: unknown): number {
    const value = this.decode(wire);
    return typeof value === 'number' ? value : malformed('complex');
  }

  #bytes(index: unknown): Uint8Array {
    const part = isLength(index) && !this.#taken.has(index) ? this.#parts[index] : undefined;
    if (part === undefined) return malformed('part');
    this.#taken.add(index as number);
    return part;
  }

  #array(format: unknown, index: unknown, shape: unknown, named: unknown): Value {
    if (typeof format !== 'string' || !Object.hasOwn(formats, format)) return malformed('format');
    if (!Array.isArray(shape) || shape.length > 64 || !shape.every(isLength)) return malformed('shape');
    const part = this.#bytes(index);
    const dtype = named === undefined ? dtypeOf(format as Format) : named;
    if (typeof dtype !== 'string') return malformed('dtype');
    const layout = layoutOf(dtype);
    if (layout?.format !== format) return malformed('dtype');
    const type = formats[layout.format];
    const length = product(shape) * layout.items;
    if (length * type.BYTES_PER_ELEMENT !== part.byteLength) return malformed('shape');
    const bytes = part.byteOffset % type.BYTES_PER_ELEMENT === 0 ? part : new Uint8Array(part);
    // The cast: a part's memory is never shared, see `parts` in `read.ts`.
    const data = new type(bytes.buffer as ArrayBuffer, bytes.byteOffset, length);
    return shape.length === 1 && named === undefined ? data : { data, shape, dtype };
  }

  #frame(fields: readonly Value[]): DataFrame {
    const [columns, dtypes, data, index, indexNames, length] = fields;
    if (!isLength(length) || !isTexts(columns) || !isTexts(dtypes) || !Array.isArray(data)) {
      return malformed('frame');
    }
    if (columns.length !== data.length || dtypes.length !== data.length) return malformed('frame');
    // Nothing but its length says how long it is.
    if (columns.length === 0 && index === null) this.#bareRows += length;
    if (this.#bareRows > protocolLimits.maxBareRows) return malformed('frame');
    if (!data.every((column): column is Column => isColumn(column, length))) return malformed('column');
    return new DataFrame({ columns, dtypes, data, ...indexOf(index, indexNames, length), length });
  }

  #series(fields: readonly Value[]): Series {
    const [name, dtype, data, index, indexNames] = fields;
    if ((name !== null && typeof name !== 'string') || typeof dtype !== 'string') return malformed('series');
    const length = lengthOf(data);
    if (length === undefined || !isColumn(data, length)) return malformed('series');
    return new Series({ name, dtype, data, ...indexOf(index, indexNames, length) });
  }
}

function isTexts(value: Value): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function indexOf(index: Value, names: Value, length: number): Pick<DataFrame, 'index' | 'indexNames'> {
  if (index !== null && !isColumn(index, length)) return malformed('index');
  const known = (name: Value): name is string | null => name === null || typeof name === 'string';
  if (!Array.isArray(names) || names.length === 0 || !names.every(known)) return malformed('index');
  if (names.length > 1 && !isLevels(index, names.length)) return malformed('index');
  return { index, indexNames: names };
}

/** Whether each row has one label a level. */
function isLevels(index: Column | null, levels: number): boolean {
  return Array.isArray(index) && index.every((row) => Array.isArray(row) && row.length === levels);
}

const floats = new Map<unknown, number>([
  ['nan', Number.NaN],
  ['inf', Infinity],
  ['-inf', -Infinity],
  ['-0', -0],
]);

function only(wire: readonly unknown[], length: number): boolean {
  return wire.length === length;
}

function isDigits(value: unknown): value is string {
  return (
    typeof value === 'string' && value.length <= protocolLimits.maxIntDigits + 1 && /^-?\d+$/.test(value)
  );
}

function pairs(flat: readonly Value[], what: string): [Value, Value][] {
  if (flat.length % 2 === 1) malformed(what);
  return Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index], flat[2 * index + 1]]);
}

/** `fromEntries` defines properties, so `__proto__` is a key like any other. */
function record(flat: readonly Value[], what: string): Record<string, Value> {
  return Object.fromEntries(
    pairs(flat, what).map(([key, item]) => [typeof key === 'string' ? key : malformed(what), item]),
  );
}

const dateOnly = /^(\d{4}-\d\d-\d\d)$/;
const dateTime =
  /^((?:\d{4}|[+-]\d{6})-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d{1,6})?(?:Z|([+-]\d\d:\d\d)(?::(\d\d)(?:\.\d+)?)?)?$/;

function dateOf(value: unknown, pattern: RegExp): Date {
  const match = typeof value === 'string' && value.length < 50 ? pattern.exec(value) : null;
  if (match === null) return malformed('date');
  const [, day = '', time = '00:00:00', fraction = '.0', zone = 'Z', zoneSeconds = '0'] = match;
  // The only forms that every engine reads alike: three digits of a second, and a zone of hours and minutes.
  const date = new Date(`${day}T${time}${fraction.padEnd(4, '0').slice(0, 4)}${zone}`);
  date.setTime(date.getTime() - Number(zoneSeconds) * (zone.startsWith('-') ? -1000 : 1000));
  return Number.isNaN(date.getTime()) ? malformed('date') : date;
}

function repr(type: unknown, text: unknown, why: unknown): PythonRepr {
  if (typeof type !== 'string' || typeof text !== 'string') return malformed('repr');
  if (why !== 'type' && why !== 'cycle' && why !== 'depth' && why !== 'size') return malformed('repr');
  return new PythonRepr(type, text, why);
}

function malformed(what: string): never {
  throw new ProtocolError(`value: malformed ${what}`);
}
