/** The two layers of files, over Emscripten's real file system: random operations, a rewind, and nothing has changed. */
import { parentPort, workerData } from 'node:worker_threads';
import fc from 'fast-check';
import { disguiseRealm } from '../../src/kernel/environment.ts';
import { LayeredFiles } from '../../src/kernel/filesystem.ts';
import {
  createModule,
  type FileSystem,
  type FsNode,
  type FsStream,
  type PyodideGlue,
} from '../../src/kernel/pyodide-internals.ts';
import type { Surroundings } from './inside.ts';

/** What programs do through Emscripten's system calls, and the kernel itself doesn't. */
interface WholeFs extends FileSystem {
  mkdir(path: string): void;
  rmdir(path: string): void;
  rename(from: string, to: string): void;
  symlink(target: string, path: string): void;
  chmod(path: string, mode: number): void;
  utime(path: string, atime: number, mtime: number): void;
  truncate(path: string, size: number): void;
  ftruncate(fd: number, size: number): void;
  write(stream: FsStream, bytes: Uint8Array, offset: number, length: number, position?: number): number;
  read(stream: FsStream, bytes: Uint8Array, offset: number, length: number): number;
  llseek(stream: FsStream, offset: number, whence: number): number;
  dupStream(stream: FsStream, fd?: number): FsStream;
  open(path: string, flags: number | string): FsStream;
}

export interface FilesReport {
  sequences: number;
  /** How many of the operations did something. */
  applied: number;
  /** Null for each property that holds. */
  rewind: string | null;
  quota: Record<string, unknown>;
}

const data = workerData as Surroundings;
const port = parentPort;
const glue = (await import(data.glueUrl)) as PyodideGlue;
disguiseRealm();
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

const { module } = await createModule({
  glue,
  wasm: data.wasm,
  stdlib: data.stdlib,
  env: {},
  runMain: false,
  prepareFiles({ FS }) {
    const whole = FS as WholeFs;
    for (const folder of ['/data/a/deep', '/data/b', '/data/empty', '/data/constructor'])
      FS.mkdirTree(folder);
    FS.writeFile('/data/a/one', text('first'));
    FS.writeFile('/data/a/deep/two', text('second'.repeat(50)));
    FS.writeFile('/data/b/none', text(''));
    FS.writeFile('/data/constructor/x', text('x'));
    whole.symlink('/data/a', '/data/link');
    whole.symlink('void', '/data/dangling');
    whole.symlink('loop', '/data/loop');
  },
  wrapImports() {},
  print() {},
});
const fs = module.FS as WholeFs;
fs.llseek(fs.open('/data/a/deep/two', 'r+'), 3, 0);
const files = new LayeredFiles(module);
files.seal();
const firstNew = fs.nextInode;

function isFolder(node: FsNode): boolean {
  return fs.isDir(node.mode) && node.contents !== null && node.contents !== undefined;
}

function walk(visit: (path: string, node: FsNode) => void): void {
  const stack: [string, FsNode][] = [['', fs.root]];
  for (let entry = stack.pop(); entry !== undefined; entry = stack.pop()) {
    const [path, node] = entry;
    visit(path, node);
    if (!isFolder(node)) continue;
    for (const [name, child] of Object.entries(node.contents as Record<string, FsNode>)) {
      stack.push([`${path}/${name}`, child]);
    }
  }
}

/** Everything there is to see, with contents by identity and, when small, by their bytes. */
function dump(): { seen: string[]; contents: unknown[] } {
  const seen: string[] = [];
  const contents: unknown[] = [];
  walk((path, node) => {
    const { id, name, mode, rdev, atime, mtime, ctime, parent, usedBytes, link } = node;
    const bytes =
      ArrayBuffer.isView(node.contents) && usedBytes < 10_000 ? [...node.contents].slice(0, usedBytes) : [];
    const found = fs.isDir(mode) || node === fs.root || fs.lookupNode(parent, name) === node;
    seen.push(
      JSON.stringify([
        path,
        id,
        name,
        mode,
        rdev,
        atime,
        mtime,
        ctime,
        parent.id,
        usedBytes,
        link,
        bytes,
        found,
      ]),
    );
    contents.push(node.contents);
  });
  fs.nameTable.forEach((head, bucket) => {
    const ids: number[] = [];
    for (let node = head; node; node = node.name_next) ids.push(node.id);
    if (ids.length > 0) seen.push(`bucket ${bucket}: ${ids.sort((a, b) => a - b)}`);
  });
  for (const [fd, stream] of fs.streams.entries()) {
    if (stream)
      seen.push(
        `fd ${fd}: ${[stream.fd, stream.node.id, stream.path, stream.shared.position, stream.shared.flags]}`,
      );
  }
  seen.push(`cwd ${fs.currentPath}`, `next ${fs.nextInode}`, `streams ${fs.streams.filter(Boolean).length}`);
  return { seen, contents };
}

// ---- operations ----------------------------------------------------------------------------------------------------

const names = [
  'a',
  'b',
  'one',
  'two',
  'deep',
  'new',
  '__proto__',
  'constructor',
  'toString',
  'é',
  'link',
  'loop',
];
const name = fc.constantFrom(...names);
const folder = fc.constantFrom(
  '/data',
  '/data/a',
  '/data/a/deep',
  '/data/b',
  '/data/empty',
  '/data/new',
  '/data/new/new',
  '/data/link',
  '/tmp',
  '/data/__proto__',
  '/data/constructor',
  '.',
  '..',
  '/home/pyodide',
  '/dev',
);
const path = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(folder, name).map(([a, b]) => `${a}/${b}`) },
  fc.constantFrom(
    '/data',
    '/data/a',
    '/tmp',
    '/dev/null',
    '/dev/urandom',
    '/dev/tty',
    '/lib/python314.zip',
    '/home',
    '/',
    '/data/dangling',
    '/proc/self/fd/3',
  ),
);
const small = fc.nat(300);
const pick = fc.nat(5);

type Operation = () => void;
const op = <T extends unknown[]>(
  act: (...args: T) => void,
  ...args: { [K in keyof T]: fc.Arbitrary<T[K]> }
): fc.Arbitrary<Operation> => fc.tuple(...args).map((values) => () => act(...(values as unknown as T)));

function opened(index: number): FsStream | undefined {
  const streams = fs.streams.filter((stream) => stream && (stream.fd ?? 0) > 2);
  return streams[index % Math.max(1, streams.length)] ?? undefined;
}
const onStream = (act: (stream: FsStream) => void, index: number): void => {
  const stream = opened(index);
  if (stream) act(stream);
};

const operation: fc.Arbitrary<Operation> = fc.oneof(
  op((p, n) => fs.writeFile(p, new Uint8Array(n).fill(n)), path, small),
  op((p, n) => fs.writeFile(p, new Uint8Array(n).fill(n), { canOwn: true }), path, small),
  op((p) => void fs.mkdir(p), path),
  op((a, b) => fs.rename(a, b), path, path),
  op((a, b) => fs.rename(a, b), path, path),
  op((p) => fs.unlink(p), path),
  op((p) => fs.rmdir(p), path),
  op((t, p) => fs.symlink(t, p), path, path),
  op((p, mode) => fs.chmod(p, mode), path, fc.nat(511)),
  op((p, n) => fs.utime(p, n, n + 1), path, small),
  op((p, n) => fs.truncate(p, n), path, fc.oneof(small, fc.constant(1e12))),
  op((p, mode) => void fs.open(p, mode), path, fc.constantFrom('r', 'r+', 'w', 'w+', 'a', 'a+')),
  op((i) => onStream((stream) => fs.close(stream), i), pick),
  op((i, n) => onStream((stream) => void fs.write(stream, new Uint8Array(n).fill(1), 0, n), i), pick, small),
  op(
    (i, n, at) => onStream((stream) => void fs.write(stream, new Uint8Array(n).fill(2), 0, n, at), i),
    pick,
    small,
    small,
  ),
  op((i, n) => onStream((stream) => void fs.read(stream, new Uint8Array(n), 0, n), i), pick, small),
  op(
    (i, n, whence) => onStream((stream) => void fs.llseek(stream, n, whence), i),
    pick,
    fc.oneof(small, fc.constant(1e12)),
    fc.nat(2),
  ),
  op((i, n) => onStream((stream) => fs.ftruncate(stream.fd ?? -1, n), i), pick, small),
  op(
    (i, fd) => onStream((stream) => void fs.dupStream(stream, fd), i),
    pick,
    fc.constantFrom(-1, -1, 1, 7, 3000),
  ),
  op((p) => fs.chdir(p), path),
  op((p) => void fs.mkdev(p, 0o600, fs.makedev(1, 3)), path),
);

const home = '/home/pyodide';
const maxBytes = 3000;
let applied = 0;
let sequences = 0;

function held(): number {
  let bytes = 0;
  walk((_path, { id, mode, usedBytes }) => {
    if (id >= firstNew && fs.isFile(mode)) bytes += usedBytes;
  });
  return bytes;
}

function same(before: ReturnType<typeof dump>, after: ReturnType<typeof dump>): void {
  for (const line of after.seen) if (!before.seen.includes(line)) throw new Error(`new: ${line}`);
  for (const line of before.seen) if (!after.seen.includes(line)) throw new Error(`lost: ${line}`);
  if (after.contents.some((contents, index) => contents !== before.contents[index]))
    throw new Error('other contents');
}

function checkRewind(): string | null {
  const before = dump();
  if (before.seen.some((line) => line.endsWith('false]')))
    return 'a node of the image is not found by its name';
  const result = fc.check(
    fc.property(fc.array(operation, { minLength: 5, maxLength: 50, size: 'max' }), (operations) => {
      sequences += 1;
      files.setQuota({ maxBytes, maxNodes: 30 });
      try {
        for (const act of operations) {
          try {
            act();
            applied += 1;
          } catch (error) {
            if (!(error instanceof fs.ErrnoError)) throw error;
          }
        }
        // Truncated files of the image give room: 5 + 300 + 1 bytes, and the standard library is none of these.
        if (held() > maxBytes + 306 + data.stdlib.length) throw new Error(`${held()} bytes are held`);
        files.changed(home, 1000, 1e6);
        files.changed('/data', 1000, 1e6);
      } finally {
        files.rewind();
      }
      same(before, dump());
    }),
    { numRuns: 1000, endOnFailure: false },
  );
  return result.failed ? String((result.errorInstance as Error | null)?.stack ?? 'interrupted') : null;
}

// ---- quota ---------------------------------------------------------------------------------------------------------

function errno(act: () => void): number | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof fs.ErrnoError) return error.errno;
    throw error;
  }
  return undefined;
}

function checkQuota(): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  const fill = (p: string, size: number): number | undefined =>
    errno(() => fs.writeFile(p, new Uint8Array(size)));
  files.setQuota({ maxBytes: 1000, maxNodes: 5 });
  found.exactly = fill('/tmp/full', 1000);
  found.more = fill('/tmp/more', 1);
  fs.unlink('/tmp/full');
  found.again = fill('/tmp/more', 1000);
  fs.truncate('/tmp/more', 10);
  found.afterTruncate = fill('/tmp/third', 990);
  files.rewind();

  const stream = fs.open('/tmp/sparse', 'w');
  fs.llseek(stream, 1e12, 0);
  found.farWrite = errno(() => void fs.write(stream, text('x'), 0, 1));
  found.farWriteAt = errno(() => void fs.write(stream, text('x'), 0, 1, 1e12));
  found.farTruncate = errno(() => fs.truncate('/tmp/sparse', 1e12));
  found.farFtruncate = errno(() => fs.ftruncate(stream.fd ?? -1, 1e12));
  found.farImage = errno(() => fs.truncate('/data/a/one', 1e12));
  const { node } = fs.lookupPath('/tmp/sparse');
  found.allocated = ArrayBuffer.isView(node.contents) ? node.contents.byteLength : -1;
  files.rewind();

  found.nodes = [1, 2, 3, 4, 5, 6].map((n) => errno(() => void fs.mkdir(`/tmp/${n}`)));
  fs.rmdir('/tmp/3');
  found.freedNode = errno(() => void fs.mkdir('/tmp/7'));
  found.linkNode = errno(() => fs.symlink('x', '/tmp/8'));
  files.rewind();
  found.fresh = fill('/tmp/full', 1000);
  files.rewind();

  // A file of the image that is written to is a copy, however little is written.
  const writeOne = (): number | undefined =>
    errno(() => void fs.write(fs.open('/data/a/deep/two', 'r+'), text('x'), 0, 1));
  files.setQuota({ maxBytes: 299, maxNodes: 5 });
  found.copyTooLarge = writeOne();
  files.setQuota({ maxBytes: 300, maxNodes: 5 });
  found.copy = writeOne();
  found.copyAgain = writeOne();
  found.besideCopy = fill('/tmp/more', 1);
  fs.truncate('/data/a/deep/two', 100);
  found.besideCut = [fill('/tmp/more', 200), fill('/tmp/more', 201)];
  files.rewind();
  files.setQuota({ maxBytes: 100, maxNodes: 5 });
  // Cutting off what was shared gives no room.
  fs.truncate('/data/a/deep/two', 0);
  found.besideNothing = [fill('/tmp/more', 100), fill('/tmp/more', 101)];
  files.rewind();

  files.setQuota({ maxBytes: 100, maxNodes: 2 });
  files.exempt(() => {
    for (const n of [1, 2, 3]) fs.writeFile(`/tmp/given-${n}`, new Uint8Array(1000));
  });
  found.besideGiven = [fill('/tmp/full', 100), fill('/tmp/more', 1), fill('/tmp/third', 0)];
  fs.unlink('/tmp/full');
  fs.unlink('/tmp/given-1');
  // As much as is held altogether.
  found.insteadOfGiven = [fill('/tmp/full', 1100), errno(() => fs.truncate('/tmp/full', 1101))];
  files.rewind();
  found.afterGiven = [fill('/tmp/full', 100), fill('/tmp/more', 1)];
  files.rewind();
  return found;
}

const rewind = checkRewind();
port?.postMessage({ sequences, applied, rewind, quota: checkQuota() } satisfies FilesReport);
