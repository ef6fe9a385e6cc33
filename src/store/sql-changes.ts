/** What happens within one transaction when a session begins, advances, is forked or ends. */
import { sameRevision } from './checks.ts';
import { blobsOfPresent, deleteUnused, lockBlobs, lockBlobsOf, putBlobs } from './sql-blobs.ts';
import {
  Conflict,
  integer,
  type Row,
  type SqlDialect,
  type StagedBlobs,
  type Transaction,
  text,
} from './sql-database.ts';
import { presentRevision } from './sql-revision.ts';
import { findSession, leasedSession, only, readRecord, type SessionRow } from './sql-session.ts';
import type { Lease, Revision, SessionKey, SessionRecord, StoreLimits } from './store.ts';
import { badRevision, overLimit } from './store-errors.ts';

/** Undefined when it's there already. */
export async function insertSession(
  tx: Transaction,
  { now }: SqlDialect,
  { tenant, id }: SessionKey,
  meta: string,
): Promise<number | undefined> {
  const [row] = await tx.rows(
    `INSERT INTO vivarium_sessions
      (tenant, name, meta, revision, stored_bytes, created_at, used_at, fence, leased_until)
      VALUES ($1, $2, $3, 0, 0, ${now}, ${now}, 0, 0) ON CONFLICT DO NOTHING RETURNING id`,
    tenant,
    id,
    meta,
  );
  return row && integer(row, 'id');
}

/** Its row, locked. Undefined when it isn't there and isn't to be created. */
export async function findOrCreate(
  tx: Transaction,
  dialect: SqlDialect,
  key: SessionKey,
  meta: string | undefined,
): Promise<{ session: SessionRow; created: boolean } | undefined> {
  const found = await findSession(tx, dialect, key);
  if (found !== undefined) return { session: found, created: false };
  if (meta === undefined) return undefined;
  const created = (await insertSession(tx, dialect, key, meta)) !== undefined;
  const session = await findSession(tx, dialect, key);
  if (session === undefined) throw new Conflict('it was created and removed meanwhile');
  return { session, created };
}

export async function saveRevision(
  tx: Transaction,
  dialect: SqlDialect,
  lease: Lease,
  next: Revision,
  staged: StagedBlobs,
): Promise<{ record: SessionRecord; grown: boolean }> {
  const { tenant } = lease.key;
  // The bytes come first, so that the session's row is locked only for what is short: another host may wait for it.
  await leasedSession(tx, dialect, lease, '');
  await putBlobs(tx, dialect, tenant, next.blobs, staged);
  const session = await leasedSession(tx, dialect, lease);
  const { id } = session;
  if (next.revision <= session.revision) {
    const present = await presentRevision(tx, dialect, lease.key);
    if (present === undefined || !sameRevision(present, next))
      throw badRevision(lease.key, next, session.revision);
    return { record: await readRecord(tx, dialect, id), grown: false };
  }
  const dropped = await blobsOfPresent(tx, id);
  await lockBlobs(tx, dialect, tenant, next.blobs, dropped.hashes);
  await tx.rows(
    'INSERT INTO vivarium_revisions (session, revision, bytes, manifest) VALUES ($1, $2, $3, $4)',
    id,
    next.revision,
    next.manifest.length,
    next.manifest,
  );
  await tx.rows(
    `INSERT INTO vivarium_refs (session, revision, position, blob)
      SELECT CAST($1 AS bigint), CAST($2 AS bigint), item.key, b.id
        FROM ${dialect.items('$4')} JOIN vivarium_blobs b ON b.tenant = $3 AND b.hash = item.value`,
    id,
    next.revision,
    tenant,
    JSON.stringify(next.blobs),
  );
  await tx.rows(
    `DELETE FROM vivarium_revisions WHERE session = $1 AND revision <> $2
      AND revision NOT IN (SELECT revision FROM vivarium_checkpoints WHERE session = $1)`,
    id,
    next.revision,
  );
  await deleteUnused(tx, dialect, dropped.ids);
  const record = await advance(tx, dialect, id, next.revision);
  return { record, grown: record.storedBytes > session.storedBytes };
}

/** A new session in the state of another one; undefined when there is one of that key. */
export async function forkSession(
  tx: Transaction,
  dialect: SqlDialect,
  source: SessionRow,
  key: SessionKey,
): Promise<SessionRecord | undefined> {
  const row = only(await tx.rows('SELECT meta FROM vivarium_sessions WHERE id = $1', source.id));
  const id = await insertSession(tx, dialect, key, text(row, 'meta'));
  if (id === undefined) return undefined;
  if (source.revision === 0) return readRecord(tx, dialect, id);
  await lockBlobsOf(tx, dialect, JSON.stringify([source.id]));
  await tx.rows(
    `INSERT INTO vivarium_revisions (session, revision, bytes, manifest)
      SELECT CAST($1 AS bigint), 1, bytes, manifest FROM vivarium_revisions WHERE session = $2 AND revision = $3`,
    id,
    source.id,
    source.revision,
  );
  await tx.rows(
    `INSERT INTO vivarium_refs (session, revision, position, blob)
      SELECT CAST($1 AS bigint), 1, position, blob FROM vivarium_refs WHERE session = $2 AND revision = $3`,
    id,
    source.id,
    source.revision,
  );
  return advance(tx, dialect, id, 1);
}

/** With all that belongs to them; their rows are locked. */
export async function dropSessions(
  tx: Transaction,
  dialect: SqlDialect,
  sessions: readonly number[],
): Promise<void> {
  const ids = JSON.stringify(sessions);
  const blobs = await lockBlobsOf(tx, dialect, ids);
  await tx.rows(
    `DELETE FROM vivarium_sessions WHERE id IN (SELECT CAST(item.value AS bigint) FROM ${dialect.items('$1')})`,
    ids,
  );
  await deleteUnused(tx, dialect, blobs);
}

/** The last of a transaction: nobody who waits for anything else makes others wait here. */
export async function checkLimits(
  tx: Transaction,
  dialect: SqlDialect,
  { maxSessions, maxSessionBytes, maxTotalBytes }: StoreLimits,
  { sessionBytes, created }: { sessionBytes: number | undefined; created: boolean },
): Promise<void> {
  if (sessionBytes !== undefined && sessionBytes > maxSessionBytes)
    throw overLimit('maxSessionBytes', maxSessionBytes, sessionBytes);
  const checksSessions = created && maxSessions !== Infinity;
  const checksBytes = sessionBytes !== undefined && maxTotalBytes !== Infinity;
  if (!checksSessions && !checksBytes) return;
  if (dialect.limitLock !== undefined) await tx.rows(dialect.limitLock);
  const { sessions, bytes } = toTotals(only(await tx.rows(totalsQuery)));
  if (checksSessions && sessions > maxSessions) throw overLimit('maxSessions', maxSessions, sessions);
  if (checksBytes && bytes > maxTotalBytes) throw overLimit('maxTotalBytes', maxTotalBytes, bytes);
}

export const totalsQuery: string = `SELECT (SELECT count(*) FROM vivarium_sessions) AS sessions,
  CAST((SELECT coalesce(sum(bytes), 0) FROM vivarium_blobs) AS bigint)
    + CAST((SELECT coalesce(sum(bytes), 0) FROM vivarium_revisions) AS bigint) AS bytes`;

export function toTotals(row: Row): { sessions: number; bytes: number } {
  return { sessions: integer(row, 'sessions'), bytes: integer(row, 'bytes') };
}

/** Notes its revision, which was saved now, and what it needs. */
async function advance(
  tx: Transaction,
  dialect: SqlDialect,
  id: number,
  revision: number,
): Promise<SessionRecord> {
  await tx.rows(
    `UPDATE vivarium_sessions SET revision = $2, used_at = ${dialect.now}, stored_bytes =
        (SELECT coalesce(sum(bytes), 0) FROM vivarium_revisions WHERE session = $1)
        + (SELECT coalesce(sum(bytes), 0) FROM vivarium_blobs
            WHERE id IN (SELECT blob FROM vivarium_refs WHERE session = $1))
      WHERE id = $1`,
    id,
    revision,
  );
  return readRecord(tx, dialect, id);
}
