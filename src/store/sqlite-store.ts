import { type Migration, migrate } from './migrate.ts';
import { SqlStore } from './sql-store.ts';
import { SqliteDatabase } from './sqlite-database.ts';
import { sqliteMigrations } from './sqlite-schema.ts';
import type { SessionStore } from './store.ts';
import { resolveStoreOptions, type StoreOptions } from './store-options.ts';

export interface SqliteStoreParts {
  /** Default 100 kB: up to there SQLite is quicker than the file system. */
  readonly inlineBytes?: number;
  readonly migrations?: readonly Migration[];
}

/** Makes the folder if it isn't there. */
export async function openSqliteStore(
  folder: string,
  options: StoreOptions = {},
  { inlineBytes = 100_000, migrations = sqliteMigrations }: SqliteStoreParts = {},
): Promise<SessionStore> {
  const { limits, ...rest } = resolveStoreOptions(options);
  const database = await SqliteDatabase.open({ folder, inlineBytes, ...rest });
  try {
    await migrate(database, migrations, `the store in ${folder}`);
    await database.sweep();
  } catch (error) {
    await database[Symbol.asyncDispose]();
    throw error;
  }
  return new SqlStore(database, limits);
}
