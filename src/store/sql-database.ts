/** What `SqlStore` needs of a database, and how rows are read: they are `unknown` until parsed. */
import type { SessionKey } from './store.ts';
import { damaged } from './store-errors.ts';

export type SqlValue = string | number | null | Uint8Array;
export type Row = Readonly<Record<string, unknown>>;

/** Where the two databases' languages differ. Parameters are `$1`, `$2`, … in both. */
export interface SqlDialect {
  /** Milliseconds since 1970. */
  readonly now: string;
  /** A table `item` with columns `key`, from 0, and `value` of a parameter that is a JSON array of strings or numbers. */
  items(parameter: string): string;
  /** An aggregate to JSON. */
  readonly jsonArray: string;
  /** Ends a query whose rows, of table `alias`, nobody else may change until the transaction ends. */
  lock(alias: string): string;
  /** The same, but that rows which others have locked are left out. */
  lockFree(alias: string): string;
  /** A statement that returns `fence`, which no call has returned before. */
  readonly nextFence: string;
  /** A statement that lets one transaction at a time go on to its end; undefined where that is so anyway. */
  readonly limitLock: string | undefined;
  /** The same for migrations. */
  readonly migrationLock: string | undefined;
  /** A query that has a row if the table that notes the schema's version is there. */
  readonly findVersions: string;
}

/** What others do at the same time is in the way: the transaction is to be tried again from its beginning. */
export class Conflict extends Error {}

/** One transaction that changes something. It may be tried more than once: whoever has one does nothing else that lasts. */
export interface Transaction {
  rows(sql: string, ...values: SqlValue[]): Promise<Row[]>;
  /** These rows of `vivarium_blobs` are deleted: what lies elsewhere goes after the commit. */
  dropped(blobs: readonly Row[]): void;
}

/** Blobs that a change brings, as far as they could be put in place before it. */
export interface StagedBlobs {
  readonly given: ReadonlyMap<string, Uint8Array>;
  /** Adds rows for those that aren't there. */
  insert(tx: Transaction, hashes: readonly string[]): Promise<void>;
  /** `unknown`: their change may have been committed. */
  settle(outcome: 'stored' | 'refused' | 'unknown'): Promise<void>;
}

/** Rejects with `InternalError` `store` for whatever fails in it. */
export interface SqlDatabase extends AsyncDisposable {
  readonly kind: 'sqlite' | 'postgres';
  readonly dialect: SqlDialect;
  /** One query that changes nothing. */
  rows(sql: string, ...values: SqlValue[]): Promise<Row[]>;
  /** In one transaction, wholly or not at all. */
  change<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  stage(tenant: string, fresh: ReadonlyMap<string, Uint8Array>): Promise<StagedBlobs>;
  /** The bytes of a row of `vivarium_blobs`, unless they are in `vivarium_contents`. */
  elsewhere(blob: Row, key: SessionKey): Promise<Uint8Array | 'gone' | undefined>;
}

export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') throw unexpected(column, value);
  return value;
}

export function optionalText(row: Row, column: string): string | undefined {
  const value = row[column];
  return value === null || value === undefined ? undefined : text(row, column);
}

export function integer(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw unexpected(column, value);
  return value;
}

export function bytes(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array)) throw unexpected(column, value);
  // `pg` gives Buffers.
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

/** A JSON array of strings. */
export function texts(row: Row, column: string): string[] {
  const values = optionalText(row, column);
  const parsed: unknown = values === undefined ? [] : parse(values);
  if (!Array.isArray(parsed) || !parsed.every((item) => typeof item === 'string'))
    throw unexpected(column, values);
  return parsed;
}

export function json(row: Row, column: string): Record<string, unknown> {
  const value = text(row, column);
  const parsed = parse(value);
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw unexpected(column, value);
  return parsed as Record<string, unknown>;
}

function parse(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return undefined;
  }
}

function unexpected(column: string, value: unknown): Error {
  const kind = value === null ? 'null' : typeof value;
  return damaged(`the store holds something in column '${column}' (${kind}) that doesn't belong there`);
}
