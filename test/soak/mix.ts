import { residentBytes } from '../../bench/memory.ts';
import type { Execution, RunOptions, Runtime, WorkerStats } from '../../src/runtime.ts';

/** One kind of run in the mix. `right` tells whether it ended as it must. */
export interface Kind {
  name: string;
  code: string;
  options?: RunOptions;
  /** Once in so many rounds of the mix; default each. */
  every?: number;
  right(execution: Execution): boolean;
}

/** What a soak runs, over and over. */
export interface Mix {
  kinds: readonly Kind[];
  /** Goes before the code of each: raises when something of an earlier run is left. */
  check(kind: Kind): string;
  /** Runs after each of them. */
  probe: string;
  isClean(execution: Execution): boolean;
  /** Grows a worker's heap to `memoryBytes`. */
  largest: Kind;
}

export const isOk = (execution: Execution): boolean => execution.status === 'ok';
export const isValue =
  (value: unknown) =>
  (execution: Execution): boolean =>
    execution.status === 'ok' && JSON.stringify(execution.value) === JSON.stringify(value);

/** Raises when something of an earlier run is left. Each run of the mix begins with it, so no worker escapes it. */
function check(kind: Kind | undefined): string {
  const files = Object.keys(kind?.options?.files ?? {});
  return `\
import builtins as _b, gc as _gc, json as _j, os as _o, sys as _s
_left = [name for name, clean in {
    "globals": not [n for n in globals() if n.startswith("leak")],
    "builtins": not hasattr(_b, "leak") and repr(_b.print) == "<built-in function print>",
    "json": _j.dumps({"a": [1]}) == '{"a": [1]}' and not hasattr(_j, "leak"),
    "modules": "leak" not in _s.modules and type(_j).__name__ == "module" and "colorsys" not in _s.modules,
    "path": "/leak" not in _s.path,
    "hooks": _s.gettrace() is None and _s.excepthook is _s.__excepthook__,
    "environment": "LEAK" not in _o.environ,
    "folder": _o.listdir() == ${JSON.stringify(files)} and not _o.path.exists("/tmp/leak"),
    "gc": _gc.isenabled() and not _gc.callbacks,
    "streams": _s.stdout is _s.__stdout__ and not _s.stdout.closed,
    "limits": _s.getrecursionlimit() != 4321,
}.items() if not clean]
if _left:
    raise SystemError(f"left behind: {_left}")
del _b, _gc, _j, _o, _s, _left
`;
}

const memoryError: Kind = {
  name: 'memory error',
  code: 'x = []\nwhile True: x.append(bytearray(1 << 20))',
  options: { memoryBytes: 96 << 20 },
  right: (e) => e.status === 'oom',
};

export const poison = (name: string, code: string): Kind => ({ name, code, right: isOk });

const kinds: readonly Kind[] = [
  {
    name: 'value',
    code: '[i * i for i in range(50)]',
    right: (e) => Array.isArray(e.value) && e.value[49] === 2401,
  },
  { name: 'big value', code: '{str(i): [i, float(i)] for i in range(2000)}', right: isOk },
  {
    name: 'bytes',
    code: 'bytes(200_000)',
    right: (e) => e.value instanceof Uint8Array && e.value.length === 200_000,
  },
  {
    name: 'prints',
    code: 'for i in range(200):\n    print("line", i)',
    right: (e) => e.stdout.endsWith('line 199\n'),
  },
  {
    name: 'files',
    code: 'open("out.bin", "wb").write(open("given.bin", "rb").read() * 2)',
    options: { files: { 'given.bin': new Uint8Array(50_000) } },
    right: (e) => e.files.length === 1 && e.files[0]?.size === 100_000,
  },
  {
    name: 'module file',
    code: 'import given\ngiven.X',
    options: { files: { 'given.py': 'X = 7' } },
    right: isValue(7),
  },
  { name: 'globals', code: 'sum(given)', options: { globals: { given: [1, 2, 3] } }, right: isValue(6) },
  {
    name: 'await',
    code: 'import asyncio\nawait asyncio.gather(*(asyncio.sleep(0, i) for i in range(3)))',
    right: isValue([0, 1, 2]),
  },
  {
    name: 'exception',
    code: 'def f(n):\n    return 1 / n\nf(0)',
    right: (e) => e.error?.name === 'ZeroDivisionError',
  },
  { name: 'exit', code: 'import sys\nsys.exit(3)', right: (e) => e.exitCode === 3 },
  { name: 'syntax error', code: 'x = (', right: (e) => e.error?.name === 'SyntaxError' },
  { name: 'stdin', code: 'input()', options: { stdin: 'typed\nnot read' }, right: isValue('typed') },
  { name: 'memory', code: 'len(bytearray(30 << 20))', every: 5, right: isValue(30 << 20) },
  {
    name: 'recursion',
    code: 'def f(): f()\nf()',
    every: 5,
    right: (e) => e.error?.name === 'RecursionError',
  },
  { ...memoryError, every: 20 },
  {
    name: 'timeout',
    code: 'while True: pass',
    options: { timeoutMs: 40 },
    every: 10,
    right: (e) => e.status === 'timeout' && !e.worker.lost,
  },
  {
    name: 'timeout of an await',
    code: 'import asyncio\nawait asyncio.sleep(1000)',
    options: { timeoutMs: 40 },
    every: 10,
    right: (e) => e.status === 'timeout' && !e.worker.lost,
  },

  poison('global', 'leaked = list(range(10_000))'),
  poison('builtins', 'import builtins\nbuiltins.leak = 1\nbuiltins.print = lambda *a, **k: None'),
  poison(
    'sys.modules',
    'import sys, types\nsys.modules["json"] = sys.modules["leak"] = types.ModuleType("leak")',
  ),
  poison(
    'json',
    'import json\njson.leak = 1\njson.dumps = lambda *a, **k: "evil"\njson.JSONEncoder.item_separator = ";"',
  ),
  poison('import', 'import colorsys, sys\nsys.path.insert(0, "/leak")'),
  poison('hooks', 'import sys\nsys.excepthook = print\nsys.settrace(lambda *a: None)'),
  poison(
    'places',
    'import os\nos.environ["LEAK"] = "1"\nopen("/tmp/leak", "w").write("x" * 10_000)\nos.chdir("/")',
  ),
  poison('descriptors', 'leaked = [open(f"/tmp/leak{i}", "w") for i in range(20)]'),
  poison('streams', 'import sys\nsys.stdout.close()'),
  poison('gc', 'import gc\ngc.callbacks.append(lambda *a: print("LEAK"))\ngc.disable()'),
  poison('recursion limit', 'import sys\nsys.setrecursionlimit(4321)'),
  poison(
    'finalizers',
    'import atexit, weakref\nclass A:\n    def __del__(self): print("LEAK")\nleak = A()\nleak.me = leak\nweakref.finalize(leak, print, "LEAK")\natexit.register(print, "LEAK")',
  ),
  {
    name: 'task and timers',
    code: 'import asyncio\nasync def f():\n    while True:\n        await asyncio.sleep(0.001)\n        print("LEAK")\nleak = asyncio.ensure_future(f())\nasyncio.get_running_loop().call_later(0.002, print, "LEAK")\nawait asyncio.sleep(0)',
    right: isOk,
  },
];

/** A run that waits a moment, so that what an earlier one left to strike later would strike here. */
const probe = `${check(undefined)}import asyncio, gc\ngc.collect()\nprint("probe")\nawait asyncio.sleep(0.001)\nrepr(__import__("json").dumps({"a": 1}))`;

function isClean(execution: Execution): boolean {
  return (
    execution.status === 'ok' &&
    execution.stdout === 'probe\n' &&
    execution.stderr === '' &&
    execution.value === `'{"a": 1}'`
  );
}

export const stdlibMix: Mix = { kinds, check, probe, isClean, largest: memoryError };

export interface SoakSample {
  runs: number;
  /** All workers together, idle. */
  residentBytes: number;
  heapBytes: number;
}

export interface SoakReport {
  runs: number;
  seconds: number;
  /** Runs that ended otherwise than they must, and probes that found something: the first few, in words. */
  wrong: string[];
  wrongCount: number;
  /** Runs by how they ended. */
  statuses: Record<string, number>;
  samples: SoakSample[];
  restarts: number;
}

function explain(name: string, execution: Execution): string {
  const { status, stdout, stderr, error, text } = execution;
  return `${name}: ${JSON.stringify({ status, stdout: stdout.slice(0, 200), stderr: stderr.slice(0, 200), error: error?.message, text: text?.slice(0, 100) })}`;
}

/** Runs the mix until `count` runs are done: every second one a probe. Memory is sampled while nothing runs. */
export async function soak(
  runtime: Runtime,
  count: number,
  sampleEvery: number,
  { kinds, check, probe, isClean, largest }: Mix = stdlibMix,
): Promise<SoakReport> {
  const report: SoakReport = {
    runs: 0,
    seconds: 0,
    wrong: [],
    wrongCount: 0,
    statuses: {},
    samples: [],
    restarts: 0,
  };
  const start = performance.now();
  await runtime.warm();
  const restartsBefore = runtime.stats().restarts;

  const one = async (
    name: string,
    code: string,
    options: RunOptions,
    right: Kind['right'],
  ): Promise<void> => {
    const execution = await runtime.run(code, options);
    report.runs += 1;
    report.statuses[execution.status] = (report.statuses[execution.status] ?? 0) + 1;
    if (right(execution)) return;
    report.wrongCount += 1;
    if (report.wrong.length < 20) report.wrong.push(explain(name, execution));
  };

  let turn = 0;
  const lane = async (until: number): Promise<void> => {
    while (report.runs < until) {
      const index = turn % kinds.length;
      const round = Math.floor(turn / kinds.length);
      turn += 1;
      const kind = kinds[index];
      if (kind === undefined || round % (kind.every ?? 1) !== 0) continue;
      await one(kind.name, check(kind) + kind.code, kind.options ?? {}, kind.right);
      await one(`probe after ${kind.name}`, probe, {}, isClean);
    }
  };

  // A heap never shrinks. Each worker reaches its largest first: what grows after that is a leak.
  const { name, code, options = {}, right } = largest;
  const isSmall = ({ heapBytes }: WorkerStats): boolean => heapBytes < 0.9 * (options.memoryBytes ?? 0);
  while (runtime.stats().workers.some(isSmall)) {
    await Promise.all([1, 2].map(() => one(name, code, options, right)));
  }
  while (report.runs < count) {
    const until = Math.min(count, report.runs + sampleEvery);
    await Promise.all([lane(until), lane(until)]);
    await runtime.drain();
    const { workers } = runtime.stats();
    report.samples.push({
      runs: report.runs,
      residentBytes: workers.reduce((sum, { pid }) => sum + ((pid && residentBytes(pid)) || 0), 0),
      heapBytes: workers.reduce((sum, { heapBytes }) => sum + heapBytes, 0),
    });
  }
  report.seconds = (performance.now() - start) / 1000;
  report.restarts = runtime.stats().restarts - restartsBefore;
  return report;
}

export interface Growth {
  /** Medians of the second and of the last fifth of the samples. */
  early: number;
  late: number;
}

/** Medians against outliers of a collector; the first fifth is left out as warming up. */
export function growth(samples: readonly number[], median: (samples: readonly number[]) => number): Growth {
  const fifth = Math.floor(samples.length / 5);
  return {
    early: median(samples.slice(fifth, 2 * fifth)),
    late: median(samples.slice(-fifth)),
  };
}
