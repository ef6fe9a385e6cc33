import { type DecodedImage, encodeImage, type Fingerprint, ImageError, placePages } from '../image/format.ts';
import { clearDeadStack, heapTop, type MemoryLimit } from './memory.ts';
import {
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
}

export interface Interpreter {
  module: PyodideModule;
  api: PyodideApi;
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
  const { image } = assets;
  if (image === null) progress('stdlib', 0, 1, 'starting Python');
  else progress('image', 0, image.header.heapBytes, 'restoring the image');
  const { module, api } = await createModule({
    glue: assets.glue,
    wasm: assets.wasm,
    stdlib: assets.stdlib,
    env: { ...bootEnv },
    runMain: image === null,
    prepareFiles: writeHarness,
    wrapImports: (imports) => limit.wrapImports(imports),
    print: () => {},
  });
  limit.install(module.memory);
  if (image !== null) return restore(image, module, api, limit, prepareDevices, progress);
  finishBoot(api, null);
  prepareDevices(module);
  const executeAddress = importExecute(module);
  progress('stdlib', 1, 1, 'Python started');
  return { module, api, executeAddress, python: api.pyVersionTuple.join('.') };
}

async function restore(
  image: DecodedImage,
  module: PyodideModule,
  api: PyodideApi,
  limit: MemoryLimit,
  prepareDevices: (module: PyodideModule) => void,
  progress: BootProgress,
): Promise<Interpreter> {
  const { header } = image;
  if (header.libraries.length > 0)
    throw new ImageError('image has dynamic libraries, which this build cannot load');
  if (header.tableLength !== module.wasmTable.length) throw new ImageError('image has another table layout');
  const top = heapTop(module);
  limit.growTo(module.memory, header.heapBytes);
  const start = module._emscripten_stack_get_end();
  const end = Math.min(module.stackSave(), header.stackPointer);
  clearDeadStack(module.HEAPU8, start, end);
  placePages(image, module.HEAPU8, { start, end, top });
  module.stackRestore(header.stackPointer);
  finishBoot(api, header.hiwire as HiwireState);
  prepareDevices(module);
  progress('image', header.heapBytes, header.heapBytes, 'image restored');
  return { module, api, executeAddress: header.executeAddress, python: header.python };
}

/** Freezes a booted interpreter that has run no guest code. */
export function freezeInterpreter(
  { module, api, executeAddress, python }: Interpreter,
  fingerprint: Fingerprint,
): Promise<Uint8Array<ArrayBuffer>> {
  clearDeadStack(module.HEAPU8, module._emscripten_stack_get_end(), module.stackSave());
  const header = {
    fingerprint,
    python,
    heapBytes: module.HEAPU8.length,
    heapTop: heapTop(module),
    stackPointer: module.stackSave(),
    tableLength: module.wasmTable.length,
    executeAddress,
    hiwire: serializeHiwire(module, api),
    libraries: [],
  };
  return encodeImage(header, module.HEAPU8);
}

function writeHarness(module: PyodideModule): void {
  const encoder = new TextEncoder();
  for (const [path, text] of Object.entries(pythonFiles)) {
    const full = `${sitePackages}/vivarium/${path}`;
    module.FS.mkdirTree(full.slice(0, full.lastIndexOf('/')));
    module.FS.writeFile(full, encoder.encode(text), { canOwn: true });
  }
}

/** Importing `vivarium._kernel` boots the harness; the reference to its `execute` is kept for good. */
function importExecute(module: PyodideModule): number {
  const kernel = withCString(module, 'vivarium._kernel', (name) => module._PyImport_ImportModule(name));
  if (kernel === 0) {
    module._PyErr_Print();
    throw new Error('the Python harness could not be imported');
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
