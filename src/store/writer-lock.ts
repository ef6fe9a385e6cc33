/**
 * Tells which writers of a folder live: each holds a lock that the system takes back with its process, however that ends. It is
 * SQLite's own lock on an empty database, since Node has none for files; who can share the store's database can share this.
 * Locks are taken and looked at only within a transaction of the store: else one could be swept before it's held.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { loadSqlite } from './sqlite-module.ts';

export class WriterLock implements Disposable {
  readonly #path: string;
  readonly #database: DatabaseSync;

  constructor(folder: string, writer: string) {
    this.#path = join(folder, `${writer}.lock`);
    this.#database = hold(this.#path);
  }

  [Symbol.dispose](): void {
    this.#database.close();
    rmSync(this.#path, { force: true });
  }
}

/** The writers that live. The locks of others are removed. */
export function liveWriters(folder: string): Set<string> {
  const live = new Set<string>();
  for (const name of readdirSync(folder)) {
    const writer = /^([0-9a-f]{16})\.lock$/.exec(name)?.[1];
    if (writer === undefined) continue;
    try {
      hold(join(folder, name)).close();
      rmSync(join(folder, name), { force: true });
    } catch {
      // It's held. What can't be told, for whatever reason, is taken for alive.
      live.add(writer);
    }
  }
  return live;
}

function hold(path: string): DatabaseSync {
  const { DatabaseSync } = loadSqlite();
  const database = new DatabaseSync(path);
  try {
    database.exec('BEGIN EXCLUSIVE');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}
