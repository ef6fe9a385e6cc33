import type { PyodideModule, WasmFunction } from './pyodide-internals.ts';

/** Where in the handle of a library the address is of its bytes in memory. */
const bytesOfHandle = 28;

/** ENOSYS in Emscripten's numbering. */
const noSuchCall = 52;

/**
 * Of Emscripten's library in JavaScript, what compiled code may call although Python's own doesn't: functions that do
 * nothing but compute.
 */
const harmless =
  /^(emscripten_math_\w+|emscripten_(get_now_res|has_asyncify|is_main_browser_thread|notify_memory_growth|performance_now|print_double|random|return_address|runtime_keepalive_check|stack_snapshot|stack_unwind_buffer)|_emscripten_get_now_is_monotonic|__asctime_r|(end|get|set)protoent|getprotobynumber|stack(Alloc|Restore|Save)|strptime(_l)?|_Unwind_\w+)$/;

/**
 * Of what Python's own code calls: a shell, timers that would call into the heap of a later run, and loading of libraries
 * that goes on when a run is over.
 */
const outward =
  /^(_emscripten_system|_setitimer_js|_emscripten_dlopen_js|emscripten_promise_\w+|emscripten_set_up_async_input_device_js)$/;

/**
 * Replaces the ways by which compiled code gets out of its heap: scripts, timers, windows, the network, other programs.
 * Python itself needs next to none of Emscripten's library; all that it doesn't need is refused, and libraries that
 * packages bring link against the same symbols. A refused function returns what stands for an error, and sets `errno`.
 */
export class WaysOut {
  readonly #refused = new Set<string>();
  #module: PyodideModule | undefined;

  wrapImports(imports: WebAssembly.ModuleImports, wasm: WebAssembly.Module): void {
    // A library may ask for a symbol of any name.
    Object.setPrototypeOf(imports, null);
    const called = WebAssembly.Module.imports(wasm).filter(({ kind }) => kind === 'function');
    const needed = new Set(called.map(({ name }) => name));
    for (const [name, original] of Object.entries(imports)) {
      if (typeof original !== 'function') continue;
      if (needed.has(name) ? !outward.test(name) : harmless.test(name)) continue;
      // Where its address is taken the signature has to be known.
      imports[name] = Object.assign(this.#refusal((original as WasmFunction).sig), original);
      this.#refused.add(name);
    }
    const find = imports._dlsym_js as (handle: number, symbol: number, index: number) => number;
    const findAllowed = (handle: number, symbol: number, index: number): number => {
      const module = this.#module;
      if (module !== undefined) {
        const name = module.UTF8ToString(symbol);
        if (this.#refused.has(name) && module.LDSO.loadedLibsByHandle[handle >>> 0]?.name === '__main__')
          return dlError(module, `${name} is not available here`);
      }
      return find(handle, symbol, index);
    };
    imports._dlsym_js = Object.assign(findAllowed, find);
    const open = imports._dlopen_js as (handle: number) => number;
    imports._dlopen_js = Object.assign((handle: number) => this.#open(open, handle), open);
  }

  /**
   * C has read the file already, into memory that a guest can write to, with a handle that it can forge. Emscripten is
   * made to read it again, by its name, which the file system judges.
   */
  #open(open: (handle: number) => number, handle: number): number {
    const module = this.#module;
    if (module === undefined) return open(handle);
    const { LDSO } = module;
    const known = new Set(Object.keys(LDSO.loadedLibsByName));
    const word = (handle + bytesOfHandle) >>> 2;
    const bytes = module.HEAPU32[word] ?? 0;
    module.HEAPU32[word] = 0;
    const opened = open(handle);
    // C frees it.
    module.HEAPU32[word] = bytes;
    if (opened !== 0) return opened;
    // Emscripten would take what it failed to load for loaded.
    delete LDSO.loadedLibsByHandle[handle];
    for (const [name, { exports }] of Object.entries(LDSO.loadedLibsByName)) {
      if (exports === 'loading' && !known.has(name)) delete LDSO.loadedLibsByName[name];
    }
    return opened;
  }

  started(module: PyodideModule): void {
    this.#module = module;
    Object.setPrototypeOf(module.LDSO.loadedLibsByName, null);
  }

  /** A function of its own for each name: images name functions of the table by it. */
  #refusal(signature: string | undefined): WasmFunction {
    const result = errorOf(signature?.[0]);
    return () => {
      const module = this.#module;
      if (module !== undefined) module.HEAPU32[module.___errno_location() >>> 2] = noSuchCall;
      return result;
    };
  }
}

/** Of a function's type, by the letter of what it returns. */
function errorOf(type: string | undefined): unknown {
  switch (type) {
    case 'i':
      return -noSuchCall;
    case 'j':
      return BigInt(-noSuchCall);
    case 'f':
    case 'd':
      return Number.NaN;
    case 'p':
      return 0;
    default:
      return undefined;
  }
}

/** As `dlopen` and `dlsym` tell it, which Python raises. */
function dlError(module: PyodideModule, message: string): 0 {
  // It's taken for a format.
  const text = module.stringToNewUTF8(message.replaceAll('%', '%%'));
  module.___dl_seterr(text, 0);
  module._free(text);
  return 0;
}
