import type { Pool, PoolClient } from 'pg';
import { UsageError } from '../errors/errors.ts';
import { type Clock, delay } from '../util/clock.ts';
import { trace } from '../util/trace.ts';
import { isLost, isPassing, postgresError, sqlState } from './postgres-errors.ts';
import {
  Conflict,
  integer,
  type Row,
  type SqlDatabase,
  type SqlDialect,
  type SqlValue,
  type StagedBlobs,
  type Transaction,
  text,
} from './sql-database.ts';
import { closed, storeError } from './store-errors.ts';
import type { ResolvedStoreOptions } from './store-options.ts';

/** Of advisory locks: "viva", and which of them. */
const lockOf = (which: number): string => `SELECT pg_advisory_xact_lock(${0x76697661}, ${which})`;

const dialect: SqlDialect = {
  now: 'CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)',
  items: (parameter) =>
    `(SELECT at - 1 AS key, value FROM jsonb_array_elements_text(CAST(${parameter} AS jsonb)) WITH ORDINALITY AS one(value, at)) AS item`,
  jsonArray: 'json_agg',
  lock: (alias) => ` FOR UPDATE OF ${alias}`,
  lockFree: (alias) => ` FOR UPDATE OF ${alias} SKIP LOCKED`,
  nextFence: "SELECT nextval('vivarium_fences') AS fence",
  limitLock: lockOf(1),
  migrationLock: lockOf(2),
  findVersions: "SELECT 1 WHERE to_regclass('vivarium_versions') IS NOT NULL",
};

/** For one statement: longer than any wait for a lock, and 8 MB over a slow line. */
const statementMs = 30_000;
const connectMs = 10_000;
/** What goes in one statement, and into one row. */
const partBytes = 8_000_000;
const partsAtOnce = 100;
const int8 = 20;

export interface PostgresDatabaseOptions extends Omit<ResolvedStoreOptions, 'limits' | 'now'> {
  readonly url: string;
  /** For locks, and for the next statement of a transaction. */
  readonly patienceMs: number;
}

/** A commit whose answer was lost, and what it would have given. */
interface Doubt<T> {
  readonly xid: string;
  readonly result: T;
}

/**
 * One pool of connections. When one is lost, what was under way is tried again on another, after a while. A transaction
 * whose commit wasn't answered is never tried blindly: Postgres is asked what became of it.
 */
export class PostgresDatabase implements SqlDatabase {
  readonly kind = 'postgres';
  readonly dialect: SqlDialect = dialect;
  /** The server and the database, without secrets. */
  readonly where: string;
  readonly #pool: Pool;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #begin: string;
  #closed = false;

  static async open(options: PostgresDatabaseOptions): Promise<PostgresDatabase> {
    const { url } = options;
    const pg = await load();
    const where = whereOf(pg, url);
    const pool = new pg.Pool({
      connectionString: url,
      application_name: 'vivarium',
      max: 10,
      keepAlive: true,
      connectionTimeoutMillis: connectMs,
      query_timeout: statementMs,
      allowExitOnIdle: true,
      types: {
        getTypeParser: (oid: number, format) => (oid === int8 ? Number : pg.types.getTypeParser(oid, format)),
      },
    });
    // Of connections that nobody uses: they are replaced. Of others the query fails too; but one may be lost in the very moment in which
    // it's handed out, before anybody else could listen.
    pool.on('error', () => undefined);
    pool.on('connect', (client) => client.on('error', () => undefined));
    return new PostgresDatabase(pool, where, options);
  }

  private constructor(pool: Pool, where: string, { clock, random, patienceMs }: PostgresDatabaseOptions) {
    this.#pool = pool;
    this.where = where;
    this.#clock = clock;
    this.#random = random;
    this.#begin = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = ${patienceMs};
      SET LOCAL idle_in_transaction_session_timeout = ${patienceMs};
      SELECT CAST(pg_current_xact_id() AS text) AS xid`;
  }

  rows(sql: string, ...values: SqlValue[]): Promise<Row[]> {
    return this.#patiently(
      () => this.#connected((client) => query(client, sql, values)),
      () => 'no',
    );
  }

  change<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    let doubt: Doubt<T> | undefined;
    const attempt = async (): Promise<T> => {
      if (doubt !== undefined) {
        if (await this.#isCommitted(doubt.xid)) return doubt.result;
        doubt = undefined;
      }
      return this.#connected(async (client) => {
        const xid = await beginTransaction(client, this.#begin);
        const tx: Transaction = {
          rows: (sql, ...values) => query(client, sql, values),
          dropped: () => undefined,
        };
        const result = await work(tx);
        trace('store.committing', { kind: this.kind });
        doubt = { xid, result };
        try {
          await client.query('COMMIT');
        } catch (error) {
          if (!isLost(error)) doubt = undefined;
          throw error;
        }
        trace('store.committed', { kind: this.kind });
        return result;
      });
    };
    return this.#patiently(attempt, () => (doubt === undefined ? 'no' : 'unknown'));
  }

  /** Rejects as long as that isn't decided: its connection may not know yet that it's lost. */
  #isCommitted(xid: string): Promise<boolean> {
    return this.#connected(async (client) => {
      const [row] = await query(client, 'SELECT pg_xact_status(CAST($1 AS xid8)) AS status', [xid]);
      if (row?.status === 'committed') return true;
      if (row?.status === 'aborted') return false;
      throw new Undecided(`transaction ${xid} is ${row?.status === null ? 'forgotten' : 'in progress'}`);
    });
  }

  /** With a connection of its own, which is given back as it was, or not at all. */
  async #connected<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    if (this.#closed) throw closed();
    const client = await this.#connect();
    let isBroken = false;
    try {
      return await work(client);
    } catch (error) {
      isBroken = isLost(error) || !(await rollback(client));
      throw error;
    } finally {
      client.release(isBroken);
    }
  }

  async #connect(): Promise<PoolClient> {
    try {
      return await this.#pool.connect();
    } catch (error) {
      if (sqlState(error) !== undefined || isLost(error)) throw error;
      const message = error instanceof Error ? error.message : String(error);
      throw storeError('unreachable', `${this.where} can't be reached: ${message}.`, { cause: error });
    }
  }

  /** Tries again what may go well then, after 0.1, 0.2, 0.4, … up to 4 seconds, give or take a half: some 15 in all. */
  async #patiently<T>(attempt: () => Promise<T>, stored: () => 'no' | 'unknown'): Promise<T> {
    const begun = this.#clock.now();
    for (let tries = 1; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        if (tries > 8 || !(isPassing(error) || error instanceof Undecided || error instanceof Conflict)) {
          const forMs = this.#clock.now() - begun;
          throw postgresError(error, this.where, { stored: stored(), tries, forMs });
        }
      }
      await delay(this.#clock, Math.min(4000, 50 * 2 ** tries) * (0.5 + this.#random()));
    }
  }

  async stage(tenant: string, given: ReadonlyMap<string, Uint8Array>): Promise<StagedBlobs> {
    return {
      given,
      insert: async (tx, hashes) => {
        // In the order of their hashes, so that two transactions never wait for each other.
        const rows = await tx.rows(
          `INSERT INTO vivarium_blobs (tenant, hash, bytes)
            SELECT $1, one.value ->> 0, CAST(one.value ->> 1 AS bigint)
              FROM jsonb_array_elements(CAST($2 AS jsonb)) AS one(value) ORDER BY 2
            ON CONFLICT DO NOTHING RETURNING id, hash`,
          tenant,
          JSON.stringify(hashes.map((hash) => [hash, given.get(hash)?.length ?? 0])),
        );
        let parts: SqlValue[] = [];
        let size = 0;
        const flush = async (): Promise<void> => {
          if (parts.length > 0) await insertParts(tx, parts);
          parts = [];
          size = 0;
        };
        for (const row of rows) {
          const bytes = given.get(text(row, 'hash')) ?? new Uint8Array();
          for (let part = 0; part * partBytes < bytes.length; part++) {
            const content = bytes.subarray(part * partBytes, (part + 1) * partBytes);
            if (size + content.length > partBytes || parts.length >= 3 * partsAtOnce) await flush();
            parts.push(integer(row, 'id'), part, content);
            size += content.length;
          }
        }
        await flush();
      },
      settle: async () => undefined,
    };
  }

  elsewhere(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#pool.end();
  }
}

/** What became of a commit can't be told yet. */
class Undecided extends Error {}

async function load(): Promise<typeof import('pg')> {
  try {
    return await import('pg');
  } catch (cause) {
    throw new UsageError('usage', 'a store in Postgres needs a package: npm install pg@8', { cause });
  }
}

/** As `pg` reads it, without the password. */
function whereOf(pg: typeof import('pg'), url: string): string {
  try {
    const { host, port, database } = new pg.Client(url);
    return `Postgres at ${host.startsWith('/') ? host : `${host}:${port}`}, database '${database ?? ''}',`;
  } catch {
    // What failed may quote it.
    throw new UsageError('usage', 'the URL of the Postgres store is none');
  }
}

async function beginTransaction(client: PoolClient, begin: string): Promise<string> {
  // Several statements give several results, which the types don't say.
  const results: unknown = await client.query(begin);
  const last: unknown = Array.isArray(results) ? results.at(-1) : results;
  const rows: unknown = typeof last === 'object' && last !== null && 'rows' in last ? last.rows : undefined;
  return text((Array.isArray(rows) ? (rows[0] as Row | undefined) : undefined) ?? {}, 'xid');
}

async function query(client: PoolClient, sql: string, values: readonly SqlValue[]): Promise<Row[]> {
  const { rows } = await client.query<Row>(sql, [...values]);
  return rows;
}

async function insertParts(tx: Transaction, values: readonly SqlValue[]): Promise<void> {
  const places = values.map((_, index) => `$${index + 1}`);
  const rows = Array.from({ length: places.length / 3 }, (_, index) =>
    places.slice(3 * index, 3 * index + 3).join(', '),
  );
  await tx.rows(
    `INSERT INTO vivarium_contents (blob, part, content) VALUES (${rows.join('), (')})`,
    ...values,
  );
}

async function rollback(client: PoolClient): Promise<boolean> {
  try {
    await client.query('ROLLBACK');
    return true;
  } catch {
    return false;
  }
}
