/**
 * The one wall around Pyodide's private parts (pyodide 314.0.7, pinned exactly). Everything the kernel knows about
 * Emscripten's module object and Pyodide's `API` object is declared here, and `any` is allowed here only.
 *
 * Pyodide's own `loadPyodide` is not used: it fetches by itself, picks a platform, and offers no way to restore a heap
 * that holds packages. The steps below are its steps, with the sources of bytes supplied by the caller.
 */

export interface FsNode {
  id: number;
  name: string;
  mode: number;
  rdev: number;
  atime: number;
  mtime: number;
  ctime: number;
  parent: FsNode;
  /** Directory: name → node. File: bytes. */
  contents: Record<string, FsNode> | Uint8Array | Int8Array | null;
  usedBytes: number;
  link?: string;
  pipe?: object;
  sock?: object;
  mount: { mountpoint: string };
  mounted: { root: FsNode } | null;
  node_ops: Record<string, (...args: any[]) => any>;
  stream_ops: StreamOps;
  name_next?: FsNode;
}

export interface StreamOps {
  open?(stream: FsStream): void;
  close?(stream: FsStream): void;
  read?(stream: FsStream, buffer: Uint8Array, offset: number, length: number, position: number): number;
  write?(
    stream: FsStream,
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
    canOwn?: boolean,
  ): number;
  llseek?(stream: FsStream, offset: number, whence: number): number;
  [other: string]: unknown;
}

export interface FsStream {
  fd: number | null;
  node: FsNode;
  path: string;
  shared: { flags: number; position: number };
  stream_ops: StreamOps;
  seekable: boolean;
}

export interface FileSystem {
  root: FsNode;
  nameTable: (FsNode | undefined)[];
  streams: (FsStream | null | undefined)[];
  currentPath: string;
  nextInode: number;
  ErrnoError: new (errno: number) => Error & { errno: number };
  filesystems: { MEMFS: { ops_table: MemfsOps; stream_ops: StreamOps } };
  lookupPath(path: string, options?: { follow?: boolean }): { path: string; node: FsNode };
  mkdirTree(path: string): void;
  mkdev(path: string, mode: number, device: number): FsNode;
  makedev(major: number, minor: number): number;
  registerDevice(device: number, ops: StreamOps): void;
  open(path: string, flags: number): FsStream;
  close(stream: FsStream): void;
  unlink(path: string): void;
  rmdir(path: string): void;
  closeStream(fd: number): void;
  createStream(stream: object, fd: number): FsStream;
  writeFile(path: string, data: Uint8Array, options?: { canOwn?: boolean }): void;
  /** Emscripten reads libraries by it, and nothing else. */
  readFile(path: string, options?: object): Uint8Array;
  chdir(path: string): void;
  isDir(mode: number): boolean;
  isFile(mode: number): boolean;
  isLink(mode: number): boolean;
  createNode(parent: FsNode, name: string, mode: number, rdev: number): FsNode;
  destroyNode(node: FsNode): void;
  lookupNode(parent: FsNode, name: string): FsNode;
  hashAddNode(node: FsNode): void;
  hashRemoveNode(node: FsNode): void;
}

export type NodeOp = (...args: any[]) => any;

export interface MemfsOps {
  dir: { node: Record<'mknod' | 'rename' | 'unlink' | 'rmdir' | 'symlink' | 'setattr', NodeOp> };
  file: { node: Record<'setattr', NodeOp>; stream: StreamOps };
  link: { node: Record<'setattr', NodeOp> };
  chrdev: { node: Record<'setattr', NodeOp>; stream: Record<'open', NodeOp> };
}

export interface LoadedLibrary {
  name: string;
  global: boolean;
  exports: Record<string, unknown> | 'loading' | undefined;
}

/** A function of WebAssembly, or one in JavaScript that stands for one. */
export type WasmFunction = ((...args: unknown[]) => unknown) & { sig?: string; stub?: boolean };

export interface PyodideModule {
  FS: FileSystem;
  ENV: Record<string, string>;
  HEAPU8: Uint8Array;
  HEAPU32: Uint32Array;
  HEAP8: Int8Array;
  memory: WebAssembly.Memory;
  wasmTable: WebAssembly.Table;
  LDSO: {
    loadedLibsByHandle: Record<number, LoadedLibrary>;
    loadedLibsByName: Record<string, LoadedLibrary>;
  };
  /** The global offset table: a WebAssembly global for each symbol that a library refers to by address. */
  GOT: Record<string, { value: number }>;
  GOTHandler: ProxyHandler<Set<string>>;
  freeTableIndexes: number[];
  addFunction(fn: WasmFunction, signature?: string): number;
  updateTableMap(first: number, count: number): void;
  getDylinkMetadata(wasm: WebAssembly.Module): {
    tableSize: number;
    neededDynlibs: string[];
    weakImports: Set<string>;
  };
  relocateExports(exports: WebAssembly.Exports, memoryBase: number): Record<string, unknown>;
  newDSO(path: string, handle: number | null, exports: Record<string, unknown>): LoadedLibrary;
  mergeLibSymbols(exports: Record<string, unknown>, path: string): void;
  /** Read, then zeroed, at the interpreter's safe points when signal handling is on. 2 is SIGINT. */
  Py_EmscriptenSignalBuffer: { 0: number } | undefined;
  stackSave(): number;
  stackRestore(pointer: number): void;
  _sbrk(bytes: number): number;
  _jslib_init(): void;
  runtimeKeepalivePush(): void;
  __hiwire_get(index: number): unknown;
  __hiwire_set(index: number, value: unknown): number;
  __hiwire_immortal_add(value: unknown): void;
  __hiwire_slot_info(index: number): number;
  __hiwire_immortal_get(index: number): unknown;
  _emscripten_get_sbrk_ptr(): number;
  /** Lowest address of the stack, which grows downwards to it. */
  _emscripten_stack_get_end(): number;
  _Py_EMSCRIPTEN_SIGNAL_HANDLING: number;
  _PyImport_ImportModule(name: number): number;
  _PyObject_GetAttrString(object: number, name: number): number;
  _PyErr_Print(): void;
  _PyObject_CallNoArgs(callable: number): number;
  _PyErr_Clear(): void;
  _Py_DecRef(object: number): void;
  _malloc(bytes: number): number;
  _free(pointer: number): void;
  stringToNewUTF8(text: string): number;
  UTF8ToString(pointer: number): string;
  ___errno_location(): number;
  /** Takes a format and a pointer to its arguments. */
  ___dl_seterr(format: number, args: number): void;
  _PyErr_Occurred(): number;
  _PyErr_SetString(type: number, message: number): void;
  /** Where the pointer to the class is. */
  _PyExc_RuntimeError: number;
}

interface PyodideApi {
  config: Record<string, unknown>;
  runtimeEnv: Record<string, boolean>;
  sitePackages: string;
  pyVersionTuple: readonly [number, number, number];
  getExpectedKeys(): unknown[];
  finalizeBootstrap(): unknown;
}

/** The JS reference table of an image: after Pyodide's own entries, members of its `API` object by name. */
export interface HiwireState {
  hiwireKeys: (null | { name: string })[];
  immortalKeys: string[];
}

/** The module `pyodide.asm.mjs`. It looks at its surroundings when it is called, not when it is imported. */
export interface PyodideGlue {
  default: (settings: unknown) => Promise<any>;
}

export interface ModuleSources {
  glue: PyodideGlue;
  wasm: WebAssembly.Module;
  stdlib: Uint8Array;
  /** Called once the file system exists and before Python starts. */
  prepareFiles(module: PyodideModule): void;
  env: Record<string, string>;
  /** False when a heap will be copied in. */
  runMain: boolean;
  /** Wraps the imports of the main module. */
  wrapImports(imports: WebAssembly.ModuleImports): void;
  print(line: string): void;
}

export const sitePackages = '/lib/python3.14/site-packages';
export const homeFolder = '/home/pyodide';
export const stdlibPath = '/lib/python314.zip';

/** Pyodide takes these for a module Web Worker: no Node or Deno branch of its glue is ever entered. */
const webWorker = {
  IN_NODE: false,
  IN_NODE_COMMONJS: false,
  IN_NODE_ESM: false,
  IN_DENO: false,
  IN_BUN: false,
  IN_SHELL: false,
  IN_SAFARI: false,
  IN_WORKERD: false,
  IN_BROWSER: true,
  IN_BROWSER_MAIN_THREAD: false,
  IN_BROWSER_WEB_WORKER: true,
};

/** Instantiates the main module. The interpreter is started only with `runMain`. */
export async function createModule(
  sources: ModuleSources,
): Promise<{ module: PyodideModule; api: PyodideApi }> {
  const noError = Symbol('no JavaScript error');
  const api = {
    runtimeEnv: webWorker,
    config: {
      jsglobals: Object.create(null),
      indexURL: '/',
      packageBaseUrl: '/',
      packages: [],
      env: sources.env,
      args: [],
      BUILD_ID: '',
      enableRunUntilComplete: false,
    },
  } as unknown as PyodideApi;
  const instantiation = Promise.withResolvers<never>();
  const settings = {
    API: api,
    arguments: [],
    noInitialRun: !sources.runMain,
    noImageDecoding: true,
    noAudioDecoding: true,
    noWasmDecoding: false,
    print: sources.print,
    printErr: sources.print,
    locateFile: (path: string) => path,
    preRun: [
      (m: PyodideModule) => {
        api.pyVersionTuple = [3, 14, 2];
        api.sitePackages = sitePackages;
        m.FS.mkdirTree(sitePackages);
        m.FS.mkdirTree('/lib/python3.14/lib-dynload');
        m.FS.writeFile(stdlibPath, sources.stdlib, { canOwn: true });
        m.FS.mkdirTree(homeFolder);
        m.FS.chdir(homeFolder);
        Object.assign(m.ENV, sources.env);
        sources.prepareFiles(m);
      },
    ],
    instantiateWasm(
      imports: { env: WebAssembly.ModuleImports },
      done: (instance: WebAssembly.Instance, module: WebAssembly.Module) => void,
    ) {
      // Pyodide detects error values with a tiny module of its own; a symbol is its documented fallback.
      imports.env.Jsv_GetError_import = () => noError as any;
      imports.env.JsvError_Check = ((value: unknown) => value === noError) as any;
      sources.wrapImports(imports.env);
      WebAssembly.instantiate(sources.wasm, imports as unknown as WebAssembly.Imports).then(
        (instance) => done(instance, sources.wasm),
        instantiation.reject,
      );
      return {};
    },
  };
  // The glue waits for `done` only: it would never settle when the instantiation fails.
  const module: any = await Promise.race([sources.glue.default(settings), instantiation.promise]);
  module.locateFile = (path: string) => {
    throw new Error(`unexpected request for ${path}`);
  };
  return { module, api };
}

/** Pyodide's second half of a plain boot: its Python side and its JavaScript side learn of each other. */
export function finishBoot(api: PyodideApi): void {
  api.finalizeBootstrap();
}

/**
 * The part of that which a restored heap needs before it is copied in: what Pyodide's C side keeps in JavaScript. It
 * allocates, and the image's heap has what it wrote already. Pyodide would go on to make proxies for its JavaScript API,
 * by running Python; nobody here uses it.
 */
export function startJavaScript(module: PyodideModule): void {
  module._jslib_init();
  module.runtimeKeepalivePush();
}

/** And what it needs afterwards: its JS reference table is filled. Changes nothing in the heap. */
export function fillReferences(module: PyodideModule, api: PyodideApi, hiwire: HiwireState): void {
  const references = [
    ...api.getExpectedKeys(),
    ...hiwire.hiwireKeys.map((key) => (key === null ? null : deserialize(api, key))),
  ];
  references.forEach((value, index) => {
    if (module.__hiwire_set(index, value ?? null) < 0)
      throw new Error(`JS reference table: no room for ${index}`);
  });
  for (const key of hiwire.immortalKeys) module.__hiwire_immortal_add(key);
}

/**
 * The JS reference table as data: only what a boot without guest code leaves there is known; anything else refuses.
 * Indices below the expected keys are Pyodide's own and put back by `fillReferences`.
 */
export function serializeHiwire(module: PyodideModule, api: PyodideApi): HiwireState {
  const expected = api.getExpectedKeys();
  const hiwireKeys: HiwireState['hiwireKeys'] = [];
  for (let index = expected.length; ; index += 1) {
    let value: unknown;
    try {
      value = module.__hiwire_get(index);
    } catch {
      break;
    }
    const free = value === null || value === undefined;
    hiwireKeys.push(free ? null : { name: nameOf(api, value, index) });
  }
  const immortalKeys: string[] = [];
  const firstImmortal = 7;
  for (let index = firstImmortal; ; index += 1) {
    let value: unknown;
    try {
      value = module.__hiwire_immortal_get(index);
    } catch {
      break;
    }
    if (typeof value !== 'string') throw new Error(`JS reference table: immortal ${index} is not a string`);
    immortalKeys.push(value);
  }
  return { hiwireKeys, immortalKeys };
}

function nameOf(api: PyodideApi, value: unknown, index: number): string {
  for (const [name, known] of Object.entries(api as unknown as Record<string, unknown>)) {
    if (known === value) return name;
  }
  throw new Error(`JS reference table: entry ${index} (${typeof value}) can't be kept in an image`);
}

function deserialize(api: PyodideApi, key: { name: string }): unknown {
  const value = (api as unknown as Record<string, unknown>)[key.name];
  if (value === undefined) throw new Error(`JS reference table: nothing is called ${key.name}`);
  return value;
}

export type { PyodideApi };
