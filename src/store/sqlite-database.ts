import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { delay } from '../util/clock.ts';
import { trace } from '../util/trace.ts';
import { BlobFiles, syncFolder } from './blob-files.ts';
import {
  integer,
  optionalText,
  type Row,
  type SqlDatabase,
  type SqlDialect,
  type SqlValue,
  type StagedBlobs,
  type Transaction,
  text,
} from './sql-database.ts';
import { isBusy, isFull, sqliteError } from './sqlite-errors.ts';
import { loadSqlite } from './sqlite-module.ts';
import { closed, storeError } from './store-errors.ts';
import type { ResolvedStoreOptions } from './store-options.ts';
import { liveWriters, WriterLock } from './writer-lock.ts';

const dialect: SqlDialect = {
  now: 'vivarium_now()',
  items: (parameter) => `json_each(${parameter}) AS item`,
  jsonArray: 'json_group_array',
  lock: () => '',
  lockFree: () => '',
  nextFence: 'UPDATE vivarium_fences SET last = last + 1 RETURNING last AS fence',
  limitLock: undefined,
  migrationLock: undefined,
  findVersions: "SELECT 1 FROM sqlite_schema WHERE name = 'vivarium_versions'",
};

/** While another process has the lock: SQLite waits this long, which blocks the thread; then others get their turn. */
const busyTimeoutMs = 20;
/** Between two tries, give or take a half. */
const busyBackoffMs = 20;
/** Locks last as long as a commit does: after this somebody must be stuck. */
const busyPatienceMs = 15_000;

export interface SqliteDatabaseOptions extends Omit<ResolvedStoreOptions, 'limits'> {
  readonly folder: string;
  /** Larger blobs are files. */
  readonly inlineBytes: number;
}

/** A folder with a database, and files for what is large. Any number of processes of one machine may have it open. */
export class SqliteDatabase implements SqlDatabase {
  readonly kind = 'sqlite' as const;
  readonly dialect: SqlDialect = dialect;
  readonly #options: SqliteDatabaseOptions;
  readonly #database: DatabaseSync;
  readonly #files: BlobFiles;
  readonly #statements = new Map<string, StatementSync>();
  readonly #writer = randomBytes(8).toString('hex');
  #lock: WriterLock | undefined;
  /** The end of whatever has the connection, or waits for it. */
  #last: Promise<void> = Promise.resolve();
  #closed = false;

  static async open(options: SqliteDatabaseOptions): Promise<SqliteDatabase> {
    const { folder } = options;
    let database: SqliteDatabase | undefined;
    try {
      for (const name of ['blobs', 'writers'])
        mkdirSync(join(folder, name), { recursive: true, mode: 0o700 });
      database = new SqliteDatabase(options);
      await database.#useLog();
      await syncFolder(folder);
      return database;
    } catch (error) {
      await database?.[Symbol.asyncDispose]();
      throw sqliteError(error, folder);
    }
  }

  private constructor(options: SqliteDatabaseOptions) {
    this.#options = options;
    const { folder, now } = options;
    const { DatabaseSync } = loadSqlite();
    const path = join(folder, 'sessions.db');
    // For nobody else to read, whatever the folder's rights are; SQLite's other files get the same.
    closeSync(openSync(path, 'a', 0o600));
    this.#database = new DatabaseSync(path);
    this.#files = new BlobFiles(join(folder, 'blobs'), this.#writer);
    this.#database.function('vivarium_now', () => Math.floor(now()));
    this.#database.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
  }

  async #useLog(): Promise<void> {
    const [row] = await this.rows('PRAGMA journal_mode = WAL');
    const { folder } = this.#options;
    if (row?.journal_mode !== 'wal')
      throw storeError('disk', `the file system of ${folder} can't hold a store: use a local disk.`);
    // FULL: what a call has resolved for is on the disk. The log is cut again after a large change.
    this.#database.exec('PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216');
  }

  /** Removes what killed processes have left, and keeps what this one will write from being removed by others. */
  async sweep(): Promise<void> {
    const { folder } = this.#options;
    const writers = join(folder, 'writers');
    const files = await this.#files.list();
    const orphans = await this.change(async (tx) => {
      this.#lock ??= new WriterLock(writers, this.#writer);
      const live = liveWriters(writers);
      const rows = await tx.rows('SELECT file FROM vivarium_blobs WHERE file IS NOT NULL');
      const known = new Set(rows.map((row) => text(row, 'file')));
      return files.filter(({ name, writer }) => !known.has(name) && !live.has(writer));
    });
    await this.#files.remove(orphans.map(({ name }) => name));
  }

  rows(sql: string, ...values: SqlValue[]): Promise<Row[]> {
    return this.#alone(async () => {
      try {
        return await this.#patiently(() => this.#run(sql, values));
      } catch (error) {
        throw sqliteError(error, this.#options.folder);
      }
    });
  }

  /**
   * `work` must wait for nothing but `tx`, whose promises are fulfilled already: so the lock isn't held while this process does
   * something else.
   */
  async change<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    const dropped: string[] = [];
    const tx: Transaction = {
      rows: async (sql, ...values) => this.#run(sql, values),
      dropped: (blobs) => dropped.push(...blobs.flatMap((row) => optionalText(row, 'file') ?? [])),
    };
    const result = await this.#alone(() => this.#transaction(() => work(tx)));
    await this.#files.remove(dropped);
    return result;
  }

  async #transaction<T>(work: () => Promise<T>): Promise<T> {
    const { folder } = this.#options;
    let isCommitting = false;
    try {
      await this.#patiently(() => this.#database.exec('BEGIN IMMEDIATE'));
      const result = await work();
      trace('store.committing', { kind: this.kind });
      isCommitting = true;
      this.#database.exec('COMMIT');
      trace('store.committed', { kind: this.kind });
      return result;
    } catch (error) {
      try {
        this.#database.exec('ROLLBACK');
      } catch {
        // It hasn't begun, or SQLite has rolled it back.
      }
      if (isFull(error)) this.#cutLog();
      // What the log had no room for isn't in it; after other failures the disk may have it nevertheless.
      throw sqliteError(error, folder, isCommitting && !isFull(error) ? 'unknown' : 'no');
    }
  }

  /** Gives back what the log has taken of a disk that is full now: with some luck enough to remove sessions. */
  #cutLog(): void {
    try {
      this.#database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    } catch {
      // Not before there's room.
    }
  }

  async stage(tenant: string, given: ReadonlyMap<string, Uint8Array>): Promise<StagedBlobs> {
    const large = [...given].filter(([, { length }]) => length > this.#options.inlineBytes);
    const files = large.length === 0 ? new Map<string, string>() : await this.#write(tenant, large);
    const used = new Set<string>();
    return {
      given,
      insert: async (tx, hashes) => {
        for (const hash of hashes) {
          const bytes = given.get(hash) ?? new Uint8Array();
          // A large one without a file was there when the files were written: it has gone since, which is rare.
          const file = files.get(hash);
          const [row] = await tx.rows(
            'INSERT INTO vivarium_blobs (tenant, hash, bytes, file) VALUES ($1, $2, $3, $4) RETURNING id',
            tenant,
            hash,
            bytes.length,
            file ?? null,
          );
          if (file !== undefined) used.add(file);
          else if (row !== undefined) {
            const insert = 'INSERT INTO vivarium_contents (blob, part, content) VALUES ($1, 0, $2)';
            await tx.rows(insert, integer(row, 'id'), bytes);
          }
        }
      },
      settle: async (outcome) => {
        if (outcome === 'unknown') return;
        const isUnused = (name: string): boolean => outcome === 'refused' || !used.has(name);
        await this.#files.remove([...files.values()].filter(isUnused));
      },
    };
  }

  /** Those that aren't there: their files by hash. */
  async #write(tenant: string, blobs: readonly [string, Uint8Array][]): Promise<Map<string, string>> {
    const rows = await this.rows(
      'SELECT hash FROM vivarium_blobs WHERE tenant = $1 AND hash IN (SELECT value FROM json_each($2))',
      tenant,
      JSON.stringify(blobs.map(([hash]) => hash)),
    );
    const present = new Set(rows.map((row) => text(row, 'hash')));
    try {
      const files = await this.#files.write(blobs.filter(([hash]) => !present.has(hash)));
      trace('store.staged', { files: files.size });
      return files;
    } catch (error) {
      throw sqliteError(error, this.#options.folder);
    }
  }

  async elsewhere(blob: Row): Promise<Uint8Array | 'gone' | undefined> {
    const name = optionalText(blob, 'file');
    if (name === undefined) return undefined;
    try {
      return (await this.#files.read(name)) ?? 'gone';
    } catch (error) {
      throw sqliteError(error, this.#options.folder);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#last;
    this.#lock?.[Symbol.dispose]();
    this.#database.close();
  }

  #run(sql: string, values: readonly SqlValue[]): Row[] {
    const statement = this.#statements.get(sql) ?? this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement.all(Object.fromEntries(values.map((value, index) => [`$${index + 1}`, value])));
  }

  /** One after another: there is one connection, and its transaction is everybody's. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(closed());
    const turn = this.#last.then(work);
    this.#last = turn.then(
      () => undefined,
      () => undefined,
    );
    return turn;
  }

  /** Tries again while another process has the lock. */
  async #patiently<T>(attempt: () => T): Promise<T> {
    const { clock, random } = this.#options;
    const begun = clock.now();
    for (;;) {
      try {
        return attempt();
      } catch (error) {
        if (!isBusy(error) || clock.now() - begun > busyPatienceMs) throw error;
      }
      await delay(clock, busyBackoffMs * (0.5 + random()));
    }
  }
}
