import type { Migration } from './migrate.ts';

/** Tables and columns are Postgres's too, but for `file`: where the bytes of a blob lie that has none in `vivarium_contents`. */
export const sqliteMigrations: readonly Migration[] = [
  {
    version: 1,
    statements: [
      'CREATE TABLE vivarium_fences (last INTEGER NOT NULL)',
      'INSERT INTO vivarium_fences (last) VALUES (0)',
      `CREATE TABLE vivarium_sessions (
        id INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        meta TEXT NOT NULL,
        revision INTEGER NOT NULL,
        stored_bytes INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        used_at INTEGER NOT NULL,
        fence INTEGER NOT NULL,
        owner TEXT,
        leased_until INTEGER NOT NULL,
        UNIQUE (tenant, name)
      )`,
      `CREATE TABLE vivarium_checkpoints (
        id INTEGER PRIMARY KEY,
        session INTEGER NOT NULL REFERENCES vivarium_sessions ON DELETE CASCADE,
        name TEXT NOT NULL,
        revision INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        UNIQUE (session, name)
      )`,
      `CREATE TABLE vivarium_revisions (
        session INTEGER NOT NULL REFERENCES vivarium_sessions ON DELETE CASCADE,
        revision INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        manifest BLOB NOT NULL,
        PRIMARY KEY (session, revision)
      )`,
      `CREATE TABLE vivarium_blobs (
        id INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        hash TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        file TEXT,
        UNIQUE (tenant, hash)
      )`,
      `CREATE TABLE vivarium_contents (
        blob INTEGER PRIMARY KEY REFERENCES vivarium_blobs ON DELETE CASCADE,
        part INTEGER NOT NULL,
        content BLOB NOT NULL
      )`,
      `CREATE TABLE vivarium_refs (
        session INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        position INTEGER NOT NULL,
        blob INTEGER NOT NULL REFERENCES vivarium_blobs,
        PRIMARY KEY (session, revision, position),
        FOREIGN KEY (session, revision) REFERENCES vivarium_revisions ON DELETE CASCADE
      ) WITHOUT ROWID`,
      'CREATE INDEX vivarium_refs_blob ON vivarium_refs (blob, session)',
      'CREATE INDEX vivarium_sessions_used ON vivarium_sessions (used_at)',
    ],
  },
];
