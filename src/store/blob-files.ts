/**
 * Blobs as files `blobs/ab/<hash>.<writer>.<number>`. No name is ever used twice, so that a file which nobody refers to any more can go
 * while the same content comes back under another name. A file counts from when a row names it, and is whole by then.
 */
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDiskError } from '../util/disk-error.ts';

/** Written at the same time. */
const concurrency = 8;
const pattern = /^[0-9a-f]{64}\.([0-9a-f]{16})\.[0-9a-z]+$/;

export class BlobFiles {
  readonly #folder: string;
  readonly #writer: string;
  readonly #made = new Set<string>();
  #written = 0;

  /** `writer`: 16 hexadecimal digits that no other one has. */
  constructor(folder: string, writer: string) {
    this.#folder = folder;
    this.#writer = writer;
  }

  /** Their names by hash; all are on the disk, or none is there. */
  async write(blobs: readonly (readonly [hash: string, bytes: Uint8Array])[]): Promise<Map<string, string>> {
    const names = new Map(
      blobs.map(([hash]) => [hash, `${hash}.${this.#writer}.${(this.#written++).toString(36)}`]),
    );
    const queue = [...blobs];
    const folders = new Set([...names.values()].map((name) => this.#folderOf(name)));
    const work = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const [hash, bytes] = next;
        const file = await open(this.#pathOf(names.get(hash) ?? ''), 'wx', 0o600);
        try {
          await file.writeFile(bytes);
          await file.sync();
        } finally {
          await file.close();
        }
      }
    };
    try {
      for (const folder of folders) await this.#makeFolder(folder);
      const results = await Promise.allSettled(Array.from({ length: concurrency }, work));
      for (const result of results) if (result.status === 'rejected') throw result.reason;
      for (const folder of folders) await syncFolder(folder);
    } catch (error) {
      await this.remove([...names.values()]);
      throw error;
    }
    return names;
  }

  /** Undefined when there is none of that name. */
  async read(name: string): Promise<Uint8Array | undefined> {
    if (!pattern.test(name)) return undefined;
    try {
      return new Uint8Array(await readFile(this.#pathOf(name)));
    } catch (error) {
      if (isDiskError(error) && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** What can't be removed is swept another time. */
  async remove(names: readonly string[]): Promise<void> {
    await Promise.allSettled(names.map((name) => rm(this.#pathOf(name), { force: true })));
  }

  /** With who wrote them. What isn't a blob is not there. */
  async list(): Promise<{ name: string; writer: string }[]> {
    const found: { name: string; writer: string }[] = [];
    for (const folder of await namesIn(this.#folder)) {
      if (!/^[0-9a-f]{2}$/.test(folder)) continue;
      for (const name of await namesIn(join(this.#folder, folder))) {
        const writer = pattern.exec(name)?.[1];
        if (writer !== undefined) found.push({ name, writer });
      }
    }
    return found;
  }

  async #makeFolder(folder: string): Promise<void> {
    if (this.#made.has(folder)) return;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // Also when another process has made it, which may not have come so far.
    await syncFolder(this.#folder);
    this.#made.add(folder);
  }

  #folderOf(name: string): string {
    return join(this.#folder, name.slice(0, 2));
  }

  #pathOf(name: string): string {
    return join(this.#folderOf(name), name);
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isDiskError(error) && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return [];
    throw error;
  }
}

/** So that a name outlives a loss of power. Windows can't, and needn't. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
