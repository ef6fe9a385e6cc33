/** Threats T01–T05, T10 and T32: ways out of Python, tried on the real engine. What they would reach is the engine's realm. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRuntime } from '../../src/node.ts';
import type { Execution, Runtime } from '../../src/runtime.ts';
import { py } from '../contract/subject.ts';
import { sideModule } from '../kernel/side-module.ts';

let dir: string;
/** A file outside that every attempt tries to make. */
let canary: string;
let runtime: Runtime;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vivarium-depth-'));
  canary = join(dir, 'canary');
  // Code stays in its session: what it left must not matter to its own next run either.
  runtime = await createRuntime({ engine: 'deno', size: 1, isolation: 'none' });
  await runtime.warm();
});
afterAll(async () => {
  await runtime?.close();
  await rm(dir, { recursive: true, force: true });
});

/** Runs the code, which must leave nothing outside and its worker alive. */
async function attempt(code: string, globals: Record<string, string> = {}): Promise<Execution> {
  const before = await runtime.run('6 * 7');
  const execution = await runtime.run(code, { globals: { canary, ...globals } });
  const after = await runtime.run('6 * 7');
  expect(existsSync(canary), code).toBe(false);
  expect(execution.status, code).not.toBe('crashed');
  expect([after.value, after.worker.id], code).toStrictEqual([42, before.worker.id]);
  return execution;
}

/** What became of each: what it returned, or the name of what it raised. */
async function outcomes(setup: string, attempts: readonly string[]): Promise<unknown> {
  const code = `${setup}
said = []
for text in attempts.split('\\n'):
    try:
        said.append(eval(text))
    except BaseException as error:
        said.append(type(error).__name__)
said`;
  const execution = await attempt(code, { attempts: attempts.join('\n') });
  expect(execution.error).toBeUndefined();
  return execution.value;
}

describe('T01 other programs', () => {
  it('T01: `os.system`, `popen` and `subprocess` are refused', async () => {
    const found = await outcomes('import os, subprocess', [
      'os.system("touch " + canary)',
      'os.popen("touch " + canary)',
      'subprocess.run(["touch", canary])',
      'subprocess.Popen("touch " + canary, shell=True)',
      'os.posix_spawn("/bin/touch", ["touch", canary], {})',
      'os.execv("/bin/touch", ["touch", canary])',
      'os.fork()',
    ]);
    expect(found).toStrictEqual([
      -1,
      'OSError',
      'OSError',
      'OSError',
      expect.anything(),
      expect.anything(),
      expect.anything(),
    ]);
    for (const each of (found as unknown[]).slice(4)) expect(['OSError', 'AttributeError']).toContain(each);
  });

  it('T01: C’s ways are refused', async () => {
    const found = await outcomes(
      'import ctypes\nlibc = ctypes.CDLL(None)\ntouch = b"touch " + canary.encode()',
      [
        'libc.system(touch)',
        'libc.popen(touch, b"r")',
        'libc.execve(b"/bin/touch", None, None)',
        'libc.fork()',
        'libc._emscripten_system(touch)',
      ],
    );
    expect(found).toStrictEqual([-1, 0, -1, -1, 'AttributeError']);
  });
});

describe('T02 JavaScript from C', () => {
  it('T02: the functions that run a script aren’t there', async () => {
    const script = 'b"globalThis.postMessage(1)"';
    const found = await outcomes('import ctypes\nlibc = ctypes.CDLL(None)', [
      `libc.emscripten_run_script(${script})`,
      `libc.emscripten_run_script_int(${script})`,
      `libc.emscripten_run_script_string(${script})`,
      `libc.emscripten_async_run_script(${script}, 1)`,
      `libc.emscripten_asm_const_async_on_main_thread(3964903, b"", 0)`,
      'libc.emscripten_asm_const_int(3964903, b"", 0)',
      'libc.emscripten_set_timeout(1, 1, 1)',
      'libc.emscripten_force_exit(0)',
    ]);
    const missing = 'AttributeError';
    expect(found).toStrictEqual([missing, missing, missing, missing, missing, -1, missing, missing]);
  });

  it('T02: what C logs doesn’t reach the pipe to the host', async () => {
    const log = 'import ctypes\nctypes.CDLL(None).emscripten_log(1, b"{\\"jsonrpc\\": \\"2.0\\"}\\n" * 100)';
    expect((await attempt(log)).error).toBeUndefined();
  });
});

describe('T03 a library of the guest’s', () => {
  const library = Buffer.from(sideModule({ answer: 42, script: 'globalThis.postMessage(1)' })).toString(
    'base64',
  );
  const plain = Buffer.from(sideModule({ answer: 42 })).toString('base64');

  it.each([
    ['loaded', 'import ctypes\nctypes.CDLL("/tmp/evil.so")', 'OSError'],
    ['imported', 'import sys\nsys.path.insert(0, "/tmp")\nimport evil', 'ImportError'],
    ['opened by its descriptor', 'import ctypes\nctypes.CDLL(f"/proc/self/fd/{file.fileno()}")', 'OSError'],
    [
      'linked to',
      'import ctypes, os\nos.symlink("/tmp/evil.so", "/tmp/link.so")\nctypes.CDLL("/tmp/link.so")',
      'OSError',
    ],
  ])('T03: is refused when it’s %s', async (_name, load, error) => {
    for (const each of [plain, library]) {
      const write =
        'import base64, os\nfile = open("/tmp/evil.so", "w+b", 0)\nfile.write(base64.b64decode(library))\n';
      const clean = 'if os.path.lexists("/tmp/link.so"):\n    os.unlink("/tmp/link.so")\n';
      const execution = await attempt(`${write}${clean}${load}`, { library: each });
      expect(execution.error).toMatchObject({
        name: error,
        message: expect.stringContaining('only libraries of the image and of installed packages'),
      });
    }
  });

  it('T03: finds no handle on Pyodide’s insides', async () => {
    const found = await outcomes('import js, pyodide_js', [
      'pyodide_js._module',
      'pyodide_js._api',
      'js.WebAssembly',
      'js.globalThis',
    ]);
    expect(found).toStrictEqual(Array(4).fill('AttributeError'));
  });
});

describe('T04, T05 JavaScript objects', () => {
  it('T04: no chain of prototypes begins anywhere', async () => {
    const text = '"return globalThis"';
    const found = await outcomes('from pyodide.ffi import *\nimport pyodide.ffi as ffi', [
      `to_js([1]).constructor.constructor(${text})()`,
      `to_js({}).constructor.constructor(${text})()`,
      `to_js(b"x").constructor.constructor(${text})()`,
      `create_proxy(print).constructor.constructor(${text})()`,
      `create_once_callable(print).constructor.constructor(${text})()`,
      'JsException("a", "b").js_error',
      'to_js({1, 2})',
      'to_js(object(), default_converter=lambda value, convert, cache: convert([value]))',
    ]);
    expect(found).toStrictEqual([
      'ConversionError',
      'ConversionError',
      'ConversionError',
      'InternalError',
      'InternalError',
      'RuntimeError',
      'ConversionError',
      'ConversionError',
    ]);
  });

  it('T05: none lies about', async () => {
    const code = py`
      import gc, sys
      import _pyodide_core

      # Those of the image too.
      gc.unfreeze()

      sys.modules['js'] = None

      def below(kind):
          for each in type.__subclasses__(kind):
              yield each
              yield from below(each)

      # Those of Pyodide's C side; others of the name describe them.
      proxies = {each for each in below(object) if each.__name__ in ('JsProxy', 'JsException') and each.__basicsize__ > 40}
      try:
          raise ValueError
      except ValueError as error:
          frame = error.__traceback__.tb_frame
      held = gc.get_objects()
      while frame is not None:
          held += frame.f_globals.values()
          frame = frame.f_back
      held += vars(_pyodide_core).values()
      del sys.modules['js']
      [len(proxies), len(held) > 1000, [repr(each) for each in held if type(each) in proxies]]
    `;
    expect((await attempt(code)).value).toStrictEqual([expect.any(Number), true, []]);
  });
});

it('T10: no code is made from text, and no module of the guest’s is compiled', async () => {
  const found = await outcomes('import pyodide.code, pyodide.ffi, ctypes\nlibc = ctypes.CDLL(None)', [
    'pyodide.code.run_js("6 * 7")',
    '__import__("js").eval("6 * 7")',
    '__import__("js").Function("return 6 * 7")()',
    '__import__("js").WebAssembly.Module.new(b"")',
    'libc.emscripten_create_worker(b"data:,")',
    'libc.emscripten_async_load_script(b"data:,", 0, 0)',
  ]);
  expect(found).toStrictEqual(['ImportError', ...Array(5).fill('AttributeError')]);
});

describe('T32 poisons for the realm', () => {
  it('T32: don’t reach it from Python, and what comes next is told as it is', async () => {
    const found = await outcomes('from pyodide.ffi import *', [
      'setattr(to_js([1]).constructor.prototype, "toJSON", create_proxy(lambda *a: "evil"))',
      'setattr(to_js({}).constructor.prototype, "then", create_proxy(lambda *a: "evil"))',
    ]);
    expect(found).toStrictEqual(['ConversionError', 'ConversionError']);
    const { value, stdout } = await attempt(
      'print("out")\n{"a": [1, None, "x"], "toJSON": 1, "__proto__": {"then": 2}}',
    );
    expect(stdout).toBe('out\n');
    expect(Object.entries(value as object)).toEqual(
      expect.arrayContaining([
        ['a', [1, null, 'x']],
        ['toJSON', 1],
      ]),
    );
  });
});
