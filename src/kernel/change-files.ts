import { UsageError } from '../errors/errors.ts';
import { childrenOf, type LayeredFiles } from './filesystem.ts';
import type { FileSystem, FsNode } from './pyodide-internals.ts';

/** `bytes` null: what is there is removed, with all below it. */
export interface FileChange {
  /** Absolute. */
  path: string;
  bytes: Uint8Array | null;
}

/**
 * Replaces or removes files, as a run would, and makes the folders above them. Throws `UsageError` for what can't be done, before it has
 * changed anything.
 */
export function changeFiles(fs: FileSystem, files: LayeredFiles, changes: readonly FileChange[]): void {
  let room = files.room;
  for (const { path, bytes } of changes) {
    const node = nodeAt(fs, path, bytes !== null);
    if (bytes === null) assertRemovable(fs, path, node);
    else {
      assertWritable(fs, path, node);
      room -= bytes.length - (node?.usedBytes ?? 0);
      if (room < 0) throw refused(path, 'written', 'there is no room');
    }
  }
  for (const { path, bytes } of changes) {
    try {
      if (bytes === null) remove(fs, path);
      else {
        fs.mkdirTree(path.slice(0, path.lastIndexOf('/')) || '/');
        fs.writeFile(path, bytes, { canOwn: true });
      }
    } catch (cause) {
      if (!(cause instanceof fs.ErrnoError)) throw cause;
      throw refused(path, bytes === null ? 'removed' : 'written', 'its folder forbids it');
    }
  }
}

function assertWritable(fs: FileSystem, path: string, node: FsNode | undefined): void {
  const above = path.split('/').slice(1, -1);
  const folders = above.map((_, index) => `/${above.slice(0, index + 1).join('/')}`);
  const blocked = folders.some((folder) => {
    const found = nodeAt(fs, folder, true);
    return found !== undefined && !fs.isDir(found.mode);
  });
  if (blocked || (node !== undefined && !fs.isFile(node.mode)))
    throw refused(path, 'written', 'something else is in the way');
}

function assertRemovable(fs: FileSystem, path: string, node: FsNode | undefined): void {
  if (node === undefined) return;
  if (node.parent === node) throw refused(path, 'removed', 'a file system begins there');
  if (`${fs.currentPath}/`.startsWith(`${path}/`))
    throw refused(path, 'removed', 'it is the working folder, or that lies in it');
}

/** What isn't there needs no removing. */
function remove(fs: FileSystem, path: string): void {
  const node = nodeAt(fs, path, false);
  if (node === undefined) return;
  if (!fs.isDir(node.mode)) {
    fs.unlink(path);
    return;
  }
  for (const name of Object.keys(childrenOf(node))) remove(fs, `${path}/${name}`);
  fs.rmdir(path);
}

function nodeAt(fs: FileSystem, path: string, follow: boolean): FsNode | undefined {
  try {
    return fs.lookupPath(path, { follow }).node;
  } catch (error) {
    if (error instanceof fs.ErrnoError) return undefined;
    throw error;
  }
}

function refused(path: string, what: string, why: string): UsageError {
  return new UsageError('usage', `${path} can’t be ${what}: ${why}.`);
}
