/**
 * Blobs are rows that sessions refer to. Who adds or drops a reference has locked the blob's row before, all in the order of their ids:
 * so nobody deletes one that somebody begins to need, and what the last one lets go of is deleted.
 */
import { integer, type SqlDialect, type StagedBlobs, type Transaction, text } from './sql-database.ts';
import { damaged, lacksBlob } from './store-errors.ts';

/** For what others may undo between two statements. A sound database never needs as many. */
export const maxLooks = 20;

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

/** Sees to it that all of `needed` are there. With a `lock` they stay until the end, and so do those of `also` that are there. */
export async function putBlobs(
  tx: Transaction,
  dialect: SqlDialect,
  tenant: string,
  needed: readonly string[],
  staged: StagedBlobs,
  lock: string,
  also: readonly string[] = [],
): Promise<void> {
  const distinct = [...new Set(needed)];
  const all = JSON.stringify([...new Set([...distinct, ...also])]);
  // More than once when others delete what was there.
  for (let looks = 0; looks < maxLooks; looks++) {
    const rows = await tx.rows(
      `SELECT b.hash FROM vivarium_blobs b
        WHERE b.tenant = $1 AND b.hash IN (SELECT item.value FROM ${dialect.items('$2')}) ORDER BY b.id${lock}`,
      tenant,
      all,
    );
    const present = new Set(rows.map((row) => text(row, 'hash')));
    const missing = distinct.filter((hash) => !present.has(hash));
    if (missing.length === 0) return;
    const lacking = missing.find((hash) => !staged.given.has(hash));
    if (lacking !== undefined) throw lacksBlob(lacking);
    await staged.insert(tx, missing.sort());
  }
  throw damaged('blobs are neither there nor can they be stored: an index of the database is wrong');
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
