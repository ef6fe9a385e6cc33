/** Files of one Emscripten file system read as an image's, and put under a fresh one. */
import { parentPort, workerData } from 'node:worker_threads';
import { InstallError } from '../../src/errors/errors.ts';
import type { ImageTree } from '../../src/image/header.ts';
import { disguiseRealm } from '../../src/kernel/environment.ts';
import { LayeredFiles } from '../../src/kernel/filesystem.ts';
import {
  createModule,
  type FileSystem,
  type FsStream,
  type PyodideGlue,
  type PyodideModule,
} from '../../src/kernel/pyodide-internals.ts';
import { placeTree, readTree, reopenDescriptors } from '../../src/kernel/tree.ts';
import type { Surroundings } from './inside.ts';

interface WholeFs extends FileSystem {
  mkdir(path: string): void;
  symlink(target: string, path: string): void;
  readlink(path: string): string;
  chmod(path: string, mode: number): void;
  truncate(path: string, size: number): void;
  rename(from: string, to: string): void;
  readFile(path: string): Uint8Array;
  readdir(path: string): string[];
  write(stream: FsStream, bytes: Uint8Array, offset: number, length: number, position?: number): number;
  read(stream: FsStream, bytes: Uint8Array, offset: number, length: number): number;
  llseek(stream: FsStream, offset: number, whence: number): number;
  open(path: string, flags: number | string): FsStream;
}

export interface TreeReport {
  tree: ImageTree;
  /** Of the second file system. */
  again: ImageTree;
  texts: Record<string, string>;
  link: string;
  listed: string[];
  /** Paths of files that aren't views of the image's bytes. */
  copied: string[];
  /** What the open descriptors read and write on. */
  descriptors: Record<string, unknown>;
  /** Why a file system can't be kept, by what is in it. */
  refused: Record<string, string>;
  /** Null when the image's bytes and files were the same after each change and its rewind. */
  changed: string | null;
  changes: number;
}

const data = workerData as Surroundings;
const port = parentPort;
const glue = (await import(data.glueUrl)) as PyodideGlue;
disguiseRealm();
const encoder = new TextEncoder();
const bytesOf = (text: string): Uint8Array => encoder.encode(text);
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes.slice());
const none: ReadonlySet<number> = new Set([0, 1, 2]);

async function start(prepare: (fs: WholeFs) => void): Promise<{ module: PyodideModule; fs: WholeFs }> {
  const { module } = await createModule({
    glue,
    wasm: data.wasm,
    stdlib: data.stdlib,
    env: {},
    runMain: false,
    prepareFiles: ({ FS }) => prepare(FS as WholeFs),
    wrapImports() {},
    print() {},
  });
  return { module, fs: module.FS as WholeFs };
}

// ---- written ---------------------------------------------------------------------------------------------------------

const first = await start((fs) => {
  // Not in the order of their names.
  for (const folder of ['/made/z/deep', '/made/a', '/made/constructor', '/made/empty']) fs.mkdirTree(folder);
  fs.writeFile('/made/z/deep/two', bytesOf('second'));
  fs.writeFile('/made/a/one', bytesOf('first file'));
  fs.writeFile('/made/a/none', new Uint8Array());
  fs.writeFile('/made/a/toString', bytesOf('a name of the prototype'));
  fs.writeFile('/made/constructor/x', bytesOf('x'));
  fs.writeFile('/made/é💥', bytesOf('odd'));
  fs.chmod('/made/a/one', 0o751);
  fs.chmod('/made/a/none', 0o400);
  fs.symlink('../a', '/made/z/link');
  fs.symlink('nowhere', '/made/dangling');
});
{
  const { fs } = first;
  fs.llseek(fs.open('/made/a/one', 'r'), 6, 0);
  // Removed again: numbers with a gap.
  const gap = fs.open('/made/a/none', 'r');
  const log = fs.open('/made/log', 'w');
  fs.write(log, bytesOf('begun'), 0, 5);
  fs.write(fs.open('/made/z/deep/two', 'a+'), bytesOf(' more'), 0, 5);
  fs.close(gap);
}
const { tree, contents } = readTree(first.fs, none);
const total = contents.reduce((sum, bytes) => sum + bytes.length, 0);
const files = new Uint8Array(new SharedArrayBuffer(total));
contents.reduce((offset, bytes) => {
  files.set(bytes, offset);
  return offset + bytes.length;
}, 0);
const pristine = files.slice();

// ---- and placed ------------------------------------------------------------------------------------------------------

const { module, fs } = await start((fresh) => placeTree(fresh, tree, files));
reopenDescriptors(fs, tree);
const again = readTree(fs, none).tree;
const copied = tree.files.flatMap(([path]) => {
  const held = fs.lookupPath(path).node.contents;
  return ArrayBuffer.isView(held) && held.buffer === files.buffer ? [] : [path];
});
const texts = Object.fromEntries(
  tree.files.filter(([path]) => path.startsWith('/made')).map(([path]) => [path, textOf(fs.readFile(path))]),
);
const layers = new LayeredFiles(module);
layers.seal();

function streamAt(path: string): FsStream {
  const fd = tree.descriptors.find(([, at]) => at === path)?.[0] ?? -1;
  const stream = fs.streams[fd];
  if (!stream) throw new Error(`nothing at ${fd}`);
  return stream;
}

function read(path: string): string {
  const bytes = new Uint8Array(100);
  return textOf(bytes.subarray(0, fs.read(streamAt(path), bytes, 0, 100)));
}

/** `readFile` is for libraries only. */
function wholeOf(path: string): string {
  const stream = fs.open(path, 'r');
  const bytes = new Uint8Array(100);
  const length = fs.read(stream, bytes, 0, 100);
  fs.close(stream);
  return textOf(bytes.subarray(0, length));
}

function attempt(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    return error instanceof fs.ErrnoError ? 'refused' : String(error);
  }
}

const link = fs.readlink('/made/z/link');
const listed = fs.readdir('/made').sort();
const descriptors = {
  one: read('/made/a/one'),
  oneWritten: attempt(() => fs.write(streamAt('/made/a/one'), bytesOf('x'), 0, 1)),
  log: attempt(() => {
    fs.write(streamAt('/made/log'), bytesOf(' and on'), 0, 7);
    return wholeOf('/made/log');
  }),
  two: attempt(() => {
    fs.write(streamAt('/made/z/deep/two'), bytesOf('!'), 0, 1);
    return wholeOf('/made/z/deep/two');
  }),
};
layers.rewind();
const afterRewind = { oneAgain: read('/made/a/one'), logAgain: textOf(fs.readFile('/made/log')) };
layers.rewind();

const changes: (() => void)[] = [
  () => fs.writeFile('/made/a/one', bytesOf('other')),
  () => void fs.write(fs.open('/made/a/one', 'r+'), bytesOf('FIRST'), 0, 5),
  () => void fs.write(fs.open('/made/a/one', 'a'), bytesOf('more'), 0, 4),
  () => fs.truncate('/made/a/one', 2),
  () => fs.truncate('/made/a/one', 20),
  () => fs.unlink('/made/constructor/x'),
  () => fs.rename('/made/constructor/x', '/made/a/none'),
  () => fs.rename('/made/constructor', '/made/b'),
  () => {
    // An image can't hold a removed file that is open, but a rewind brings it back.
    fs.close(streamAt('/made/a/one'));
    fs.unlink('/made/a/one');
    fs.unlink('/made/a/none');
    fs.unlink('/made/a/toString');
  },
  () => fs.chmod('/made/a/one', 0o777),
  () => {
    fs.unlink('/made/z/link');
    fs.mkdir('/made/z/link');
  },
  () => fs.close(streamAt('/made/a/one')),
  () => void fs.write(streamAt('/made/log'), bytesOf('x'), 0, 1),
];

function checkChanges(): string | null {
  const before = JSON.stringify(readTree(fs, none).tree);
  for (const change of changes) {
    change();
    const during = readTree(fs, none);
    const bytes = during.contents.flatMap((one) => [...one]);
    if (JSON.stringify(during.tree) === before && String(bytes) === String([...pristine]))
      return `${change}: nothing was changed`;
    if (files.some((byte, at) => byte !== pristine[at]))
      return `${change}: the image's bytes were written to`;
    layers.rewind();
    const after = readTree(fs, none);
    if (JSON.stringify(after.tree) !== before) return `${change}: ${JSON.stringify(after.tree)}`;
    if (after.contents.some(({ buffer }) => buffer !== files.buffer)) return `${change}: a copy stayed`;
    if (String(after.contents.flatMap((one) => [...one])) !== String([...pristine]))
      return `${change}: other contents`;
  }
  return null;
}
const changed = checkChanges();

// ---- refused ---------------------------------------------------------------------------------------------------------

const refused: Record<string, string> = {};
function refusal(name: string, act: () => void): void {
  act();
  try {
    readTree(fs, none);
    refused[name] = 'taken';
  } catch (error) {
    refused[name] =
      error instanceof InstallError && error.reason === 'not_freezable'
        ? error.message
        : `another error: ${error}`;
  }
  layers.rewind();
}
refusal('removed', () => {
  fs.open('/made/a/none', 'r');
  fs.unlink('/made/a/none');
});
refusal('replaced', () => {
  fs.open('/made/a/none', 'r');
  fs.rename('/made/log', '/made/a/none');
});
refusal('folder', () => void fs.open('/made/a', 'r'));
refusal('device', () => void fs.mkdev('/made/device', 0o600, fs.makedev(1, 3)));
refusal('open device', () => void fs.open('/dev/null', 'r'));
refusal('nothing', () => {});

port?.postMessage({
  tree,
  again,
  texts,
  link,
  listed,
  copied,
  descriptors: { ...descriptors, ...afterRewind },
  refused,
  changed,
  changes: changes.length,
} satisfies TreeReport);
