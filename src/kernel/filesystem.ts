import type { FileSystem, FsNode, FsStream, NodeOp, PyodideModule, StreamOps } from './pyodide-internals.ts';

/** Times of every file that exists before a run: import finders cache them in the heap, and images must be alike. */
const imageTimeMs = Date.UTC(2025, 0, 1);

/** ENOSPC in Emscripten's numbering. */
const noSpace = 51;
const maxPathBytes = 4096;
const encoder = new TextEncoder();
const notOriginal = 'only libraries of the image and of installed packages can be loaded';

/** A node of the image as it was before runs changed it. */
export interface SavedNode {
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
  /** Bytes that files and pipes written since the last rewind may hold. */
  maxBytes: number;
  /** Nodes created since then. */
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
  /** Made by a run, removed, and still open somewhere. */
  readonly #orphans = new Set<FsNode>();
  /** Of these the bytes or the name are a run's own: neither the image nor an install has put them there. */
  #foreign = new WeakSet<FsNode>();
  #exempting = false;
  #imageNodes = Number.POSITIVE_INFINITY;
  #streams: { stream: FsStream; fd: number; position: number; flags: number }[] = [];
  #cwd = '/';
  /** Held by what runs have written since the last rewind. */
  #bytes = 0;
  /** Room beyond the quota: what `exempt` has taken of it. */
  #exemptBytes = 0;
  #exemptNodes = 0;
  #pipesAreBounded = false;
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
    this.#foreign = new WeakSet();
  }

  setQuota(quota: FileQuota): void {
    this.#quota = quota;
  }

  /** What `exempt` has written since the last rewind. */
  get exemptBytes(): number {
    return this.#exemptBytes;
  }

  /** What is written meanwhile counts for no quota, and libraries may be loaded from it. */
  exempt(write: () => void): void {
    const bytes = this.#bytes;
    const nodes = this.#created.size;
    try {
      this.unbounded(write);
    } finally {
      this.#exemptBytes += this.#bytes - bytes;
      this.#exemptNodes += this.#created.size - nodes;
    }
  }

  /** What is made meanwhile counts, but is not refused. */
  unbounded(write: () => void): void {
    const quota = this.#quota;
    this.#quota = { maxBytes: Number.POSITIVE_INFINITY, maxNodes: Number.POSITIVE_INFINITY };
    this.#exempting = true;
    try {
      write();
    } finally {
      this.#exempting = false;
      this.#quota = quota;
    }
  }

  /** Nodes of the image that runs have changed or removed, as they were; and what they have made. */
  get changes(): { saved: ReadonlyMap<FsNode, Readonly<SavedNode>>; created: ReadonlySet<FsNode> } {
    return { saved: this.#saved, created: this.#created };
  }

  /** Bytes that may still be written. */
  get room(): number {
    return this.#quota.maxBytes + this.#exemptBytes - this.#bytes;
  }

  /** Nodes of the image have smaller numbers. */
  get firstId(): number {
    return this.#imageNodes;
  }

  /** Whether a run, and no install, has written it. */
  isForeign(node: FsNode): boolean {
    return this.#foreign.has(node);
  }

  /** Changes a node outside of any run. `contents`: what a file holds from now on; they become its own. */
  adopt(node: FsNode, changes: Partial<Pick<FsNode, 'mode' | 'atime' | 'mtime' | 'ctime'>>): void;
  adopt(node: FsNode, changes: { contents: Uint8Array; foreign: boolean }): void;
  adopt(
    node: FsNode,
    { foreign, ...changes }: Partial<FsNode> & { foreign?: boolean; contents?: Uint8Array },
  ): void {
    this.#touch(node);
    Object.assign(node, changes);
    if (changes.contents === undefined) return;
    node.usedBytes = changes.contents.length;
    this.#bytes += node.usedBytes;
    if (foreign) this.#foreign.add(node);
    else {
      this.#foreign.delete(node);
      this.#exemptBytes += node.usedBytes;
    }
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
    this.#orphans.clear();
    this.#foreign = new WeakSet();
    this.#bytes = this.#exemptBytes = this.#exemptNodes = 0;
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

  /** Writes the run's input files; unless changed, they don't come back. Returns the path of one that can't be written. */
  writeInputs(folder: string, inputs: readonly ChangedFile[]): string | undefined {
    const failed = inputs.find(({ path, bytes }) => {
      const full = `${folder}/${path}`;
      try {
        this.#fs.mkdirTree(full.slice(0, full.lastIndexOf('/')));
        this.#fs.writeFile(full, bytes, { canOwn: true });
        return false;
      } catch (error) {
        if (error instanceof this.#fs.ErrnoError) return true;
        throw error;
      }
    });
    this.#modified.clear();
    return failed?.path;
  }

  /**
   * Files under `folder` that the run made or wrote to, by path, up to the limits. None when the run removed the
   * folder, or put something else in its place.
   */
  changed(folder: string, maxFiles: number, maxBytes: number): { files: ChangedFile[]; truncated: boolean } {
    const found: ChangedFile[] = [];
    let tooLong = false;
    // What lies in a folder that was moved has a new path too.
    const stack: { node: FsNode; path: string; moved: boolean }[] = [];
    const root = this.#folderAt(folder);
    if (root !== undefined) stack.push({ node: root, path: '', moved: false });
    for (let entry = stack.pop(); entry !== undefined; entry = stack.pop()) {
      for (const child of Object.values(childrenOf(entry.node))) {
        const path = entry.path === '' ? child.name : `${entry.path}/${child.name}`;
        const modified = entry.moved || this.#modified.has(child);
        if (path.length > maxPathBytes || encoder.encode(path).length > maxPathBytes) tooLong ||= modified;
        else if (this.#fs.isDir(child.mode)) stack.push({ node: child, path, moved: modified });
        else if (this.#fs.isFile(child.mode) && modified) found.push({ path, bytes: bytesOf(child) });
      }
    }
    found.sort((a, b) => (a.path < b.path ? -1 : 1));
    let bytes = 0;
    const files = found.filter((file, index) => {
      bytes += file.bytes.length;
      return index < maxFiles && bytes <= maxBytes;
    });
    return { files, truncated: tooLong || files.length < found.length };
  }

  #folderAt(path: string): FsNode | undefined {
    try {
      const { node } = this.#fs.lookupPath(path);
      return this.#fs.isDir(node.mode) ? node : undefined;
    } catch (error) {
      if (error instanceof this.#fs.ErrnoError) return undefined;
      throw error;
    }
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
    if (!this.#exempting) this.#foreign.add(node);
    const saved = this.#touch(node);
    if (saved === undefined || node.contents !== saved.contents) return;
    this.#charge(node.usedBytes);
    node.contents = bytesOf(node).slice();
  }

  #charge(bytes: number): void {
    if (bytes > 0 && this.#bytes + bytes > this.#quota.maxBytes + this.#exemptBytes)
      throw new this.#fs.ErrnoError(noSpace);
    this.#bytes += bytes;
  }

  /** Nothing leads to the node any more but descriptors. */
  #forget(node: FsNode): void {
    this.#modified.delete(node);
    if (!this.#created.delete(node) || !this.#fs.isFile(node.mode)) return;
    if (this.#isOpen(node)) this.#orphans.add(node);
    else this.#charge(-node.usedBytes);
  }

  #isOpen(node: FsNode, except?: number | null): boolean {
    return this.#fs.streams.some((stream) => stream?.node === node && stream.fd !== except);
  }

  /** What is in a pipe lies outside Python's memory. All pipes share one set of operations. */
  #boundPipes(ops: StreamOps): void {
    const { read, write } = ops;
    if (this.#pipesAreBounded || read === undefined || write === undefined) return;
    this.#pipesAreBounded = true;
    ops.write = (stream, buffer, offset, length, position) => {
      this.#charge(length);
      return write(stream, buffer, offset, length, position);
    };
    ops.read = (...args) => {
      const length = read(...args);
      this.#charge(-length);
      return length;
    };
  }

  #wrap(): void {
    const fs = this.#fs;
    const createNode = fs.createNode.bind(fs);
    fs.createNode = (parent, name, mode, rdev) => {
      if (this.#created.size >= this.#quota.maxNodes + this.#exemptNodes) throw new fs.ErrnoError(noSpace);
      const node = createNode(parent, name, mode, rdev);
      this.#created.add(node);
      this.#modified.add(node);
      if (!this.#exempting) this.#foreign.add(node);
      return node;
    };
    const destroyNode = fs.destroyNode.bind(fs);
    fs.destroyNode = (node) => {
      this.#forget(node);
      destroyNode(node);
    };
    const createStream = fs.createStream.bind(fs);
    fs.createStream = (stream, fd) => {
      const created = createStream(stream, fd);
      if (created.node.pipe !== undefined) this.#boundPipes(created.stream_ops);
      return created;
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
    const rename = dir.node.rename;
    dir.node.rename = (node, newParent, newName) => {
      this.#modified.add(node);
      this.#foreign.add(node);
      this.#touch(node);
      this.#touch(node.parent);
      this.#touch(newParent);
      const replaced = childrenOf(newParent)[newName];
      if (replaced !== undefined) this.#touch(replaced);
      rename(node, newParent, newName);
      if (replaced !== undefined) this.#forget(replaced);
    };
    for (const ops of [dir.node, link.node, chrdev.node]) before(ops, 'setattr', (node) => this.#touch(node));
    // Devices set their own times when they are read or written.
    before(chrdev.stream, 'open', (stream: FsStream) => this.#touch(stream.node));
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
      this.#touchBytes(stream.node);
      this.#charge(Math.max(0, position + length - stream.node.usedBytes));
      return write(stream, buffer, offset, length, position, canOwn);
    };
    file.stream.write = guarded;
    file.stream.close = ({ node, fd }) => {
      if (!this.#orphans.has(node) || this.#isOpen(node, fd)) return;
      this.#orphans.delete(node);
      this.#charge(-node.usedBytes);
    };
    // `msync` of a memory map writes by this name.
    memfs.stream_ops.write = guarded;
    const readFile = fs.readFile.bind(fs);
    fs.readFile = (path, options) => {
      const { node } = fs.lookupPath(path, { follow: true });
      if (!fs.isFile(node.mode) || this.#foreign.has(node)) throw new Error(notOriginal);
      return readFile(path, options);
    };
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

export function childrenOf(node: { contents: FsNode['contents'] }): Record<string, FsNode> {
  // The root of pipes has none at all.
  if (!node.contents || ArrayBuffer.isView(node.contents)) return {};
  return node.contents;
}

/** MEMFS keeps what Python wrote as an `Int8Array`. */
export function bytesOf(node: FsNode): Uint8Array {
  if (!ArrayBuffer.isView(node.contents)) return new Uint8Array();
  return new Uint8Array(node.contents.buffer, node.contents.byteOffset, node.usedBytes);
}
