import { type DecodedImage, encodeImage, type Fingerprint, ImageError, placePages } from '../image/format.ts';
import { LibraryTracker } from './libraries.ts';
import { clearDeadStack, heapTop, type MemoryLimit } from './memory.ts';
import {
  adoptHeap,
  createModule,
  finishBoot,
  type HiwireState,
  type PyodideApi,
  type PyodideGlue,
  type PyodideModule,
  serializeHiwire,
  sitePackages,
} from './pyodide-internals.ts';
import { pythonFiles } from './python-files.ts';

/** The bytes a kernel boots from, wherever the engine got them. */
export interface KernelAssets {
  glue: PyodideGlue;
  wasm: WebAssembly.Module;
  stdlib: Uint8Array;
  /** To restore from, its checksum verified, or null to boot plainly. */
  image: DecodedImage | null;
  packages: PackageFiles;
}

/** Installed packages: the same when an image is built and when it is restored. */
export interface PackageFiles {
  /** By path under `site-packages`. */
  files: ReadonlyMap<string, Uint8Array>;
  /** Modules that are imported before an image is taken. */
  imports: readonly string[];
}

export interface Interpreter {
  module: PyodideModule;
  api: PyodideApi;
  libraries: LibraryTracker;
  /** Address of the harness's `execute`. */
  executeAddress: number;
  python: string;
}

/** Environment of the interpreter itself; a run's comes on top. No clock and no host names may get in. */
const bootEnv = { HOME: '/home/pyodide', PYTHONINSPECT: '1', LANG: 'en_US.UTF-8', TZ: 'UTC' };

export type BootProgress = (stage: string, done: number, total: number, message: string) => void;

/** Starts an interpreter: from the image when there is one, else from nothing. Throws `ImageError` when the image doesn't fit. */
export async function bootInterpreter(
  assets: KernelAssets,
  limit: MemoryLimit,
  prepareDevices: (module: PyodideModule) => void,
  progress: BootProgress,
): Promise<Interpreter> {
  const { image, packages } = assets;
  const libraries = new LibraryTracker();
  if (image === null) progress('stdlib', 0, 1, 'starting Python');
  else progress('image', 0, image.header.heapBytes, 'restoring the image');
  const { module, api } = await createModule({
    glue: assets.glue,
    wasm: assets.wasm,
    stdlib: assets.stdlib,
    env: { ...bootEnv },
    runMain: image === null,
    prepareFiles: (module) => writePackages(module, packages.files),
    wrapImports(imports) {
      limit.wrapImports(imports);
      libraries.watch(imports);
    },
    print: () => {},
  });
  limit.install(module.memory);
  libraries.started(module);
  if (image !== null) {
    await restore(image, packages, { module, api, libraries, limit });
    prepareDevices(module);
    progress('image', image.header.heapBytes, image.header.heapBytes, 'image restored');
    const { executeAddress, python } = image.header;
    return { module, api, libraries, executeAddress, python };
  }
  finishBoot(api);
  prepareDevices(module);
  for (const name of packages.imports) importModule(module, name);
  const executeAddress = importExecute(module);
  progress('stdlib', 1, 1, 'Python started');
  return { module, api, libraries, executeAddress, python: api.pyVersionTuple.join('.') };
}

interface Unstarted {
  module: PyodideModule;
  api: PyodideApi;
  libraries: LibraryTracker;
  limit: MemoryLimit;
}

async function restore(image: DecodedImage, packages: PackageFiles, into: Unstarted): Promise<void> {
  const { header } = image;
  const { module, api, libraries, limit } = into;
  if (header.linked.tableLength < module.wasmTable.length)
    throw new ImageError('image has another table layout');
  const compiled = await Promise.all(
    header.linked.libraries.map(({ path }) => {
      const bytes = packages.files.get(path.slice(sitePackages.length + 1));
      if (bytes === undefined) throw new ImageError(`image needs the dynamic library ${path}`);
      return WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
    }),
  );
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
  adoptHeap(module, api, header.hiwire as HiwireState);
}

/** Freezes a booted interpreter that has run no guest code. */
export function freezeInterpreter(
  { module, api, libraries, executeAddress, python }: Interpreter,
  fingerprint: Fingerprint,
): Promise<Uint8Array<ArrayBuffer>> {
  clearDeadStack(module.HEAPU8, module._emscripten_stack_get_end(), module.stackSave());
  const header = {
    fingerprint,
    python,
    heapBytes: module.HEAPU8.length,
    heapTop: heapTop(module),
    stackPointer: module.stackSave(),
    executeAddress,
    hiwire: serializeHiwire(module, api),
    linked: libraries.record(module),
  };
  return encodeImage(header, module.HEAPU8);
}

function writePackages(module: PyodideModule, files: ReadonlyMap<string, Uint8Array>): void {
  const encoder = new TextEncoder();
  const write = (path: string, bytes: Uint8Array): void => {
    const full = `${sitePackages}/${path}`;
    module.FS.mkdirTree(full.slice(0, full.lastIndexOf('/')));
    module.FS.writeFile(full, bytes, { canOwn: true });
  };
  for (const [path, text] of Object.entries(pythonFiles)) write(`vivarium/${path}`, encoder.encode(text));
  for (const [path, bytes] of files) write(path, bytes);
}

/** Importing `vivarium._kernel` boots the harness; the reference to its `execute` is kept for good. */
function importExecute(module: PyodideModule): number {
  const kernel = importModule(module, 'vivarium._kernel');
  const execute = withCString(module, 'execute', (name) => module._PyObject_GetAttrString(kernel, name));
  if (execute === 0) throw new Error('the Python harness has no execute');
  return execute;
}

function importModule(module: PyodideModule, name: string): number {
  const imported = withCString(module, name, (text) => module._PyImport_ImportModule(text));
  if (imported !== 0) return imported;
  module._PyErr_Print();
  throw new Error(`the module ${name} could not be imported`);
}

function withCString<T>(module: PyodideModule, text: string, use: (pointer: number) => T): T {
  const pointer = module.stringToNewUTF8(text);
  try {
    return use(pointer);
  } finally {
    module._free(pointer);
  }
}
