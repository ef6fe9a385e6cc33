/** A session's states, read as a whole: manifest, and the blobs that it names. */
import { bytes, integer, type Row, type SqlDialect, type Transaction, texts } from './sql-database.ts';
import type { Revision, SessionKey } from './store.ts';
import { damaged } from './store-errors.ts';

/** Of the session `$1`, `$2`. */
export function revisionQuery({ jsonArray }: SqlDialect, revision: string): string {
  return `SELECT v.revision, v.manifest, v.bytes, CAST((
      SELECT ${jsonArray}(b.hash ORDER BY r.position) FROM vivarium_refs r JOIN vivarium_blobs b ON b.id = r.blob
        WHERE r.session = v.session AND r.revision = v.revision
    ) AS text) AS blobs
    FROM vivarium_revisions v JOIN vivarium_sessions s ON s.id = v.session
    WHERE s.tenant = $1 AND s.name = $2 AND v.revision = ${revision}`;
}

export function toRevision(row: Row, key: SessionKey): Revision {
  const revision = integer(row, 'revision');
  const manifest = bytes(row, 'manifest');
  const wanted = integer(row, 'bytes');
  if (manifest.length !== wanted)
    throw damaged(`the manifest of revision ${revision} has ${manifest.length} bytes of ${wanted}`, {}, key);
  return { revision, manifest, blobs: texts(row, 'blobs') };
}

export async function presentRevision(
  tx: Pick<Transaction, 'rows'>,
  dialect: SqlDialect,
  key: SessionKey,
): Promise<Revision | undefined> {
  const [row] = await tx.rows(revisionQuery(dialect, 's.revision'), key.tenant, key.id);
  return row && toRevision(row, key);
}
