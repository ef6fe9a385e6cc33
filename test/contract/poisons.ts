import { py } from './subject.ts';

export interface Poison {
  name: string;
  code: string;
  /**
   * `seen`: the probe at the end of the same run must come out different, which proves that it looks there.
   * `late`: meant to strike in the next run only. `any`: may fail or end the worker, as long as the next run is clean.
   */
  shows: 'seen' | 'late' | 'any';
}

const seen = (name: string, code: string): Poison => ({ name, code, shows: 'seen' });
const late = (name: string, code: string): Poison => ({ name, code, shows: 'late' });
const any = (name: string, code: string): Poison => ({ name, code, shows: 'any' });

/** What one run does to the next one's interpreter, if it can. */
export const poisons: readonly Poison[] = [
  // Names
  seen('a global', 'leaked = 1'),
  seen('an attribute of __main__', 'import __main__\n__main__.leaked = 1'),
  seen('builtins.print', 'import builtins\nbuiltins.print = lambda *a, **k: None'),
  seen('builtins.open', 'import builtins, io\nbuiltins.open = lambda *a, **k: io.StringIO("evil")'),
  seen(
    'builtins.__import__',
    'import builtins\nold = __import__\nbuiltins.__import__ = lambda *a, **k: old(*a, **k)\ndel old',
  ),
  seen('a builtin added', 'import builtins\nbuiltins.leak = 1'),
  seen('a builtin removed', 'import builtins\ndel builtins.zip'),
  any('all builtins removed', 'import builtins\nbuiltins.__dict__.clear()'),
  seen('builtins.__build_class__', 'import builtins\nbuiltins.__build_class__ = lambda *a, **k: None'),

  // Modules
  seen("sys.modules['json']", 'import sys, types\nsys.modules["json"] = types.ModuleType("json")'),
  seen('a module added', 'import sys, types\nsys.modules["leak"] = types.ModuleType("leak")'),
  any('sys.modules cleared', 'import sys\nsys.modules.clear()'),
  seen('json.dumps', 'import json\njson.dumps = lambda *a, **k: "evil"'),
  seen('an attribute of a stdlib class', 'import json\njson.JSONEncoder.item_separator = ";"'),
  seen('a class marked', 'import pathlib\npathlib.PurePath.leak = 1'),
  seen('time.time', 'import time\ntime.time = lambda: 0.0'),
  seen('os.listdir', 'import os\nos.listdir = lambda *a: ["evil"]'),

  // Imports
  seen('sys.path', 'import sys\nsys.path.insert(0, "/evil")'),
  seen(
    'sys.meta_path',
    'import sys\nclass Finder:\n    def find_spec(*a): return None\nsys.meta_path.insert(0, Finder)',
  ),
  seen('sys.path_hooks', 'import sys\nsys.path_hooks.clear()'),
  seen('sys.argv', 'import sys\nsys.argv.append("evil")'),
  any(
    'the stdlib on disk',
    py`
      import importlib.util, os, sys
      origin = importlib.util.find_spec("colorsys").origin
      archives = [p for p in sys.path if p.endswith(".zip") and os.path.isfile(p)]
      for path in archives or [origin]:
          open(path, "wb").close()
    `,
  ),
  seen(
    'a module in site-packages',
    py`
      import os, site
      folder = site.getsitepackages()[0]
      os.makedirs(folder, exist_ok=True)
      open(os.path.join(folder, "colorsys.py"), "w").write("evil = 1")
      open(os.path.join(folder, "sitecustomize.py"), "w").write("print('LEAK')")
    `,
  ),

  // Hooks
  seen('sys.settrace', 'import sys\nsys.settrace(lambda *a: None)'),
  seen('sys.setprofile', 'import sys\nsys.setprofile(lambda *a: None)'),
  seen('threading.settrace', 'import threading\nthreading.settrace(lambda *a: None)'),
  seen('sys.excepthook', 'import sys\nsys.excepthook = lambda *a: print("LEAK")'),
  seen('sys.displayhook', 'import sys\nsys.displayhook = lambda *a: print("LEAK")'),
  seen('sys.unraisablehook', 'import sys\nsys.unraisablehook = lambda *a: print("LEAK")'),
  seen('threading.excepthook', 'import threading\nthreading.excepthook = lambda *a: None'),
  seen(
    'an audit hook',
    'import os, sys\nsys.addaudithook(lambda name, args: os.write(1, b"LEAK") if name == "open" else None)',
  ),
  seen('sys.monitoring', 'import sys\nsys.monitoring.use_tool_id(4, "leak")'),
  seen(
    'a codec',
    'import codecs\ncodecs.register(lambda name: codecs.lookup("utf-8") if name == "leak" else None)',
  ),
  seen('gc.callbacks', 'import gc\ngc.callbacks.append(lambda *a: print("LEAK"))'),
  seen('a signal handler', 'import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)'),
  seen('async generator hooks', 'import sys\nsys.set_asyncgen_hooks(firstiter=lambda *a: None)'),

  // Settings
  seen('gc.disable', 'import gc\ngc.disable()'),
  seen('gc.set_threshold', 'import gc\ngc.set_threshold(1)'),
  seen('gc.unfreeze', 'import gc\ngc.freeze()'),
  seen('sys.setrecursionlimit', 'import sys\nsys.setrecursionlimit(4321)'),
  seen('sys.set_int_max_str_digits', 'import sys\nsys.set_int_max_str_digits(0)'),
  seen('warnings filters', 'import warnings\nwarnings.simplefilter("error")'),
  seen('the decimal context', 'import decimal\ndecimal.getcontext().prec = 3'),
  seen('the default decimal context', 'import decimal\ndecimal.DefaultContext.prec = 3'),
  seen('logging', 'import logging\nlogging.basicConfig(level=1)'),
  seen('linecache', 'import linecache\nlinecache.cache["leak"] = (1, None, ["x"], "leak")'),
  seen('the umask', 'import os\nos.umask(0o007)'),

  // Places
  seen('the environment', 'import os\nos.environ["LEAK"] = "1"'),
  seen('the working folder', 'import os\nos.chdir("/")'),
  seen('files in the working folder', 'open("leak.txt", "w").write("x")'),
  seen('files in /tmp', 'open("/tmp/leak.txt", "w").write("x")'),
  seen('files at home', 'import os\nopen(os.path.expanduser("~/leak.txt"), "w").write("x")'),
  seen('a folder in /', 'import os\nos.makedirs("/leak/deep")'),
  any('the working folder removed', 'import os, shutil\nshutil.rmtree(os.getcwd())'),
  any('a device file', 'import os\nos.unlink("/dev/null")'),

  // Streams and descriptors
  seen('descriptors left open', 'held = [open("/tmp/leak", "w") for _ in range(5)]'),
  seen('sys.stdout replaced', 'import io, sys\nsys.stdout = io.StringIO()'),
  seen('sys.stdin replaced', 'import io, sys\nsys.stdin = io.StringIO("evil")'),
  seen('sys.stdout reconfigured', 'import sys\nsys.stdout.reconfigure(encoding="latin-1")'),
  seen('sys.stdout closed', 'import sys\nsys.stdout.close()'),
  seen('sys.stdin closed', 'import sys\nsys.stdin.close()'),
  seen('descriptor 1 closed', 'import os\nos.close(1)'),
  seen('descriptors 0 to 2 closed', 'import os\nos.closerange(0, 3)'),
  seen('descriptor 1 on 2', 'import os\nos.dup2(1, 2)'),
  late(
    'text that was not flushed',
    'import sys\nsys.stdout.flush()\nsys.stdout.write("")\nheld = open(1, "w", closefd=False)\nheld.write("LEAK")',
  ),

  // Delayed code
  late('atexit', 'import atexit\natexit.register(print, "LEAK")'),
  late('__del__ in a cycle', 'class A:\n    def __del__(self): print("LEAK")\na = A()\na.self = a'),
  late(
    'weakref.finalize',
    'import weakref\nclass A: pass\na = A()\na.self = a\nweakref.finalize(a, print, "LEAK")',
  ),
  late(
    'a task left behind',
    py`
    import asyncio

    async def later():
        while True:
            await asyncio.sleep(0.001)
            print("LEAK")

    task = asyncio.ensure_future(later())
    await asyncio.sleep(0)
  `,
  ),
  late(
    'timers left behind',
    py`
    import asyncio

    loop = asyncio.get_running_loop()
    for ms in range(20):
        loop.call_later(ms / 1000, print, "LEAK")
    await asyncio.sleep(0)
  `,
  ),
  late(
    'an executor job left behind',
    py`
    import asyncio

    asyncio.get_running_loop().run_in_executor(None, print, "LEAK")
    await asyncio.sleep(0)
  `,
  ),
  late(
    'a generator that will not close',
    py`
    def stubborn():
        try:
            yield
        finally:
            print("LEAK")

    held = stubborn()
    next(held)
  `,
  ),
  late(
    'an async generator left half-way',
    py`
    import asyncio

    async def stubborn():
        try:
            yield 1
        finally:
            print("LEAK")

    held = stubborn()
    await anext(held)
  `,
  ),

  // Entropy and memory
  any('random.random', 'import random\nrandom.seed(1)\nrandom.random = random.Random(2).random'),
  any(
    'a small integer',
    py`
    import ctypes

    # Digits of an int begin after the count, the type and the tag, of four bytes each.
    ctypes.c_uint32.from_address(id(241) + 12).value = 240
  `,
  ),
  any(
    'a proxy left behind',
    'from pyodide.ffi import create_proxy\nheld = create_proxy(lambda: print("LEAK"))',
  ),
  any('most of the memory', 'held = [bytearray(1 << 20) for _ in range(200)]'),
  any('deep recursion', 'def f(n):\n    return f(n + 1)\nf(0)'),
];
