import type { Migration } from './migrate.ts';

/** In the schema that the connection's `search_path` names first. */
export const postgresMigrations: readonly Migration[] = [
  {
    version: 1,
    statements: [
      'CREATE SEQUENCE vivarium_fences',
      `CREATE TABLE vivarium_sessions (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        meta text NOT NULL,
        revision bigint NOT NULL,
        stored_bytes bigint NOT NULL,
        created_at bigint NOT NULL,
        used_at bigint NOT NULL,
        fence bigint NOT NULL,
        owner text,
        leased_until bigint NOT NULL,
        UNIQUE (tenant, name)
      )`,
      `CREATE TABLE vivarium_checkpoints (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        session bigint NOT NULL REFERENCES vivarium_sessions ON DELETE CASCADE,
        name text NOT NULL,
        revision bigint NOT NULL,
        created_at bigint NOT NULL,
        UNIQUE (session, name)
      )`,
      `CREATE TABLE vivarium_revisions (
        session bigint NOT NULL REFERENCES vivarium_sessions ON DELETE CASCADE,
        revision bigint NOT NULL,
        bytes bigint NOT NULL,
        manifest bytea NOT NULL,
        PRIMARY KEY (session, revision)
      )`,
      `CREATE TABLE vivarium_blobs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant text COLLATE "C" NOT NULL,
        hash text COLLATE "C" NOT NULL,
        bytes bigint NOT NULL,
        UNIQUE (tenant, hash)
      )`,
      `CREATE TABLE vivarium_contents (
        blob bigint NOT NULL REFERENCES vivarium_blobs ON DELETE CASCADE,
        part int NOT NULL,
        content bytea NOT NULL,
        PRIMARY KEY (blob, part)
      )`,
      // They are compressed already.
      'ALTER TABLE vivarium_contents ALTER COLUMN content SET STORAGE EXTERNAL',
      `CREATE TABLE vivarium_refs (
        session bigint NOT NULL,
        revision bigint NOT NULL,
        position int NOT NULL,
        blob bigint NOT NULL REFERENCES vivarium_blobs,
        PRIMARY KEY (session, revision, position),
        FOREIGN KEY (session, revision) REFERENCES vivarium_revisions ON DELETE CASCADE
      )`,
      'CREATE INDEX vivarium_refs_blob ON vivarium_refs (blob, session)',
      'CREATE INDEX vivarium_sessions_used ON vivarium_sessions (used_at)',
    ],
  },
];
