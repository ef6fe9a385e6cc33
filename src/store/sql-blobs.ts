/**
 * Blobs are rows that sessions refer to. Who adds or drops a reference has locked the blob's row before, all in the order of their ids:
 * so nobody deletes one that somebody begins to need, and what the last one lets go of is deleted.
 */
import {
  Conflict,
  integer,
  type SqlDialect,
  type StagedBlobs,
  type Transaction,
  text,
} from './sql-database.ts';
import { lacksBlob } from './store-errors.ts';

export interface BlobNames {
  readonly ids: readonly number[];
  readonly hashes: readonly string[];
}

/** What a session's states need that no checkpoint keeps: its present one, or none. */
export async function blobsOfPresent(tx: Transaction, session: number): Promise<BlobNames> {
  const rows = await tx.rows(
    `SELECT DISTINCT b.id, b.hash FROM vivarium_refs r JOIN vivarium_blobs b ON b.id = r.blob
      WHERE r.session = $1 AND r.revision NOT IN (SELECT revision FROM vivarium_checkpoints WHERE session = $1)`,
    session,
  );
  return { ids: rows.map((row) => integer(row, 'id')), hashes: rows.map((row) => text(row, 'hash')) };
}

/** Stores those of `needed` that aren't there, in the order of their hashes. */
export async function putBlobs(
  tx: Transaction,
  dialect: SqlDialect,
  tenant: string,
  needed: readonly string[],
  staged: StagedBlobs,
): Promise<void> {
  const present = await hashesOf(tx, dialect, tenant, needed, '');
  const missing = [...new Set(needed)].filter((hash) => !present.has(hash)).sort();
  const lacking = missing.find((hash) => !staged.given.has(hash));
  if (lacking !== undefined) throw lacksBlob(lacking);
  if (missing.length > 0) await staged.insert(tx, missing);
}

/**
 * `needed` stay until the end, and so do those of `also` that are there. When others have deleted one since it was put, the whole
 * begins again: whoever has locks already and waits for more may wait in a circle.
 */
export async function lockBlobs(
  tx: Transaction,
  dialect: SqlDialect,
  tenant: string,
  needed: readonly string[],
  also: readonly string[],
): Promise<void> {
  const locked = await hashesOf(tx, dialect, tenant, [...needed, ...also], dialect.lock('b'));
  if (needed.some((hash) => !locked.has(hash))) throw new Conflict('a blob was deleted meanwhile');
}

async function hashesOf(
  tx: Transaction,
  dialect: SqlDialect,
  tenant: string,
  hashes: readonly string[],
  lock: string,
): Promise<Set<string>> {
  const rows = await tx.rows(
    `SELECT b.hash FROM vivarium_blobs b
      WHERE b.tenant = $1 AND b.hash IN (SELECT item.value FROM ${dialect.items('$2')}) ORDER BY b.id${lock}`,
    tenant,
    JSON.stringify([...new Set(hashes)]),
  );
  return new Set(rows.map((row) => text(row, 'hash')));
}

/** Locks what the sessions of `ids` (JSON) refer to; returns it. */
export async function lockBlobsOf(tx: Transaction, dialect: SqlDialect, ids: string): Promise<number[]> {
  const rows = await tx.rows(
    `SELECT b.id FROM vivarium_blobs b WHERE b.id IN (
        SELECT r.blob FROM vivarium_refs r
          WHERE r.session IN (SELECT CAST(item.value AS bigint) FROM ${dialect.items('$1')})
      ) ORDER BY b.id${dialect.lock('b')}`,
    ids,
  );
  return rows.map((row) => integer(row, 'id'));
}

/** Of `ids`, whose rows are locked. */
export async function deleteUnused(
  tx: Transaction,
  dialect: SqlDialect,
  ids: readonly number[],
): Promise<void> {
  if (ids.length === 0) return;
  const rows = await tx.rows(
    `DELETE FROM vivarium_blobs
      WHERE id IN (SELECT CAST(item.value AS bigint) FROM ${dialect.items('$1')})
        AND NOT EXISTS (SELECT 1 FROM vivarium_refs r WHERE r.blob = vivarium_blobs.id) RETURNING *`,
    JSON.stringify(ids),
  );
  tx.dropped(rows);
}
