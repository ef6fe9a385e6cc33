import type { PyodideModule, WasmFunction } from './pyodide-internals.ts';

/** With references in their signature, and no part of it: sockets, the table of references itself, errors on their way. */
const apart = /^(_maybe_\w+_async|__hiwire_deduplicate_\w+|JsvError_Throw)$/;

/** What is asked about an object, with no answer that is an error. */
const questions =
  /_Check$|^(is_comlink_proxy|Jsv_(equal|not_equal|(less|greater)_than(_equal)?|to_bool)|JsProxy_Bool_js)$/;

/** These return a reference to a Python object, which is null for an error. */
const objects =
  /^js2python_|^pyproxy_AsPyObject$|^JsDoubleProxy_unwrap_js$|^get_length_string$|^Jsv_constructorName$/;

/** Of no JavaScript object in their signature, and part of it all the same. */
const more: ReadonlySet<string> = new Set(['capture_stderr', 'fail_test', 'destroy_proxies_js']);

const message = 'there is no JavaScript here';

/**
 * The bridge between Python and JavaScript, which Pyodide needs to start and nobody needs afterwards. Closed, whatever
 * would make, hold, read, change or call a JavaScript object from Python raises `RuntimeError` there. Every function of the
 * kind is one of the main module's imports, and tells so by its signature (`e`, a reference).
 */
export class Bridge {
  #closed = false;
  #module: PyodideModule | undefined;

  wrapImports(imports: WebAssembly.ModuleImports): void {
    const noObject = (imports.Jsv_GetError_import as () => unknown)();
    for (const [name, original] of Object.entries(imports)) {
      if (typeof original !== 'function') continue;
      const { sig } = original as WasmFunction;
      const isScript = name.startsWith('emscripten_asm_const_');
      if (!isScript && !more.has(name) && (sig?.includes('e') !== true || apart.test(name))) continue;
      const result = isScript ? -1 : errorOf(name, sig?.[0], noObject);
      const raises = !isScript && result !== undefined && !questions.test(name);
      const guarded = (...args: unknown[]): unknown => {
        if (!this.#closed) return (original as WasmFunction)(...args);
        if (raises) this.#raise();
        return result;
      };
      imports[name] = Object.assign(guarded, original);
    }
  }

  close(module: PyodideModule): void {
    this.#module = module;
    this.#closed = true;
  }

  #raise(): void {
    const module = this.#module;
    if (module === undefined || module._PyErr_Occurred() !== 0) return;
    const text = module.stringToNewUTF8(message);
    module._PyErr_SetString(module.HEAPU32[module._PyExc_RuntimeError >>> 2] ?? 0, text);
    module._free(text);
  }
}

function errorOf(name: string, type: string | undefined, noObject: unknown): unknown {
  if (type === 'v' || type === undefined) return undefined;
  if (type === 'e') return noObject;
  return objects.test(name) || questions.test(name) ? 0 : -1;
}
