/** A session's row: locked, checked against a lease, read as a record. */
import {
  integer,
  json,
  optionalText,
  type Row,
  type SqlDialect,
  type Transaction,
  text,
} from './sql-database.ts';
import type { Lease, SessionKey, SessionRecord } from './store.ts';
import { stale } from './store-errors.ts';

export interface SessionRow {
  readonly id: number;
  readonly revision: number;
  readonly storedBytes: number;
  readonly fence: number;
  readonly owner: string | undefined;
  readonly leasedUntil: number;
  /** By the database's clock. */
  readonly now: number;
}

export async function findSession(
  tx: Transaction,
  dialect: SqlDialect,
  { tenant, id }: SessionKey,
  lock: string = dialect.lock('s'),
): Promise<SessionRow | undefined> {
  const [row] = await tx.rows(
    `SELECT s.id, s.revision, s.stored_bytes, s.fence, s.owner, s.leased_until, ${dialect.now} AS now
      FROM vivarium_sessions s WHERE s.tenant = $1 AND s.name = $2${lock}`,
    tenant,
    id,
  );
  return (
    row && {
      id: integer(row, 'id'),
      revision: integer(row, 'revision'),
      storedBytes: integer(row, 'stored_bytes'),
      fence: integer(row, 'fence'),
      owner: optionalText(row, 'owner'),
      leasedUntil: integer(row, 'leased_until'),
      now: integer(row, 'now'),
    }
  );
}

/** The row of the session that `lease` holds. */
export async function leasedSession(
  tx: Transaction,
  dialect: SqlDialect,
  lease: Lease,
  lock?: string,
): Promise<SessionRow> {
  const session = await findSession(tx, dialect, lease.key, lock);
  if (session === undefined || session.owner !== lease.owner || session.fence !== lease.fence)
    throw stale(lease.key, session?.fence);
  return session;
}

/** What `toRecord` reads, of a table `s`. */
export function recordColumns({ now }: SqlDialect): string {
  return `s.tenant, s.name, s.meta, s.revision, s.stored_bytes, s.created_at, s.used_at,
    CASE WHEN s.leased_until > ${now} THEN s.owner END AS leased_by,
    (SELECT count(*) FROM vivarium_checkpoints c WHERE c.session = s.id) AS checkpoints`;
}

export function toRecord(row: Row): SessionRecord {
  return {
    key: { tenant: text(row, 'tenant'), id: text(row, 'name') },
    meta: json(row, 'meta'),
    revision: integer(row, 'revision'),
    storedBytes: integer(row, 'stored_bytes'),
    checkpoints: integer(row, 'checkpoints'),
    createdAt: integer(row, 'created_at'),
    usedAt: integer(row, 'used_at'),
    leasedBy: optionalText(row, 'leased_by'),
  };
}

export async function readRecord(tx: Transaction, dialect: SqlDialect, id: number): Promise<SessionRecord> {
  return toRecord(
    only(await tx.rows(`SELECT ${recordColumns(dialect)} FROM vivarium_sessions s WHERE s.id = $1`, id)),
  );
}

/** Of a query that always has one row. */
export function only(rows: readonly Row[]): Row {
  const [row] = rows;
  if (row === undefined) throw new RangeError('no row');
  return row;
}
