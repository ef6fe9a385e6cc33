import { type DeltaNode, type DeltaTree, fileBlobBytes, maxNodes, maxPathChars } from '../image/delta.ts';
import { ownDescriptors } from './devices.ts';
import { bytesOf, childrenOf, type LayeredFiles } from './filesystem.ts';
import type { FileSystem, FsNode, FsStream } from './pyodide-internals.ts';

const permissionBits = 0o7777;
/** O_CREAT, O_EXCL and O_TRUNC: how a file came to be open is over. */
const openingFlags = 0o1300;

export interface ReadDeltaTree {
  tree: DeltaTree;
  /** What files hold, in the order of `nodes`: copies. */
  blobs: Uint8Array<ArrayBuffer>[];
  /** What can't be stored. */
  obstacles: string[];
}

/** What runs have made of the image's files. `firstBlob`: the index of the first blob of a file. */
export function readDeltaTree(fs: FileSystem, files: LayeredFiles, firstBlob: number): ReadDeltaTree {
  const { saved, created } = files.changes;
  const tree: DeltaTree = { removed: [], nodes: [], descriptors: [], cwd: fs.currentPath };
  const blobs: Uint8Array<ArrayBuffer>[] = [];
  const obstacles: string[] = [];

  const isOfImage = (node: FsNode): boolean => !created.has(node) && node.id < files.firstId;
  const pathBefore = (node: FsNode): string => {
    const { parent, name } = saved.get(node) ?? node;
    return parent === node ? '' : `${pathBefore(parent)}/${name}`;
  };
  const add = (node: FsNode, path: string): void => {
    const was = saved.get(node);
    const isFile = fs.isFile(node.mode);
    const isLink = fs.isLink(node.mode);
    if (!isFile && !isLink && !fs.isDir(node.mode)) {
      obstacles.push(`the device ${path}`);
      return;
    }
    if (path.length > maxPathChars || (node.link ?? '').length > maxPathChars) {
      obstacles.push(`a path of more than ${maxPathChars} characters (${path.slice(0, 40)}…)`);
      return;
    }
    if (tree.nodes.length === maxNodes) {
      obstacles.push(`more than ${maxNodes} files`);
      return;
    }
    const original =
      isFile && isOfImage(node) && (was === undefined || was.contents === node.contents)
        ? pathBefore(node)
        : null;
    const pieces = isFile && original === null ? piecesOf(bytesOf(node)) : [];
    tree.nodes.push({
      path,
      kind: isFile ? 'file' : isLink ? 'link' : 'folder',
      mode: node.mode & permissionBits,
      atimeMs: node.atime,
      mtimeMs: node.mtime,
      ctimeMs: node.ctime,
      size: isFile ? node.usedBytes : 0,
      original,
      target: node.link ?? '',
      blob: pieces.length === 0 && original !== null ? 0 : firstBlob + blobs.length,
      blobs: pieces.length,
      foreign: isFile && files.isForeign(node),
    });
    blobs.push(...pieces);
  };

  const touched = new Map<FsNode, string | undefined>();
  const visit = (node: FsNode): void => {
    if (touched.has(node)) return;
    const path = pathOf(fs, node);
    touched.set(node, path);
    // What lies in a folder that was moved has moved with it.
    if (path !== undefined && fs.isDir(node.mode) && isOfImage(node) && path !== pathBefore(node))
      for (const child of Object.values(childrenOf(node))) visit(child);
  };
  for (const node of saved.keys()) visit(node);
  for (const node of created) visit(node);

  const present: [node: FsNode, path: string][] = [];
  for (const [node, path] of touched) {
    const before = isOfImage(node) ? pathBefore(node) : undefined;
    if (before !== undefined && before !== path) tree.removed.push(before);
    // The root is always there; only its times are lost.
    if (path !== undefined && path !== '' && (before !== path || isChanged(fs, node, saved.get(node))))
      present.push([node, path]);
  }
  tree.removed.sort((a, b) => (a < b ? 1 : -1));
  present.sort(([, a], [, b]) => (a < b ? -1 : 1));
  for (const [node, path] of present) add(node, path);

  const homeless = new Map<FsNode, number>();
  const groups = new Map<FsStream['shared'], number>();
  for (const stream of fs.streams) {
    if (!stream || stream.fd === null || ownDescriptors.has(stream.fd)) continue;
    const { fd, node, shared } = stream;
    if (node.pipe !== undefined || node.sock !== undefined) {
      obstacles.push(`${node.pipe === undefined ? 'a socket' : 'a pipe'} (descriptor ${fd})`);
      continue;
    }
    const path = pathOf(fs, node);
    if (path === undefined && !fs.isFile(node.mode)) {
      obstacles.push(`a folder that was removed and is still open (descriptor ${fd})`);
      continue;
    }
    if (path === undefined && !homeless.has(node)) {
      homeless.set(node, tree.nodes.length);
      add(node, '');
    }
    if (!groups.has(shared)) groups.set(shared, groups.size);
    tree.descriptors.push({
      fd,
      node: path ?? homeless.get(node) ?? 0,
      flags: shared.flags & ~openingFlags,
      position: shared.position,
      shared: groups.get(shared) ?? 0,
    });
  }
  return { tree, blobs, obstacles };
}

/** Makes the image's files those of a delta. They must be the image's, as after a rewind. */
export function applyDeltaTree(
  fs: FileSystem,
  files: LayeredFiles,
  tree: DeltaTree,
  blobs: readonly Uint8Array[],
): void {
  const originals = tree.nodes.map(({ original }) =>
    original === null ? undefined : bytesOf(fs.lookupPath(original).node),
  );
  for (const path of tree.removed) {
    const { parent, name } = placeOf(fs, path);
    removeNode(fs, parent, name);
  }
  const made: FsNode[] = [];
  tree.nodes.forEach((node, index) => {
    const { parent, name } = placeOf(fs, node.path === '' ? homelessPath(index) : node.path);
    const known = childrenOf(parent)[name];
    const one = known ?? makeNode(parent, name, node);
    made.push(one);
    if (node.kind !== 'file') return;
    const original = originals[index];
    // A file of the image that only has other times or another mode keeps what it holds.
    if (known !== undefined && original !== undefined) return;
    const contents = original?.slice() ?? joined(blobs.slice(node.blob, node.blob + node.blobs), node.size);
    files.adopt(one, { contents, foreign: node.foreign });
  });
  reopen(fs, tree);
  tree.nodes.forEach((node, index) => {
    const one = made[index];
    if (one === undefined) return;
    if (node.path === '') {
      const { parent, name } = placeOf(fs, homelessPath(index));
      removeNode(fs, parent, name);
    }
    const mode = (one.mode & ~permissionBits) | node.mode;
    files.adopt(one, { mode, atime: node.atimeMs, mtime: node.mtimeMs, ctime: node.ctimeMs });
  });
  fs.currentPath = tree.cwd;
}

function reopen(fs: FileSystem, { descriptors }: DeltaTree): void {
  for (const stream of [...fs.streams])
    if (stream && stream.fd !== null && !ownDescriptors.has(stream.fd)) fs.closeStream(stream.fd);
  const shared = new Map<number, FsStream>();
  for (const { fd, node, flags, position, shared: group } of descriptors) {
    const twin = shared.get(group);
    if (twin !== undefined) {
      fs.createStream(twin, fd);
      continue;
    }
    const opened = fs.open(typeof node === 'number' ? homelessPath(node) : node, flags);
    fs.closeStream(opened.fd ?? -1);
    const stream = fs.createStream(opened, fd);
    stream.shared.position = position;
    shared.set(group, stream);
  }
}

/** Where a file that is in no folder lies until it's open. */
function homelessPath(index: number): string {
  return `/.vivarium-${index}`;
}

function placeOf(fs: FileSystem, path: string): { parent: FsNode; name: string } {
  const cut = path.lastIndexOf('/');
  return { parent: fs.lookupPath(path.slice(0, cut) || '/').node, name: path.slice(cut + 1) };
}

function makeNode(parent: FsNode, name: string, { kind, target }: DeltaNode): FsNode {
  switch (kind) {
    case 'file':
      return parent.node_ops.mknod?.(parent, name, 0o100666, 0) as FsNode;
    case 'folder':
      return parent.node_ops.mknod?.(parent, name, 0o40777, 0) as FsNode;
    case 'link':
      return parent.node_ops.symlink?.(parent, name, target) as FsNode;
    default:
      return kind satisfies never;
  }
}

/** Whatever permissions say: the session had them when it did this. */
function removeNode(fs: FileSystem, parent: FsNode, name: string): void {
  const node = childrenOf(parent)[name];
  if (node === undefined) throw new Error(`${name} is not there to be removed`);
  if (fs.isDir(node.mode)) parent.node_ops.rmdir?.(parent, name);
  else parent.node_ops.unlink?.(parent, name);
  fs.destroyNode(node);
}

/** Undefined when no folder of the file system leads to it, or none any more. */
function pathOf(fs: FileSystem, node: FsNode): string | undefined {
  if (node === fs.root) return '';
  const { parent, name } = node;
  // Pipes have a root of their own.
  if (parent === undefined || parent === node || childrenOf(parent)[name] !== node) return undefined;
  const above = pathOf(fs, parent);
  return above === undefined ? undefined : `${above}/${name}`;
}

function isChanged(fs: FileSystem, node: FsNode, was: Readonly<Partial<FsNode>> | undefined): boolean {
  if (was === undefined) return true;
  // Reading a device changes its times.
  if (!fs.isFile(node.mode) && !fs.isDir(node.mode) && !fs.isLink(node.mode)) return false;
  const contents = fs.isFile(node.mode) && was.contents !== node.contents;
  return contents || (['mode', 'atime', 'mtime', 'ctime'] as const).some((key) => was[key] !== node[key]);
}

function piecesOf(bytes: Uint8Array): Uint8Array<ArrayBuffer>[] {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < bytes.length; at += fileBlobBytes)
    pieces.push(bytes.slice(at, at + fileBlobBytes) as Uint8Array<ArrayBuffer>);
  return pieces;
}

function joined(pieces: readonly Uint8Array[], size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
