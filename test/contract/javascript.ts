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

    it('that a run digs up costs it its worker, and the next run finds a clean one', async () => {
      const code = 'from pyodide.ffi import to_js\nto_js([1]).constructor.leftover = 1';
      const first = await subject.run(code);
      const second = await ok(
        subject.run('from pyodide.ffi import to_js\nhasattr(to_js([1]).constructor, "leftover")'),
      );
      expect(second.value).toBe(false);
      expect(second.worker.id).not.toBe(first.worker.id);
    });
  });
}
