import { InstallError, type InstallReason } from '../errors/errors.ts';
import { type DecodedImage, encodeImage, libraryBytes, placePages } from '../image/format.ts';
import { type Fingerprint, type ImageContents, ImageError } from '../image/header.ts';
import type { BuildPackages } from '../protocol/messages.ts';
import { wasmPageBytes } from '../util/wasm.ts';
import { Bridge } from './bridge.ts';
import { ownDescriptors } from './devices.ts';
import { freezeRealm } from './frozen-realm.ts';
import { LibraryTracker } from './libraries.ts';
import { clearDeadStack, heapTop, type MemoryLimit, scrubFreeMemory } from './memory.ts';
import {
  createModule,
  type FileSystem,
  fillReferences,
  finishBoot,
  type HiwireState,
  type PyodideApi,
  type PyodideGlue,
  type PyodideModule,
  serializeHiwire,
  sitePackages,
  startJavaScript,
} from './pyodide-internals.ts';
import { pythonFiles } from './python-files.ts';
import { placeTree, readTree, reopenDescriptors } from './tree.ts';
import { WaysOut } from './ways-out.ts';

/** The bytes a kernel boots from, wherever the engine got them. */
export interface KernelAssets {
  glue: PyodideGlue;
  wasm: WebAssembly.Module;
  stdlib: Uint8Array;
  /** To restore from, or null to boot plainly. */
  image: DecodedImage | null;
  /** Rejects when the image's checksums are wrong. Another thread makes them while this one restores; nothing runs before. */
  verified?: Promise<void>;
  /** The image's dynamic libraries, where the engine has them compiled already. */
  libraries?: readonly WebAssembly.Module[];
  /** For a plain boot; an image holds its own. */
  packages: InstalledPackages;
}

/** Packages unpacked, and what is done with them before an image is taken. */
export interface InstalledPackages extends Pick<BuildPackages, 'imports' | 'warm'> {
  /** File names of the wheels. */
  wheels: string[];
  /** By path under `site-packages`. */
  files: ReadonlyMap<string, Uint8Array>;
}

export const noPackages: InstalledPackages = { wheels: [], files: new Map(), imports: [], warm: [] };

export interface Interpreter {
  module: PyodideModule;
  api: PyodideApi;
  libraries: LibraryTracker;
  /** Address of the harness's `execute`. */
  executeAddress: number;
  python: string;
  contents: ImageContents;
}

/** Environment of the interpreter itself; a run's comes on top. No clock and no host names may get in. */
const bootEnv = {
  HOME: '/home/pyodide',
  PYTHONINSPECT: '1',
  LANG: 'en_US.UTF-8',
  TZ: 'UTC',
  // Two builds of one lock are to agree, also in the order of sets.
  PYTHONHASHSEED: '0',
  MPLBACKEND: 'agg',
  // Its font cache belongs to the image, not to the folder that runs work in.
  MPLCONFIGDIR: '/var/matplotlib',
};

export type BootProgress = (stage: string, done: number, total: number, message: string) => void;

/** How the kernel and a harness that boots talk. */
export interface Introduction {
  prepareDevices(module: PyodideModule): void;
  /** Hands the harness its first request. */
  plan(plan: Pick<BuildPackages, 'imports' | 'warm'>): void;
  /** The end of what it has printed so far. */
  said(): string;
  /** What it answered: why the packages can't be used, or null. */
  failure(): { reason: InstallReason; package: string; message: string } | null;
}

/**
 * Starts an interpreter: from the image when there is one, else from nothing. Throws `ImageError` when the image doesn't
 * fit, `InstallError` when a package can't be imported or frozen.
 */
export async function bootInterpreter(
  assets: KernelAssets,
  limit: MemoryLimit,
  introduction: Introduction,
  progress: BootProgress,
): Promise<Interpreter> {
  try {
    return await bootFrom(assets, limit, introduction, progress);
  } catch (error) {
    // Damage shows anywhere: its own error says most.
    await assets.verified;
    throw error;
  }
}

async function bootFrom(
  assets: KernelAssets,
  limit: MemoryLimit,
  introduction: Introduction,
  progress: BootProgress,
): Promise<Interpreter> {
  const { image, packages, verified } = assets;
  const libraries = new LibraryTracker();
  const bridge = new Bridge();
  const waysOut = new WaysOut();
  if (image === null) progress('stdlib', 0, 1, 'starting Python');
  else progress('image', 0, image.header.heapBytes, 'restoring the image');
  // Compiled by other threads while this one starts the main module.
  const compiling = image === null ? undefined : compileLibraries(image, assets.libraries);
  // Awaited further down, if it comes to that.
  compiling?.catch(() => {});
  const { module, api } = await createModule({
    glue: assets.glue,
    wasm: assets.wasm,
    stdlib: assets.stdlib,
    env: { ...bootEnv },
    runMain: image === null,
    prepareFiles: ({ FS }) => {
      if (image === null) writeFiles(FS, packages.files);
      else placeTree(FS, image.header.tree, image.files);
    },
    wrapImports(imports) {
      limit.wrapImports(imports);
      waysOut.wrapImports(imports, assets.wasm);
      bridge.wrapImports(imports);
      libraries.watch(imports);
    },
    print: () => {},
  });
  limit.install(module.memory);
  libraries.started(module);
  waysOut.started(module);
  if (image !== null && compiling !== undefined) {
    // Before code of packages: a library may have some that runs when it's instantiated.
    const compiled = await compiling;
    startJavaScript(module);
    bridge.close(module);
    freezeRealm();
    restore(image, compiled, { module, api, libraries, limit });
    introduction.prepareDevices(module);
    reopenDescriptors(module.FS, image.header.tree);
    await verified;
    progress('image', image.header.heapBytes, image.header.heapBytes, 'image restored');
    const { executeAddress, python, contents } = image.header;
    return { module, api, libraries, executeAddress, python, contents };
  }
  finishBoot(api);
  // Of those whose packages are imported next, too: what they leave in the heap comes back in every run.
  bridge.close(module);
  freezeRealm();
  introduction.prepareDevices(module);
  introduction.plan(packages);
  const executeAddress = importExecute(module, introduction);
  const failure = introduction.failure();
  if (failure !== null) throw new InstallError(failure.message, { ...failure, suggestion: '' });
  limit.set(module.HEAPU8.length);
  scrubFreeMemory(module);
  progress('stdlib', 1, 1, 'Python started');
  const contents: ImageContents = {
    wheels: packages.wheels,
    imports: packages.imports,
    warm: packages.warm.map(({ filename }) => filename),
  };
  return { module, api, libraries, executeAddress, python: api.pyVersionTuple.join('.'), contents };
}

interface Unstarted {
  module: PyodideModule;
  api: PyodideApi;
  libraries: LibraryTracker;
  limit: MemoryLimit;
}

/** The libraries' bytes lie among the image's files. */
async function compileLibraries(
  image: DecodedImage,
  compiled: readonly WebAssembly.Module[] | undefined,
): Promise<readonly WebAssembly.Module[]> {
  if (compiled !== undefined) return compiled;
  return Promise.all(libraryBytes(image).map((one) => WebAssembly.compile(one as Uint8Array<ArrayBuffer>)));
}

function restore(image: DecodedImage, compiled: readonly WebAssembly.Module[], into: Unstarted): void {
  const { header } = image;
  const { module, api, libraries, limit } = into;
  if (header.linked.tableLength < module.wasmTable.length)
    throw new ImageError('image has another table layout');
  const top = heapTop(module);
  limit.growTo(module.memory, header.heapBytes);
  libraries.replay(module, header.linked, compiled);
  const start = module._emscripten_stack_get_end();
  const end = Math.min(module.stackSave(), header.stackPointer);
  clearDeadStack(module.HEAPU8, start, end);
  // The libraries' data segments lie above what the main module has taken.
  const known = header.linked.libraries.length > 0 ? module.HEAPU8.length : top;
  placePages(image, module.HEAPU8, { start, end, top: known });
  module.stackRestore(header.stackPointer);
  fillReferences(module, api, header.hiwire as HiwireState);
}

/** Freezes a booted interpreter that has run no guest code: the image file in pieces. Throws `InstallError`. */
export function freezeInterpreter(
  { module, api, libraries, executeAddress, python, contents }: Interpreter,
  fingerprint: Fingerprint,
): Promise<Uint8Array<ArrayBuffer>[]> {
  clearDeadStack(module.HEAPU8, module._emscripten_stack_get_end(), module.stackSave());
  const { tree, contents: files } = readTree(module.FS, ownDescriptors);
  // All above the allocator's end is zero, and would have to be made so again by every rewind.
  const heapBytes = Math.ceil(heapTop(module) / wasmPageBytes) * wasmPageBytes;
  const header = {
    fingerprint,
    contents,
    python,
    heapBytes,
    heapTop: heapTop(module),
    stackPointer: module.stackSave(),
    executeAddress,
    hiwire: serializeHiwire(module, api),
    linked: libraries.record(module),
    tree,
  };
  return encodeImage(header, module.HEAPU8.subarray(0, heapBytes), files);
}

/** Files under `site-packages`: the harness, and packages. */
function writeFiles(fs: FileSystem, packages: ReadonlyMap<string, Uint8Array>): void {
  const encoder = new TextEncoder();
  const harness = Object.entries(pythonFiles).map(
    ([path, text]) => [`vivarium/${path}`, encoder.encode(text)] as const,
  );
  // A package that brings files of ours must not replace them.
  for (const [path, bytes] of [...packages, ...harness]) writeFile(fs, path, bytes);
}

/** Puts a file under `site-packages`; its bytes must not change any more. */
export function writeFile(fs: FileSystem, path: string, bytes: Uint8Array): void {
  const full = `${sitePackages}/${path}`;
  fs.mkdirTree(full.slice(0, full.lastIndexOf('/')));
  fs.writeFile(full, bytes, { canOwn: true });
}

/** Importing `vivarium._kernel` boots the harness; the reference to its `execute` is kept for good. */
function importExecute(module: PyodideModule, { said }: Introduction): number {
  const kernel = withCString(module, 'vivarium._kernel', (name) => module._PyImport_ImportModule(name));
  if (kernel === 0) {
    module._PyErr_Print();
    throw new Error(`the Python harness could not be imported: ${said()}`);
  }
  const execute = withCString(module, 'execute', (name) => module._PyObject_GetAttrString(kernel, name));
  if (execute === 0) throw new Error('the Python harness has no execute');
  return execute;
}

function withCString<T>(module: PyodideModule, text: string, use: (pointer: number) => T): T {
  const pointer = module.stringToNewUTF8(text);
  try {
    return use(pointer);
  } finally {
    module._free(pointer);
  }
}
