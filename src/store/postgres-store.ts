import { type Migration, migrate } from './migrate.ts';
import { PostgresDatabase } from './postgres-database.ts';
import { postgresMigrations } from './postgres-schema.ts';
import { integer } from './sql-database.ts';
import { SqlStore } from './sql-store.ts';
import type { SessionStore } from './store.ts';
import { storeError } from './store-errors.ts';
import { resolveStoreOptions, type StoreOptions } from './store-options.ts';

export interface PostgresStoreParts {
  readonly migrations?: readonly Migration[];
  /**
   * A host that stops in the middle of a transaction keeps others from its session for so long, and who waits for one gives up by then.
   * Default: 10 seconds.
   */
  readonly patienceMs?: number;
}

/** The first whose `pg_xact_status` takes a `pg_current_xact_id`. */
const oldestServer = 130_000;

/** `url`: `postgres://user:password@host/database`. Needs the package `pg`, and makes its tables if they aren't there. */
export async function openPostgresStore(
  url: string,
  options: StoreOptions = {},
  { migrations = postgresMigrations, patienceMs = 10_000 }: PostgresStoreParts = {},
): Promise<SessionStore> {
  const { limits, now: _, ...rest } = resolveStoreOptions(options);
  const database = await PostgresDatabase.open({ url, patienceMs, ...rest });
  const { where } = database;
  try {
    const [row] = await database.rows(
      "SELECT CAST(current_setting('server_version_num') AS bigint) AS version",
    );
    if (row !== undefined && integer(row, 'version') < oldestServer)
      throw storeError('version', `${where} is too old: it must be Postgres 13 or newer.`);
    await migrate(database, migrations, where);
  } catch (error) {
    await database[Symbol.asyncDispose]();
    throw error;
  }
  return new SqlStore(database, limits);
}
