/** Schemas: older ones are brought up, newer ones refused; and a store opened by many at once is made once. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Migration } from '../../src/store/migrate.ts';
import { postgresMigrations } from '../../src/store/postgres-schema.ts';
import { openPostgresStore } from '../../src/store/postgres-store.ts';
import { sqliteMigrations } from '../../src/store/sqlite-schema.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import type { SessionStore } from '../../src/store/store.ts';
import { blob } from './contents.ts';
import { PostgresServer } from './postgres-server.ts';
import { begin, key, rejects, state } from './subject.ts';

const server = await PostgresServer.start();
const root = mkdtempSync(join(tmpdir(), 'vivarium-store-'));
afterAll(async () => {
  rmSync(root, { recursive: true, force: true });
  await server[Symbol.asyncDispose]();
});

type Open = (migrations?: readonly Migration[]) => Promise<SessionStore>;

const kinds: [string, readonly Migration[], () => Promise<Open>][] = [
  [
    'sqlite',
    sqliteMigrations,
    async () => {
      const folder = mkdtempSync(join(root, 's'));
      return (migrations) => openSqliteStore(folder, {}, migrations && { migrations });
    },
  ],
  [
    'postgres',
    postgresMigrations,
    async () => {
      const url = await server.database();
      return (migrations) => openPostgresStore(url, {}, migrations && { migrations });
    },
  ],
];

describe.each(kinds)('%s', (_, known, place) => {
  const last = known.length;
  const later = (statements: readonly string[]): Migration[] => [...known, { version: last + 1, statements }];

  it('an older schema is brought up, with all that it holds', async () => {
    const open = await place();
    {
      await using store = await open();
      await store.save(await begin(store, 'a'), ...state(1, [blob(1, 100)]));
    }
    const added = later([
      'ALTER TABLE vivarium_sessions ADD COLUMN later bigint',
      'CREATE TABLE vivarium_later (n bigint)',
    ]);
    for (let time = 0; time < 2; time++) {
      await using store = await open(added);
      expect(await store.blob(key('a'), blob(1, 100)[0])).toEqual(blob(1, 100)[1]);
      await store.save(await begin(store, 'a'), ...state(2 + time, [blob(1, 100)]));
    }
  });

  it('a newer schema is refused, and nothing is changed', async () => {
    const open = await place();
    await (await open(later([])))[Symbol.asyncDispose]();
    const error: unknown = await open().catch((error: unknown) => error);
    expect(error).toEqual(rejects('store', { reason: 'version', schema: last + 1, known: last }));
    expect(String(error)).toMatch(/newer version of Vivarium/);
    await using store = await open(later([]));
    await begin(store, 'a');
  });

  it('a step that fails leaves the schema as it was', async () => {
    const open = await place();
    {
      await using store = await open();
      await begin(store, 'a');
    }
    const broken = later(['CREATE TABLE vivarium_later (n bigint)', 'this is no SQL']);
    await expect(open(broken)).rejects.toEqual(rejects('store', { reason: 'refused' }));
    await using store = await open();
    expect(await store.list()).toHaveLength(1);
    await using later_ = await open(later(['CREATE TABLE vivarium_later (n bigint)']));
    expect(await later_.list()).toHaveLength(1);
  });

  it('many who open it at once find it made once', async () => {
    const open = await place();
    const stores = await Promise.all(Array.from({ length: 8 }, () => open()));
    await Promise.all(stores.map((store, index) => begin(store, `s${index}`)));
    expect(await stores[0]?.list()).toHaveLength(8);
    for (const store of stores) await store[Symbol.asyncDispose]();
  });
});

it('in Postgres, who may not make tables may use those that are there', async () => {
  const url = await server.database();
  await (await openPostgresStore(url))[Symbol.asyncDispose]();
  const name = `guest${Date.now()}`;
  await server.query(url, `CREATE ROLE ${name} LOGIN`);
  const grants = ['TABLES', 'SEQUENCES'].map(
    (what) => `GRANT ALL ON ALL ${what} IN SCHEMA public TO ${name}`,
  );
  await server.query(url, grants.join('; '));
  const guest = url.replace('vivarium@', `${name}@`);
  await using store = await openPostgresStore(guest);
  await store.save(await begin(store, 'a'), ...state(1, [blob(1, 100)]));
  await expect(
    openPostgresStore(
      guest,
      {},
      { migrations: [...postgresMigrations, { version: 2, statements: ['CREATE TABLE x (n int)'] }] },
    ),
  ).rejects.toEqual(rejects('store', { reason: 'refused', sqlState: '42501' }));
});
