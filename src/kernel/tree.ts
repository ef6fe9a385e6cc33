import { InstallError } from '../errors/errors.ts';
import type { ImageTree } from '../image/header.ts';
import { type FileSystem, type FsNode, stdlibPath } from './pyodide-internals.ts';

/** Not of an image: devices are the engine's, and the standard library's archive comes with Pyodide. */
const leftOut: ReadonlySet<string> = new Set(['/dev', '/proc', stdlibPath]);
const permissionBits = 0o777;

/** Everything that an image keeps of a file system, and the contents of its files. Throws `InstallError`. */
export function readTree(
  fs: FileSystem,
  ownDescriptors: ReadonlySet<number>,
): {
  tree: ImageTree;
  contents: Uint8Array[];
} {
  const tree: ImageTree = { folders: [], files: [], links: [], descriptors: [] };
  const contents: Uint8Array[] = [];
  const walk = (folder: FsNode, at: string): void => {
    const children = Object.values(folder.contents as Record<string, FsNode>);
    // By name: the order in which files were made must not matter.
    children.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const node of children) {
      const path = `${at}/${node.name}`;
      if (leftOut.has(path)) continue;
      if (fs.isDir(node.mode)) {
        tree.folders.push(path);
        walk(node, path);
      } else if (fs.isLink(node.mode)) tree.links.push([path, node.link ?? '']);
      else if (fs.isFile(node.mode)) {
        const bytes = fileBytes(node);
        tree.files.push([path, bytes.length, node.mode & permissionBits]);
        contents.push(bytes);
      } else throw notFreezable(`${path} is neither a file nor a folder`);
    }
  };
  walk(fs.root, '');
  for (const stream of fs.streams) {
    if (!stream || stream.fd === null || ownDescriptors.has(stream.fd)) continue;
    const { fd, path, shared, node } = stream;
    if (!fs.isFile(node.mode) || !isAt(fs, path, node))
      throw notFreezable(`the descriptor ${fd} (${path || 'a pipe'}) is open`);
    tree.descriptors.push([fd, path, shared.flags, shared.position]);
  }
  return { tree, contents };
}

/** Puts an image's files under a fresh file system. They stay views of `contents`: reading shares them. */
export function placeTree(fs: FileSystem, tree: ImageTree, contents: Uint8Array): void {
  const folders = new Map<string, FsNode>([['', fs.root]]);
  const parentOf = (path: string): { parent: FsNode; name: string } => {
    const cut = path.lastIndexOf('/');
    const at = path.slice(0, cut);
    let parent = folders.get(at);
    if (parent === undefined) {
      parent = fs.lookupPath(at).node;
      folders.set(at, parent);
    }
    return { parent, name: path.slice(cut + 1) };
  };
  const make = (path: string, mode: number): FsNode => {
    const { parent, name } = parentOf(path);
    return parent.node_ops.mknod?.(parent, name, mode, 0) as FsNode;
  };
  const known = (path: string): FsNode | undefined => {
    const { parent, name } = parentOf(path);
    const children = parent.contents as Record<string, FsNode>;
    // Emscripten keeps them in an object with a prototype.
    return Object.hasOwn(children, name) ? children[name] : undefined;
  };
  for (const path of tree.folders) folders.set(path, known(path) ?? make(path, folderMode));
  let offset = 0;
  for (const [path, bytes, mode] of tree.files) {
    const node = known(path) ?? make(path, fileMode | mode);
    node.contents = contents.subarray(offset, offset + bytes);
    node.usedBytes = bytes;
    offset += bytes;
  }
  for (const [path, target] of tree.links) {
    const { parent, name } = parentOf(path);
    if (known(path) === undefined) parent.node_ops.symlink?.(parent, name, target);
  }
}

/** Opens again what was open: at the same numbers, at the same positions. */
export function reopenDescriptors(fs: FileSystem, tree: ImageTree): void {
  for (const [fd, path, flags, position] of tree.descriptors) {
    const opened = fs.open(path, flags);
    fs.closeStream(opened.fd ?? -1);
    fs.createStream(opened, fd).shared.position = position;
  }
}

function notFreezable(what: string): InstallError {
  return new InstallError(`${what}: an image can't hold it`, {
    reason: 'not_freezable',
    package: '',
    suggestion: '',
  });
}

const folderMode = 0o40777;
const fileMode = 0o100000;

function isAt(fs: FileSystem, path: string, node: FsNode): boolean {
  try {
    return fs.lookupPath(path).node === node;
  } catch {
    return false;
  }
}

function fileBytes({ contents, usedBytes }: FsNode): Uint8Array {
  if (!ArrayBuffer.isView(contents)) return new Uint8Array();
  return new Uint8Array(contents.buffer, contents.byteOffset, usedBytes);
}
