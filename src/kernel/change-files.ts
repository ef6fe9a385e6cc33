import { UsageError } from '../errors/errors.ts';
import { childrenOf } from './filesystem.ts';
import type { FileSystem, FsNode } from './pyodide-internals.ts';

/** `bytes` null: what is there is removed, with all below it. */
export interface FileChange {
  /** Absolute. */
  path: string;
  bytes: Uint8Array | null;
}

/** Replaces or removes files, as a run would, and makes the folders above them. Throws `UsageError` for what can't be done. */
export function changeFiles(fs: FileSystem, changes: readonly FileChange[]): void {
  for (const { path, bytes } of changes) {
    try {
      if (bytes === null) remove(fs, path);
      else {
        fs.mkdirTree(path.slice(0, path.lastIndexOf('/')) || '/');
        fs.writeFile(path, bytes, { canOwn: true });
      }
    } catch (cause) {
      if (!(cause instanceof fs.ErrnoError)) throw cause;
      const what = bytes === null ? 'removed' : 'written';
      throw new UsageError(
        'usage',
        `${path} can’t be ${what}: something else is in the way, or there is no room.`,
      );
    }
  }
}

/** What isn't there needs no removing. */
function remove(fs: FileSystem, path: string): void {
  let node: FsNode;
  try {
    ({ node } = fs.lookupPath(path));
  } catch (error) {
    if (error instanceof fs.ErrnoError) return;
    throw error;
  }
  if (!fs.isDir(node.mode)) {
    fs.unlink(path);
    return;
  }
  for (const name of Object.keys(childrenOf(node))) remove(fs, `${path}/${name}`);
  fs.rmdir(path);
}
