/** The stores over a database: one logic for two of them. */
import { InternalError } from '../errors/errors.ts';
import {
  checkDuration,
  checkKey,
  checkName,
  checkRevision,
  compareKeys,
  encodeMeta,
  namedBlobs,
} from './checks.ts';
import {
  checkLimits,
  dropSessions,
  findOrCreate,
  forkSession,
  saveRevision,
  toTotals,
  totalsQuery,
} from './sql-changes.ts';
import { bytes, integer, type Row, type SqlDatabase, type SqlValue, text } from './sql-database.ts';
import { presentRevision, revisionQuery, toRevision } from './sql-revision.ts';
import { leasedSession, only, readRecord, recordColumns, toRecord } from './sql-session.ts';
import type {
  Lease,
  Revision,
  SessionKey,
  SessionRecord,
  SessionStore,
  StoredCheckpoint,
  StoreLimits,
} from './store.ts';
import { busy, checkpointTaken, damaged, exists, foreignBlob, notFound } from './store-errors.ts';

export class SqlStore implements SessionStore {
  readonly #database: SqlDatabase;
  readonly #limits: StoreLimits;

  constructor(database: SqlDatabase, limits: StoreLimits) {
    this.#database = database;
    this.#limits = limits;
  }

  get kind(): 'sqlite' | 'postgres' {
    return this.#database.kind;
  }

  async acquire(
    key: SessionKey,
    options: { owner: string; ttlMs: number; create?: Readonly<Record<string, unknown>> | undefined },
  ): Promise<{ lease: Lease; record: SessionRecord }> {
    const { owner, ttlMs, create } = options;
    checkKey(key);
    checkName('an owner', owner);
    checkDuration('ttlMs', ttlMs);
    const meta = create && encodeMeta(create);
    const { dialect } = this.#database;
    return this.#database.change(async (tx) => {
      const found = await findOrCreate(tx, dialect, key, meta);
      if (found === undefined) throw notFound(key);
      const { session, created } = found;
      if (session.owner !== undefined && session.owner !== owner && session.leasedUntil > session.now)
        throw busy(key, session.owner, session.leasedUntil - session.now);
      const fence = integer(only(await tx.rows(dialect.nextFence)), 'fence');
      await tx.rows(
        `UPDATE vivarium_sessions
          SET fence = $2, owner = $3, leased_until = ${dialect.now} + $4, used_at = ${dialect.now} WHERE id = $1`,
        session.id,
        fence,
        owner,
        Math.ceil(ttlMs),
      );
      const record = await readRecord(tx, dialect, session.id);
      await checkLimits(tx, dialect, this.#limits, { created, sessionBytes: undefined });
      return { lease: { key, owner, fence }, record };
    });
  }

  async renew(lease: Lease, ttlMs: number): Promise<void> {
    checkDuration('ttlMs', ttlMs);
    const { dialect } = this.#database;
    await this.#database.change(async (tx) => {
      const { id } = await leasedSession(tx, dialect, lease);
      await tx.rows(
        `UPDATE vivarium_sessions SET leased_until = ${dialect.now} + $2, used_at = ${dialect.now} WHERE id = $1`,
        id,
        Math.ceil(ttlMs),
      );
    });
  }

  async release({ key, owner, fence }: Lease): Promise<void> {
    await this.#database.change((tx) =>
      tx.rows(
        `UPDATE vivarium_sessions SET owner = NULL, used_at = ${this.#database.dialect.now}
          WHERE tenant = $1 AND name = $2 AND owner = $3 AND fence = $4`,
        key.tenant,
        key.id,
        owner,
        fence,
      ),
    );
  }

  async save(lease: Lease, next: Revision, fresh: ReadonlyMap<string, Uint8Array>): Promise<SessionRecord> {
    checkRevision(next);
    const { dialect } = this.#database;
    const staged = await this.#database.stage(lease.key.tenant, namedBlobs(next, fresh));
    try {
      const record = await this.#database.change(async (tx) => {
        const { record, grown } = await saveRevision(tx, dialect, lease, next, staged);
        const sessionBytes = grown ? record.storedBytes : undefined;
        await checkLimits(tx, dialect, this.#limits, { created: false, sessionBytes });
        return record;
      });
      await staged.settle('stored');
      return record;
    } catch (error) {
      const isUnknown = error instanceof InternalError && error.details.stored === 'unknown';
      await staged.settle(isUnknown ? 'unknown' : 'refused');
      throw error;
    }
  }

  async record(key: SessionKey): Promise<SessionRecord | undefined> {
    const [row] = await this.#database.rows(
      `SELECT ${recordColumns(this.#database.dialect)} FROM vivarium_sessions s WHERE s.tenant = $1 AND s.name = $2`,
      key.tenant,
      key.id,
    );
    return row && toRecord(row);
  }

  async revision(key: SessionKey, revision?: number): Promise<Revision | undefined> {
    const { dialect } = this.#database;
    if (revision === undefined) return presentRevision(this.#database, dialect, key);
    const query = revisionQuery(dialect, '$3');
    const [row] = await this.#database.rows(query, key.tenant, key.id, revision);
    return row && toRevision(row, key);
  }

  async blob(key: SessionKey, hash: string): Promise<Uint8Array> {
    // A file may go between the two looks, and the blob come back under another name.
    for (let looks = 0; looks < 10; looks++) {
      const rows = await this.#database.rows(
        `SELECT b.*, c.content FROM vivarium_blobs b LEFT JOIN vivarium_contents c ON c.blob = b.id
          WHERE b.tenant = $1 AND b.hash = $3 AND EXISTS (
            SELECT 1 FROM vivarium_refs r JOIN vivarium_sessions s ON s.id = r.session
              WHERE r.blob = b.id AND s.tenant = $1 AND s.name = $2)
          ORDER BY c.part`,
        key.tenant,
        key.id,
        hash,
      );
      const [row] = rows;
      if (row === undefined) {
        if ((await this.record(key)) === undefined) throw notFound(key);
        throw foreignBlob(key, hash);
      }
      const content = await this.#database.elsewhere(row, key);
      const wanted = integer(row, 'bytes');
      if (content === 'gone') continue;
      const found = content ?? concat(rows.filter(({ content }) => content !== null));
      if (found.length === wanted) return found;
      throw damaged(`blob ${hash} has ${found.length} bytes of ${wanted}`, { hash }, key);
    }
    throw damaged(`the file of blob ${hash} is gone`, { hash }, key);
  }

  async list(
    options: { tenant?: string | undefined; after?: SessionKey | undefined; limit?: number | undefined } = {},
  ): Promise<SessionRecord[]> {
    const { tenant, after, limit } = options;
    const values: SqlValue[] = [];
    const value = (one: SqlValue): string => `$${values.push(one)}`;
    const conditions = [
      ...(tenant === undefined ? [] : [`s.tenant = ${value(tenant)}`]),
      ...(after === undefined ? [] : [`(s.tenant, s.name) > (${value(after.tenant)}, ${value(after.id)})`]),
    ];
    const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
    const rows = await this.#database.rows(
      `SELECT ${recordColumns(this.#database.dialect)} FROM vivarium_sessions s ${where}
        ORDER BY s.tenant, s.name${limit === undefined ? '' : ` LIMIT ${value(limit)}`}`,
      ...values,
    );
    return rows.map(toRecord);
  }

  async checkpoint(lease: Lease, name: string): Promise<StoredCheckpoint> {
    checkName('a checkpoint', name);
    const { dialect } = this.#database;
    return this.#database.change(async (tx) => {
      const { id, revision } = await leasedSession(tx, dialect, lease);
      const [row] = await tx.rows(
        `INSERT INTO vivarium_checkpoints (session, name, revision, created_at)
          VALUES ($1, $2, $3, ${dialect.now}) ON CONFLICT DO NOTHING RETURNING name, revision, created_at`,
        id,
        name,
        revision,
      );
      if (row === undefined) throw checkpointTaken(lease.key, name);
      return toCheckpoint(row);
    });
  }

  async checkpoints(key: SessionKey): Promise<StoredCheckpoint[]> {
    const rows = await this.#database.rows(
      `SELECT c.name, c.revision, c.created_at
        FROM vivarium_checkpoints c JOIN vivarium_sessions s ON s.id = c.session
        WHERE s.tenant = $1 AND s.name = $2 ORDER BY c.id`,
      key.tenant,
      key.id,
    );
    return rows.map(toCheckpoint);
  }

  async fork(lease: Lease, id: string): Promise<SessionRecord> {
    const key = { tenant: lease.key.tenant, id };
    checkKey(key);
    const { dialect } = this.#database;
    return this.#database.change(async (tx) => {
      const source = await leasedSession(tx, dialect, lease);
      const record = await forkSession(tx, dialect, source, key);
      if (record === undefined) throw exists(key);
      const sessionBytes = record.revision === 0 ? undefined : record.storedBytes;
      await checkLimits(tx, dialect, this.#limits, { created: true, sessionBytes });
      return record;
    });
  }

  async remove(lease: Lease): Promise<void> {
    const { dialect } = this.#database;
    await this.#database.change(async (tx) => {
      const { id } = await leasedSession(tx, dialect, lease);
      await dropSessions(tx, dialect, [id]);
    });
  }

  async cull(unusedMs: number): Promise<SessionKey[]> {
    checkDuration('unusedMs', unusedMs);
    const { dialect } = this.#database;
    return this.#database.change(async (tx) => {
      const rows = await tx.rows(
        `SELECT s.id, s.tenant, s.name FROM vivarium_sessions s
          WHERE s.used_at <= ${dialect.now} - $1 AND (s.owner IS NULL OR s.leased_until <= ${dialect.now})
          ORDER BY s.id${dialect.lockFree('s')}`,
        Math.floor(unusedMs),
      );
      if (rows.length === 0) return [];
      await dropSessions(
        tx,
        dialect,
        rows.map((row) => integer(row, 'id')),
      );
      return rows.map((row) => ({ tenant: text(row, 'tenant'), id: text(row, 'name') })).sort(compareKeys);
    });
  }

  async totals(): Promise<{ sessions: number; bytes: number }> {
    return toTotals(only(await this.#database.rows(totalsQuery)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#database[Symbol.asyncDispose]();
  }
}

function toCheckpoint(row: Row): StoredCheckpoint {
  return {
    name: text(row, 'name'),
    revision: integer(row, 'revision'),
    createdAt: integer(row, 'created_at'),
  };
}

function concat(rows: readonly Row[]): Uint8Array {
  const [first, ...more] = rows.map((row) => bytes(row, 'content'));
  if (first === undefined) return new Uint8Array();
  return more.length === 0 ? first : new Uint8Array(Buffer.concat([first, ...more]));
}
