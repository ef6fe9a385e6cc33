import { describe, expect, it } from 'vitest';
import { evaluate, ok, py, type Subject } from './subject.ts';

/** No JavaScript object may be lying about in Python: what a run dug up could call into a later one. */
export function javascript(subject: Subject): void {
  describe('JavaScript', () => {
    // Packages import it to look for a browser.
    it.each(['js', 'pyodide_js'])('has a module %s, made of Python, with nothing in it', async (name) => {
      const code = py`
        import importlib, inspect, types
        module = importlib.import_module(name)
        names = [each for each in vars(module) if not each.startswith('_') and each != 'console']
        wanted = ['globalThis', 'eval', 'fetch', 'Object', 'process', 'Deno', 'self', '_api', 'globals']
        found = [each for each in wanted if hasattr(module, each)]
        [type(module) is types.ModuleType, inspect.getsourcefile(module) is not None, names, found]
      `;
      expect(await evaluate(subject.run(code, { globals: { name } }))).toStrictEqual([true, true, [], []]);
      const use = await subject.run('import importlib\nimportlib.import_module(name).fetch("/")', {
        globals: { name },
      });
      expect(use).toMatchObject({ status: 'error', error: { name: 'AttributeError' } });
      expect(use.error?.message).toContain('there is no JavaScript here');
    });

    it.each(['js.fetch', 'pyodide_js._api'])('has no module %s', async (name) => {
      const execution = await subject.run('import importlib\nimportlib.import_module(name)', {
        globals: { name },
      });
      expect(execution).toMatchObject({ status: 'error', error: { name: 'ModuleNotFoundError' } });
    });

    it('is held by no module', async () => {
      const code = py`
        import gc, sys
        import js, pyodide_js
        from pyodide.ffi import JsProxy
        found = [name for name, module in sys.modules.items() if isinstance(module, JsProxy)]
        for name, module in list(sys.modules.items()):
            found += [f'{name}.{key}' for key, value in vars(module).items() if isinstance(value, JsProxy)]
        found + [repr(thing) for thing in gc.get_objects() if isinstance(thing, JsProxy)]
      `;
      expect(await evaluate(subject.run(code))).toStrictEqual([]);
    });

    it('can’t be dug up', async () => {
      const code = py`
        import pyodide.ffi as ffi
        said = []
        for make in (lambda: ffi.to_js([1]), lambda: ffi.to_js({'a': 1}), lambda: ffi.create_proxy(print)):
            try:
                said.append(repr(make()))
            except Exception as error:
                said.append(str(error.__cause__ or type(error).__name__))
        said
      `;
      const first = await ok(subject.run(code));
      const none = 'there is no JavaScript here';
      expect(first.value).toStrictEqual([none, none, 'InternalError']);
      expect(await evaluate(subject.run('1'))).toBe(1);
    });
  });
}
