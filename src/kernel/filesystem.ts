import type { FileSystem, FsNode, FsStream, NodeOp, PyodideModule } from './pyodide-internals.ts';

/** Times of every file that exists before a run: import finders cache them in the heap, and images must be alike. */
const imageTimeMs = Date.UTC(2025, 0, 1);

/** ENOSPC in Emscripten's numbering. */
const noSpace = 51;
const maxPathLength = 4096;

interface SavedNode {
  name: string;
  parent: FsNode;
  mode: number;
  atime: number;
  mtime: number;
  ctime: number;
  contents: FsNode['contents'];
  usedBytes: number;
}

export interface FileQuota {
  /** Bytes that all files written in one run may hold. */
  maxBytes: number;
  /** Nodes that one run may create. */
  maxNodes: number;
}

export interface ChangedFile {
  path: string;
  bytes: Uint8Array;
}

/**
 * The file system as two layers: the files of the image, read-only and shared, and what a run writes above them.
 *
 * Emscripten's MEMFS changes nodes in place, so its operations are wrapped: before the first change to a node of the
 * image its fields are saved (a file's bytes are copied then, never before), and every node that a run creates is
 * noted. A rewind undoes just that, in time proportional to what the run touched.
 */
export class LayeredFiles {
  readonly #fs: FileSystem;
  readonly #saved = new Map<FsNode, SavedNode>();
  readonly #created = new Set<FsNode>();
  /** Made, written to or moved since the run began. */
  readonly #modified = new Set<FsNode>();
  #imageNodes = Number.POSITIVE_INFINITY;
  #streams: { stream: FsStream; fd: number; position: number; flags: number }[] = [];
  #cwd = '/';
  #bytes = 0;
  #quota: FileQuota = { maxBytes: Number.POSITIVE_INFINITY, maxNodes: Number.POSITIVE_INFINITY };

  constructor(module: PyodideModule) {
    this.#fs = module.FS;
    this.#wrap();
  }

  /** Everything that exists now is the image; what comes later is the run's. */
  seal(): void {
    for (const head of this.#fs.nameTable) {
      for (let node = head; node; node = node.name_next) {
        node.atime = node.mtime = node.ctime = imageTimeMs;
      }
    }
    this.#imageNodes = this.#fs.nextInode;
    this.#cwd = this.#fs.currentPath;
    this.#streams = this.#fs.streams.flatMap((stream) =>
      stream
        ? [{ stream, fd: stream.fd ?? -1, position: stream.shared.position, flags: stream.shared.flags }]
        : [],
    );
    this.#created.clear();
    this.#modified.clear();
  }

  setQuota(quota: FileQuota): void {
    this.#quota = quota;
    this.#bytes = 0;
  }

  /** Puts back the image's files, descriptors and working folder. */
  rewind(): void {
    const fs = this.#fs;
    for (const node of this.#created) fs.hashRemoveNode(node);
    for (const node of this.#saved.keys()) fs.hashRemoveNode(node);
    for (const [node, saved] of this.#saved) Object.assign(node, saved);
    for (const node of this.#saved.keys()) fs.hashAddNode(node);
    this.#created.clear();
    this.#modified.clear();
    this.#saved.clear();
    fs.nextInode = this.#imageNodes;
    fs.streams.length = 0;
    for (const { stream, fd, position, flags } of this.#streams) {
      stream.fd = fd;
      stream.shared.position = position;
      stream.shared.flags = flags;
      fs.streams[fd] = stream;
    }
    fs.currentPath = this.#cwd;
  }

  /** Writes the run's input files; unless changed, they don't come back. */
  writeInputs(folder: string, inputs: readonly ChangedFile[]): void {
    for (const { path, bytes } of inputs) {
      const full = `${folder}/${path}`;
      this.#fs.mkdirTree(full.slice(0, full.lastIndexOf('/')));
      this.#fs.writeFile(full, bytes, { canOwn: true });
    }
    this.#modified.clear();
  }

  /** Files under `folder` that the run made or wrote to, by path, up to the limits. */
  changed(folder: string, maxFiles: number, maxBytes: number): { files: ChangedFile[]; truncated: boolean } {
    const found: ChangedFile[] = [];
    // What lies in a folder that was moved has a new path too.
    const stack: { node: FsNode; path: string; moved: boolean }[] = [
      { node: this.#fs.lookupPath(folder, { follow: true }).node, path: '', moved: false },
    ];
    for (let entry = stack.pop(); entry !== undefined; entry = stack.pop()) {
      for (const child of Object.values(childrenOf(entry.node))) {
        const path = entry.path === '' ? child.name : `${entry.path}/${child.name}`;
        const modified = entry.moved || this.#modified.has(child);
        if (this.#fs.isDir(child.mode)) stack.push({ node: child, path, moved: modified });
        else if (this.#fs.isFile(child.mode) && modified) found.push({ path, bytes: bytesOf(child) });
      }
    }
    found.sort((a, b) => (a.path < b.path ? -1 : 1));
    let bytes = 0;
    const files = found.filter((file, index) => {
      bytes += file.bytes.length;
      return index < maxFiles && bytes <= maxBytes && file.path.length <= maxPathLength;
    });
    return { files, truncated: files.length < found.length };
  }

  /** Before the first change to a node of the image. */
  #touch(node: FsNode): SavedNode | undefined {
    if (node.id >= this.#imageNodes) return undefined;
    let saved = this.#saved.get(node);
    if (saved === undefined) {
      const { name, parent, mode, atime, mtime, ctime, contents, usedBytes } = node;
      saved = { name, parent, mode, atime, mtime, ctime, contents, usedBytes };
      this.#saved.set(node, saved);
      if (this.#fs.isDir(mode)) node.contents = plainDictionary(childrenOf(node));
    }
    return saved;
  }

  #touchBytes(node: FsNode): void {
    this.#modified.add(node);
    const saved = this.#touch(node);
    if (saved !== undefined && node.contents === saved.contents) node.contents = bytesOf(node).slice();
  }

  #charge(bytes: number): void {
    if (bytes > 0 && this.#bytes + bytes > this.#quota.maxBytes) throw new this.#fs.ErrnoError(noSpace);
    this.#bytes += bytes;
  }

  #wrap(): void {
    const fs = this.#fs;
    const createNode = fs.createNode.bind(fs);
    fs.createNode = (parent, name, mode, rdev) => {
      if (this.#created.size >= this.#quota.maxNodes) throw new fs.ErrnoError(noSpace);
      const node = createNode(parent, name, mode, rdev);
      this.#created.add(node);
      this.#modified.add(node);
      return node;
    };
    const destroyNode = fs.destroyNode.bind(fs);
    fs.destroyNode = (node) => {
      this.#modified.delete(node);
      if (this.#created.delete(node) && fs.isFile(node.mode)) this.#charge(-node.usedBytes);
      destroyNode(node);
    };
    const memfs = fs.filesystems.MEMFS;
    const { dir, file, link, chrdev } = memfs.ops_table;
    for (const head of fs.nameTable) {
      for (let node = head; node; node = node.name_next) usePlainDictionary(fs, node);
    }
    const mknod = dir.node.mknod;
    dir.node.mknod = (parent, ...args) => {
      this.#touch(parent);
      const node: FsNode = mknod(parent, ...args);
      usePlainDictionary(fs, node);
      return node;
    };
    before(dir.node, 'symlink', (parent) => this.#touch(parent));
    for (const name of ['unlink', 'rmdir'] as const) {
      before(dir.node, name, (parent, child) => {
        this.#touch(parent);
        this.#touch(fs.lookupNode(parent, child));
      });
    }
    before(dir.node, 'rename', (node, newParent, newName) => {
      this.#modified.add(node);
      this.#touch(node);
      this.#touch(node.parent);
      this.#touch(newParent);
      const replaced = childrenOf(newParent)[newName];
      if (replaced !== undefined) this.#touch(replaced);
    });
    for (const ops of [dir.node, link.node, chrdev.node]) before(ops, 'setattr', (node) => this.#touch(node));
    before(file.node, 'setattr', (node, attributes) => {
      if (attributes.size === undefined) this.#touch(node);
      else {
        this.#charge(attributes.size - node.usedBytes);
        this.#touchBytes(node);
      }
    });
    const write = file.stream.write;
    if (write === undefined) throw new Error('MEMFS has no write operation');
    const guarded: typeof write = (stream, buffer, offset, length, position, canOwn) => {
      this.#charge(Math.max(0, position + length - stream.node.usedBytes));
      this.#touchBytes(stream.node);
      return write(stream, buffer, offset, length, position, canOwn);
    };
    file.stream.write = guarded;
    // `msync` of a memory map writes by this name.
    memfs.stream_ops.write = guarded;
  }
}

/** Calls `check` with the operation's arguments first; what it throws is the operation's error. */
function before<K extends string>(ops: Record<K, NodeOp>, name: K, check: NodeOp): void {
  const original = ops[name];
  ops[name] = (...args) => {
    check(...args);
    return original(...args);
  };
}

/** MEMFS keeps a folder's children in an object, where a file called `__proto__` would get lost. */
function usePlainDictionary(fs: FileSystem, node: FsNode): void {
  if (fs.isDir(node.mode) && node.contents) node.contents = plainDictionary(childrenOf(node));
}

function plainDictionary(children: Record<string, FsNode>): Record<string, FsNode> {
  return Object.assign(Object.create(null), children);
}

function childrenOf(node: { contents: FsNode['contents'] }): Record<string, FsNode> {
  if (node.contents === null || ArrayBuffer.isView(node.contents)) return {};
  return node.contents;
}

/** MEMFS keeps what Python wrote as an `Int8Array`. */
function bytesOf(node: FsNode): Uint8Array {
  if (!ArrayBuffer.isView(node.contents)) return new Uint8Array();
  return new Uint8Array(node.contents.buffer, node.contents.byteOffset, node.usedBytes);
}
