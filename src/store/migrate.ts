import { integer, type SqlDatabase } from './sql-database.ts';
import { storeError } from './store-errors.ts';

/** A step of a schema's history: once published it never changes. */
export interface Migration {
  /** From 1, without gaps. */
  readonly version: number;
  readonly statements: readonly string[];
}

const present = 'SELECT coalesce(max(version), 0) AS version FROM vivarium_versions';

/**
 * Brings the schema to the last version, each step in a transaction of its own; others that open the store meanwhile wait, and
 * find it done. Where nothing is to be done, nothing is locked or written, so that a user without the right to do so can open it.
 */
export async function migrate(
  database: SqlDatabase,
  migrations: readonly Migration[],
  where: string,
): Promise<void> {
  const { dialect } = database;
  const known = migrations.at(-1)?.version ?? 0;
  const found = await database.rows(dialect.findVersions);
  const from = found.length === 0 ? 0 : await versionOf(database.rows(present));
  if (from > known) {
    throw storeError(
      'version',
      `${where} was made by a newer version of Vivarium: its schema is ${from}, this version knows ${known}. Use the newer version, or another store.`,
      { details: { schema: from, known } },
    );
  }
  for (const { version, statements } of migrations.slice(from)) {
    await database.change(async (tx) => {
      if (dialect.migrationLock !== undefined) await tx.rows(dialect.migrationLock);
      await tx.rows(
        'CREATE TABLE IF NOT EXISTS vivarium_versions (version bigint PRIMARY KEY, applied_at bigint NOT NULL)',
      );
      if ((await versionOf(tx.rows(present))) >= version) return;
      for (const statement of statements) await tx.rows(statement);
      await tx.rows(
        `INSERT INTO vivarium_versions (version, applied_at) VALUES ($1, ${dialect.now})`,
        version,
      );
    });
  }
}

async function versionOf(rows: Promise<readonly Readonly<Record<string, unknown>>[]>): Promise<number> {
  const [row] = await rows;
  return row === undefined ? 0 : integer(row, 'version');
}
