import { protocolLimits } from './limits.ts';
import { ProtocolError } from './protocol-error.ts';
import { encodeUtf8 } from './text.ts';

/**
 * Readers: `unknown` in, a fresh value of the type out, or a `ProtocolError` that names the path. Nothing of the input
 * but strings, numbers and binary parts is passed on.
 */
export type Reader<T> = (value: unknown, at: string) => T;

export function fail(at: string, problem: string): never {
  throw new ProtocolError(`${at}: ${problem}`);
}

/** A string of at most `max` UTF-16 units. */
export function text(max: number = protocolLimits.maxTextChars): Reader<string> {
  return (value, at) => {
    if (typeof value !== 'string') fail(at, 'must be a string');
    if (value.length > max) fail(at, `${value.length} chars, at most ${max}`);
    return value;
  };
}

const anyId = text(protocolLimits.maxIdChars);
export const id: Reader<string> = (value, at) => anyId(value, at) || fail(at, 'must not be empty');
export const name: Reader<string> = text(protocolLimits.maxNameChars);

export const boolean: Reader<boolean> = (value, at) =>
  typeof value === 'boolean' ? value : fail(at, 'must be true or false');

/** Finite. */
export const number: Reader<number> = (value, at) =>
  typeof value === 'number' && Number.isFinite(value) ? value : fail(at, 'must be a finite number');

export const integer: Reader<number> = (value, at) =>
  Number.isSafeInteger(value) ? (value as number) : fail(at, 'must be an integer');

/** An integer from 0. */
export const count: Reader<number> = (value, at) =>
  integer(value, at) >= 0 ? (value as number) : fail(at, 'must not be negative');

/** A finite number from 0. */
export const amount: Reader<number> = (value, at) =>
  number(value, at) >= 0 ? (value as number) : fail(at, 'must not be negative');

export function oneOf<T extends string>(...values: readonly T[]): Reader<T> {
  return (value, at) =>
    values.find((one) => one === value) ?? fail(at, `must be one of ${values.join(', ')}`);
}

export function nullable<T>(inner: Reader<T>): Reader<T | null> {
  return (value, at) => (value === null ? null : inner(value, at));
}

export function list<T>(max: number, item: Reader<T>): Reader<T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) fail(at, 'must be an array');
    if (value.length > max) fail(at, `${value.length} items, at most ${max}`);
    // A loop, not `map`, so that holes are read as undefined.
    const items: T[] = [];
    for (let i = 0; i < value.length; i++) items.push(item(value[i], `${at}[${i}]`));
    return items;
  };
}

/** An object with any keys. */
export function record<T>(max: number, item: Reader<T>): Reader<Record<string, T>> {
  return (value, at) => {
    const entries = Object.entries(plain(value, at));
    if (entries.length > max) fail(at, `${entries.length} entries, at most ${max}`);
    return Object.fromEntries(
      entries.map(([key, entry]) => {
        const path = `${at}.${key.length > 40 ? `${key.slice(0, 40)}…` : key}`;
        return [key, item(entry, path)];
      }),
    );
  };
}

type Fields<T> = { [K in keyof T]-?: Reader<Exclude<T[K], undefined>> };
type Optional<T> = { [K in keyof T]-?: undefined extends T[K] ? K : never }[keyof T];

/** An object with exactly these fields; those named as optional may be absent. */
export function object<T extends object>(fields: Fields<T>, ...optional: Optional<T>[]): Reader<T> {
  const readers = Object.entries(fields) as [string, Reader<unknown>][];
  const mayMiss = new Set<unknown>(optional);
  return (value, at) => {
    const input = plain(value, at);
    const output: Record<string, unknown> = {};
    let known = 0;
    for (const [key, reader] of readers) {
      const own = Object.hasOwn(input, key);
      if (own) known++;
      const field = own ? input[key] : undefined;
      if (field !== undefined) output[key] = reader(field, `${at}.${key}`);
      else if (!mayMiss.has(key)) fail(`${at}.${key}`, 'is missing');
    }
    const keys = Object.keys(input);
    if (keys.length > known) {
      const unknown = keys.find((key) => !Object.hasOwn(fields, key)) ?? '';
      fail(`${at}.${unknown.slice(0, 40)}`, 'is unknown');
    }
    return output as T;
  };
}

/** Binary parts. Shared memory is refused: it could change after it was looked at. */
export const parts: Reader<Uint8Array[]> = list(protocolLimits.maxParts, (value, at) => {
  if (!(value instanceof Uint8Array)) return fail(at, 'must be a Uint8Array');
  return value.buffer instanceof ArrayBuffer ? value : fail(at, 'must not be shared memory');
});

/**
 * Any JSON value, copied, nested at most `depth` deep. `left` is how many containers there may be: what a thread posts may
 * refer to one of them from many places.
 */
function json(depth: number, left: { containers: number }): Reader<unknown> {
  return (value, at) => {
    if (value === null || typeof value === 'boolean') return value;
    if (typeof value === 'string') return anyText(value, at);
    if (typeof value === 'number') return number(value, at);
    if (depth === 0) return fail(at, 'is nested too deep');
    if (left.containers-- === 0) return fail(at, `more than ${protocolLimits.maxJsonContainers} containers`);
    const inner = json(depth - 1, left);
    return Array.isArray(value) ? anyList(inner)(value, at) : anyRecord(inner)(value, at);
  };
}

/** Any JSON object, copied, nested at most 100 deep. */
export const jsonObject: Reader<Record<string, unknown>> = (value, at) =>
  anyRecord(json(100, { containers: protocolLimits.maxJsonContainers }))(value, at);

const anyText = text();
const anyList = (item: Reader<unknown>): Reader<unknown[]> => list(protocolLimits.maxJsonContainers, item);
const anyRecord = (item: Reader<unknown>): Reader<Record<string, unknown>> =>
  record(protocolLimits.maxJsonContainers, item);

/** A relative path with `/`, of no empty, `.` or `..` segment. Backslashes are letters, as in Python's file system. */
export const path: Reader<string> = (value, at) => {
  if (typeof value !== 'string') return fail(at, 'must be a string');
  if (value.length > protocolLimits.maxPathBytes || encodeUtf8(value).length > protocolLimits.maxPathBytes) {
    fail(at, `longer than ${protocolLimits.maxPathBytes} bytes`);
  }
  if (value.includes('\0')) fail(at, 'must not contain NUL');
  if (/(^|\/)\.{0,2}(\/|$)/.test(value)) fail(at, `must be relative, without empty, '.' or '..' segments`);
  return value;
};

/** An absolute one, likewise. */
export const absolutePath: Reader<string> = (value, at) => {
  if (typeof value !== 'string' || !value.startsWith('/')) return fail(at, 'must be an absolute path');
  path(value.slice(1), at);
  return value;
};

function plain(value: unknown, at: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(at, 'must be an object');
  const prototype: unknown = Object.getPrototypeOf(value);
  // A Map or a typed array would pass as an object of no fields. Objects of another realm are fine.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) fail(at, 'must be a plain object');
  return value as Record<string, unknown>;
}
