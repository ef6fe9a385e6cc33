/** A store's folder, as it lies on the disk. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** Names of all blob files. */
export function filesIn(folder: string): string[] {
  const blobs = join(folder, 'blobs');
  if (!existsSync(blobs)) return [];
  const names = readdirSync(blobs, { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => statSync(join(blobs, name)).isFile())
    .map((name) => name.slice(3))
    .sort();
}

/** Throws when rows and files don't fit one another, or the database is damaged. Returns `tenant/hash` of all blobs. */
export function heldIn(folder: string): string[] {
  using database = new DatabaseSync(join(folder, 'sessions.db'), { readOnly: true });
  const rows = (sql: string) => database.prepare(sql).all();
  const problems = rows('PRAGMA integrity_check').map((row) => row.integrity_check);
  if (String(problems) !== 'ok') throw new Error(`damaged: ${problems}`);
  const blobs = rows('SELECT * FROM vivarium_blobs b LEFT JOIN vivarium_contents c ON c.blob = b.id');
  const named = blobs.flatMap(({ file }) => (file === null ? [] : [String(file)])).sort();
  const files = filesIn(folder);
  if (String(named) !== String(files)) throw new Error(`rows name ${named}, there are ${files}`);
  for (const { hash, bytes, file, content } of blobs) {
    const path = join(folder, 'blobs', String(hash).slice(0, 2), String(file));
    const length = content instanceof Uint8Array ? content.length : statSync(path).size;
    if (length !== bytes) throw new Error(`blob ${hash} has ${length} bytes of ${bytes}`);
  }
  return blobs.map(({ tenant, hash }) => `${tenant}/${hash}`).sort();
}
