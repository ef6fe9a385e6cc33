import type { ExecutionStatus, RunOptions } from '../../src/runtime.ts';

export interface Attack {
  /** Of the table in `docs/security.md`. */
  row: string;
  name: string;
  code: string;
  /** Each end that is right: a status, or the name of a Python exception. */
  ends: readonly (
    | Exclude<ExecutionStatus, 'error'>
    | `${string}Error`
    | 'SystemExit'
    | 'KeyboardInterrupt'
  )[];
  /** Whether the worker must have been lost, when that is certain. */
  lost?: boolean;
  options?: RunOptions;
}

const short: RunOptions = { timeoutMs: 300 };
const leak = 'import builtins\nbuiltins.leak = 1\n';

export const attacks: readonly Attack[] = [
  // Time
  {
    row: 'T43',
    name: 'while True: pass',
    code: `${leak}while True: pass`,
    ends: ['timeout'],
    lost: false,
    options: short,
  },
  { row: 'T43', name: '10**10**8', code: 'x = 10**10**8', ends: ['timeout', 'oom'], options: short },
  {
    row: 'T43',
    name: 'str of a large int',
    code: 'import sys\nsys.set_int_max_str_digits(0)\nlen(str(7**5_000_000))',
    ends: ['timeout'],
    options: short,
  },
  {
    row: 'T43',
    name: 'a catastrophic regex',
    code: 'import re\nre.match(r"(a|a)*$", "a" * 60 + "b")',
    ends: ['timeout'],
    options: short,
  },
  {
    row: 'T43',
    name: 'a loop that catches everything',
    code: 'while True:\n    try:\n        while True: pass\n    except BaseException: pass',
    ends: ['timeout'],
    lost: true,
    options: short,
  },
  { row: 'T43', name: 'sum(range(10**12))', code: 'sum(range(10**12))', ends: ['timeout'], options: short },
  {
    row: 'T43',
    name: 'sorting without end',
    code: 'class K:\n    def __lt__(self, o):\n        while True: pass\nsorted([K(), K()])',
    ends: ['timeout'],
    options: short,
  },
  {
    row: 'T43',
    name: 'a __del__ without end',
    code: 'class D:\n    def __del__(self):\n        while True: pass\nd = D()\ndel d',
    ends: ['timeout', 'ok'],
    options: short,
  },
  {
    row: 'T43',
    name: 'a __repr__ without end as value',
    code: 'class R:\n    def __repr__(self):\n        while True: pass\nR()',
    ends: ['timeout'],
    options: short,
  },
  {
    row: 'T43',
    name: 'an exception that never prints',
    code: 'class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E()',
    ends: ['timeout', 'EError' as const, 'KeyboardInterrupt'],
    options: short,
  },
  {
    row: 'T43',
    name: 'an __html__ without end',
    code: 'class R:\n    def _repr_html_(self):\n        while True: pass\nR()',
    ends: ['timeout'],
    options: short,
  },
  {
    row: 'T43',
    name: 'an awaitable that spins',
    code: 'import asyncio\nwhile True:\n    await asyncio.sleep(0)',
    ends: ['timeout'],
    options: short,
  },
  {
    row: 'T43',
    name: 'a callback that spins',
    code: 'import asyncio\ndef spin():\n    while True: pass\nasyncio.get_running_loop().call_soon(spin)\nawait asyncio.sleep(1000)',
    ends: ['timeout'],
    options: short,
  },
  {
    row: 'T44',
    name: 'a task flood',
    code: 'import asyncio\nasync def f():\n    while True:\n        asyncio.ensure_future(f())\n        await asyncio.sleep(0)\nawait f()',
    ends: ['timeout', 'oom', 'crashed'],
    options: { timeoutMs: 1000 },
  },

  // Leaving
  {
    row: 'T49',
    name: 'sys.exit(3)',
    code: `${leak}import sys\nsys.exit(3)`,
    ends: ['SystemExit'],
    lost: false,
  },
  { row: 'T48', name: 'os.abort()', code: 'import os\nos.abort()', ends: ['crashed'], lost: true },
  {
    row: 'T48',
    name: 'a signal to itself',
    code: 'import os, signal\nos.kill(os.getpid(), signal.SIGKILL)',
    ends: ['crashed', 'OSError', 'PermissionError', 'AttributeError', 'ProcessLookupError', 'ok'],
  },
  {
    row: 'T48',
    name: 'raise_signal(SIGABRT)',
    code: 'import signal\nsignal.raise_signal(signal.SIGABRT)',
    ends: ['crashed'],
  },
  {
    row: 'T48',
    name: 'a thread',
    code: 'import threading\nthreading.Thread(target=print).start()',
    ends: ['RuntimeError'],
  },

  // Stack
  {
    row: 'T47',
    name: 'deep recursion',
    code: `${leak}def f(): f()\nf()`,
    ends: ['RecursionError'],
    lost: false,
  },
  {
    row: 'T47',
    name: 'deep recursion with a huge limit',
    code: 'import sys\nsys.setrecursionlimit(10**7)\ndef f(n): return f(n + 1)\nf(0)',
    ends: ['RecursionError', 'crashed', 'oom'],
  },
  {
    row: 'T47',
    name: 'repr of a list nested 300,000 deep',
    code: 'x = []\nfor _ in range(300_000): x = [x]\nrepr(x)',
    ends: ['RecursionError', 'crashed'],
  },
  {
    row: 'T47',
    name: 'the same with a huge limit',
    code: 'import sys\nsys.setrecursionlimit(10**7)\nx = []\nfor _ in range(300_000): x = [x]\nrepr(x)',
    ends: ['RecursionError', 'crashed', 'oom'],
  },
  {
    row: 'T47',
    name: 'json nested 200,000 deep',
    code: 'import json\njson.loads("[" * 200_000)',
    ends: ['RecursionError', 'crashed'],
  },
  {
    row: 'T47',
    name: 'pickle nested 100,000 deep',
    code: 'import pickle\nx = []\nfor _ in range(100_000): x = [x]\npickle.dumps(x)',
    ends: ['RecursionError', 'crashed', 'ok'],
  },
  {
    row: 'T47',
    name: 'source nested 200,000 deep',
    code: 'eval("-" * 200_000 + "1")',
    ends: ['MemoryError' as const, 'RecursionError', 'SyntaxError', 'oom', 'crashed'],
  },
  {
    row: 'T47',
    name: '__getattr__ that calls itself',
    code: 'class A:\n    def __getattr__(self, n): return getattr(self, n)\nA().x',
    ends: ['RecursionError', 'crashed'],
  },
  {
    row: 'T47',
    name: 'tuples freed 1,000,000 deep',
    code: 'x = ()\nfor _ in range(1_000_000): x = (x,)\ndel x',
    ends: ['ok', 'crashed'],
  },

  // Memory
  {
    row: 'T46',
    name: 'a MemoryError bomb',
    code: `${leak}x = []\nwhile True: x.append(bytearray(1 << 20))`,
    ends: ['oom'],
    lost: false,
    options: { memoryBytes: 192 << 20 },
  },
  {
    row: 'T46',
    name: 'a string that doubles',
    code: 'x = "x"\nwhile True: x += x',
    ends: ['oom'],
    options: { memoryBytes: 192 << 20 },
  },
  {
    row: 'T46',
    name: 'memory taken in small pieces',
    code: 'x = []\nwhile True: x.append(object())',
    ends: ['oom'],
    options: { memoryBytes: 96 << 20 },
  },
  {
    row: 'T46',
    name: 'a bomb that catches MemoryError',
    code: 'x = []\nwhile True:\n    try:\n        x.append(bytearray(1 << 16))\n    except MemoryError: pass',
    ends: ['timeout'],
    options: { memoryBytes: 96 << 20, timeoutMs: 1500 },
  },
  {
    row: 'T46',
    name: 'a file of two gigabytes',
    code: 'f = open("big", "wb")\nwhile True: f.write(bytes(1 << 20))',
    ends: ['oom', 'OSError', 'timeout', 'crashed'],
    options: { timeoutMs: 5000 },
  },
  {
    row: 'T46',
    name: 'a sparse file',
    code: 'open("big", "wb").truncate(1 << 40)',
    ends: ['OSError', 'oom', 'OverflowError', 'crashed', 'ok', 'ValueError'],
  },

  // C
  {
    row: 'T48',
    name: 'a read from nowhere',
    code: 'import ctypes\nctypes.string_at(0xfffffff0, 100)',
    ends: ['crashed', 'ModuleNotFoundError', 'ImportError'],
  },
  {
    row: 'T48',
    name: 'a call to nowhere',
    code: 'import ctypes\nctypes.CFUNCTYPE(None)(0x7fffffff)()',
    ends: ['crashed', 'ModuleNotFoundError', 'ImportError', 'OSError', 'RuntimeError'],
  },
  {
    row: 'T48',
    name: 'memory overwritten',
    code: 'import ctypes\nctypes.memset(1024, 255, 8 << 20)',
    ends: ['crashed', 'ModuleNotFoundError', 'ImportError'],
  },
  {
    row: 'T48',
    name: 'faulthandler',
    code: 'import faulthandler\nfaulthandler._sigsegv()',
    ends: ['crashed', 'AttributeError', 'ok', 'ModuleNotFoundError'],
  },
  {
    row: 'T48',
    name: 'a type that lies about its size',
    code: 'import ctypes\nx = (ctypes.c_char * 16)()\nctypes.memmove(id(int), x, 16)\nint("1")',
    ends: ['crashed', 'ModuleNotFoundError', 'ImportError', 'TypeError', 'SystemError'],
  },

  // The harness
  {
    row: 'T32',
    name: 'builtins removed',
    code: 'import builtins\nbuiltins.__dict__.clear()\n1 + 1',
    ends: ['ok', 'crashed', 'NameError', 'KeyError', 'ImportError', 'RuntimeError'],
  },
  {
    row: 'T32',
    name: 'modules removed',
    code: 'import sys\nsys.modules.clear()\n1 + 1',
    ends: ['ok', 'crashed', 'KeyError', 'ImportError', 'RuntimeError', 'ModuleNotFoundError'],
  },
  {
    row: 'T32',
    name: 'objects of the harness, by gc',
    code: 'import gc\nfor o in gc.get_objects():\n    if type(o) is dict and "__name__" in o and o["__name__"] != "__main__":\n        try: o.clear()\n        except Exception: pass\n1',
    ends: [
      'ok',
      'crashed',
      'NameError',
      'TypeError',
      'AttributeError',
      'KeyError',
      'SystemError',
      'RuntimeError',
    ],
  },
  {
    row: 'T30',
    name: 'a frame on descriptor 1',
    code: 'import os\nos.write(1, (1 << 31).to_bytes(4, "little") + b\'{"jsonrpc":"2.0","method":"result","params":{"status":"ok"}}\')\nNone',
    ends: ['ok'],
    lost: false,
  },
];
