/**
 * What sessions cost: freezing, thawing, stored bytes and runs, beside cloudpickle in the same kernel; and a thousand sessions over four
 * workers, in SQLite and in Postgres. `node bench/sessions.ts [--quick]` writes a section of `docs/performance.md`.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createRuntime, type RuntimeOptions } from '../src/node.ts';
import type { Execution, Runtime } from '../src/runtime.ts';
import type { Session } from '../src/session.ts';
import { PostgresServer } from '../test/store/postgres-server.ts';
import { wheelFolder } from '../test/wheels.ts';
import { assertAnonymous, machine } from './machine.ts';
import { writeSection } from './report.ts';
import { Results } from './result.ts';
import { median, quantile, timed } from './stats.ts';

const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false } } });
const { quick } = values;
if (wheelFolder === undefined) throw new Error('no mirror of wheels: see test/wheels.ts');
const mirror = wheelFolder;
const kilobyte = 1000;

/** A state, and how many bytes of it are random. */
interface State {
  name: string;
  code: string;
  rawBytes?: number;
}

const objects =
  'class Point:\n    def __init__(self, n): self.x, self.y = n, str(n)\nx = [Point(n) for n in range(1000)]';
const array = (count: number): State => ({
  name: `random array of ${(count * 8) / 1e6} MB`,
  code: `import numpy as np\nx = np.random.default_rng().random(${count})`,
  rawBytes: count * 8,
});
const model = `from sklearn.ensemble import RandomForestClassifier
from sklearn.datasets import make_classification
X, y = make_classification(2000, 20, random_state=1)
x = RandomForestClassifier(50, random_state=1).fit(X, y)
del X, y`;
const states: Record<string, State[]> = {
  stdlib: [
    { name: 'x = 42', code: 'x = 42' },
    { name: '1000 objects', code: objects },
    { name: 'random bytes of 8 MB', code: 'import os\nx = os.urandom(8_000_000)', rawBytes: 8e6 },
  ],
  numpy: [
    { name: 'x = 42', code: 'x = 42' },
    { name: '1000 objects', code: objects },
    array(1e6),
    array(25e6),
  ],
  data: [{ name: 'x = 42', code: 'x = 42' }, array(1e6)],
  science: [{ name: 'a trained random forest', code: model }],
};

const results = new Results();
const folder = mkdtempSync(join(tmpdir(), 'vivarium-bench-'));

function check(execution: Execution): Execution {
  if (execution.status !== 'ok') throw new Error(`measured a failure: ${execution.error?.message}`);
  return execution;
}

const open = (options: RuntimeOptions): Promise<Runtime> =>
  createRuntime({
    engine: 'deno',
    size: 1,
    mirror,
    limits: { timeoutMs: 120_000, memoryBytes: 1024 * 2 ** 20 },
    recycle: { maxRequests: 1_000_000, maxHeapBytes: 4 * 2 ** 30 },
    ...options,
  });

/** Each round is another session: frozen in one worker, thawed in that of another runtime. */
async function measureStates(image: string): Promise<void> {
  const options: RuntimeOptions = {
    ...(image === 'stdlib' ? {} : { image }),
    sessions: { store: join(folder, image), durability: 'freeze', maxBytes: 4 * 2 ** 30 },
  };
  await using here = await open(options);
  await using there = await open(options);
  let thawMs = 0;
  there.subscribe((event) => {
    if (event.type === 'session:thaw') thawMs = event.ms;
  });
  for (const { name, code, rawBytes = 0 } of states[image] ?? []) {
    const rounds = quick ? 2 : rawBytes > 1e8 ? 4 : 12;
    const row = `${name}, ${image} image`;
    for (let round = 0; round < rounds; round += 1) {
      const id = `${name} ${round}`;
      const session = await here.session(id);
      check(await session.run(code));
      const freezeMs = await timed(() => session.freeze());
      await session.close();
      const [record] = (await here.sessions()).filter((each) => each.id === id);
      const thawed = await there.session(id, { create: false });
      const first = await timed(async () => check(await thawed.run('1')));
      // What the first rounds cost is cold code's.
      if (round >= 2 || quick) {
        results.add(`${row}: frozen`, 'vivarium', 'ms', [freezeMs]);
        results.add(`${row}: thawed`, 'vivarium', 'ms', [thawMs]);
        results.add(`${row}: frozen, and thawed on another worker`, 'vivarium', 'ms', [freezeMs + thawMs]);
        results.add(`${row}: stored`, 'vivarium', 'KB', [(record?.storedBytes ?? 0) / kilobyte]);
        results.add(`${row}: a run, frozen`, 'vivarium', 'ms', [first]);
        for (let run = 0; run < 10; run += 1)
          results.add(`${row}: a run, resident`, 'vivarium', 'ms', [
            await timed(async () => check(await thawed.run('1'))),
          ]);
      }
      await thawed.remove();
    }
  }
  await measureDurability(here, image);
}

async function measureDurability(runtime: Runtime, image: string): Promise<void> {
  const session = await runtime.session('durable', { durability: 'run' });
  check(await session.run('x = 42'));
  for (let run = 0; run < (quick ? 5 : 50); run += 1) {
    const ms = await timed(async () => check(await session.run('x += 1')));
    if (run >= 5 || quick)
      results.add(`x = 42, ${image} image: a run, resident, stored after it`, 'vivarium', 'ms', [ms]);
  }
  await session.remove();
}

const pickled = `import time
from joblib.externals import cloudpickle
def measure():
    kept = {k: v for k, v in globals().items() if not k.startswith("_") and k not in ("time", "cloudpickle", "measure")}
    start = time.perf_counter()
    data = cloudpickle.dumps(kept)
    dumped = time.perf_counter()
    cloudpickle.loads(data)
    return [1000 * (dumped - start), 1000 * (time.perf_counter() - dumped), len(data)]
measure()`;

async function measurePickles(): Promise<void> {
  for (const [image, packages] of [
    ['stdlib', ['joblib']],
    ['numpy', ['numpy', 'joblib']],
    ['science', undefined],
  ] as const) {
    await using runtime = await open(packages ? { packages } : { image });
    const [warm] = states[image] ?? [];
    for (const { name, code, rawBytes = 0 } of [warm, ...(states[image] ?? [])].filter(
      (one) => one !== undefined,
    )) {
      // Twice the array, its pickle and what was unpickled don't fit.
      if (rawBytes > 1e8) continue;
      for (let round = 0; round < (quick ? 2 : 10); round += 1) {
        const session = await runtime.session(`${name} ${round}`, { durability: 'freeze' });
        check(await session.run(code));
        const [dumps, loads, bytes] = check(await session.run(pickled)).value as number[];
        const row = `${name}, ${image} image`;
        if (round >= 1 || quick) {
          results.add(`${row}: frozen`, 'cloudpickle', 'ms', [dumps ?? Number.NaN]);
          results.add(`${row}: thawed`, 'cloudpickle', 'ms', [loads ?? Number.NaN]);
          results.add(`${row}: stored`, 'cloudpickle', 'KB', [(bytes ?? Number.NaN) / kilobyte]);
        }
        await session.remove();
      }
    }
  }
}

/** Each makes something, and then looks at it; True says it's as it was. */
const things: [what: string, make: string, look: string][] = [
  ['a generator half-way', 'def g():\n    yield 1\n    yield 2\nx = g()\nnext(x)', 'next(x) == 2'],
  [
    'a recursive closure',
    'def make():\n    n = 0\n    def f(k):\n        nonlocal n\n        n += 1\n        return n if k == 0 else f(k - 1)\n    return f\nx = make()\nx(3)',
    'x(0) == 5',
  ],
  [
    'an open file, and where it is',
    'x = open("f", "w+")\nx.write("one\\ntwo\\n")\nx.seek(4)',
    'x.readline() == "two\\n"',
  ],
  [
    'an open temporary file',
    'import tempfile\nx = tempfile.TemporaryFile("w+")\nx.write("a")',
    'x.seek(0) == 0 and x.read() == "a"',
  ],
  [
    'files of the working folder',
    'open("data.csv", "w").write("1,2")\nx = 1',
    'open("data.csv").read() == "1,2"',
  ],
  ['a lock that is held', 'import threading\nx = threading.Lock()\nx.acquire()', 'x.locked()'],
  [
    'a pending task',
    'import asyncio\nasync def f(): return 7\nx = asyncio.get_event_loop_policy().new_event_loop().create_task(f())',
    'x.get_loop().run_until_complete(x) == 7',
  ],
  [
    'a connection to a database in memory',
    'import sqlite3\nx = sqlite3.connect(":memory:")\nx.execute("create table t(a)")\nx.execute("insert into t values (3)")',
    'x.execute("select a from t").fetchone() == (3,)',
  ],
  ['a weak reference', 'import weakref\nclass A: pass\na = A()\nx = weakref.ref(a)', 'x() is a'],
  [
    'views that share their array’s memory',
    'import numpy as np\na = np.arange(9).reshape(3, 3)\nx = a.T',
    'a.__setitem__((0, 1), 99) is None and x[1, 0] == 99',
  ],
  [
    'a module made by hand, and imports',
    'import sys, types\nm = types.ModuleType("mine")\nm.v = 5\nsys.modules["mine"] = m\nx = m',
    '__import__("mine").v == 5 and x.v == 5',
  ],
  [
    'a patched module',
    'import json\njson.dumps = lambda value: "patched"\nx = 1',
    'json.dumps(1) == "patched"',
  ],
  ['a traceback', 'try: 1 / 0\nexcept ZeroDivisionError as e: x = e', 'x.__traceback__ is not None'],
  ['a pipe', 'import os\nx = os.pipe()', 'os.write(x[1], b"a") == 1 and os.read(x[0], 1) == b"a"'],
  ['a callback of ctypes', 'import ctypes\nx = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 4)', 'x() == 4'],
];

/** As peers do: what can't be pickled is left out, and the rest comes back in a new namespace. */
const pickleAll = `from joblib.externals import cloudpickle
import os
def save():
    kept = {}
    for name, value in list(globals().items()):
        if name.startswith("_") or name in ("cloudpickle", "save"):
            continue
        try:
            kept[name] = cloudpickle.dumps(value)
            cloudpickle.loads(kept[name])
        except BaseException:
            kept.pop(name, None)
    return cloudpickle.dumps(kept)
save()`;
const unpickleAll = `from joblib.externals import cloudpickle
globals().update({name: cloudpickle.loads(value) for name, value in cloudpickle.loads(bytes(saved)).items()})`;

async function compareThings(): Promise<string[]> {
  const options: RuntimeOptions = { packages: ['numpy', 'joblib'] };
  await using here = await open({ ...options, sessions: { store: join(folder, 'things') } });
  await using there = await open({ ...options, sessions: { store: join(folder, 'things') } });
  const lines: string[] = [];
  for (const [index, [what, make, look]] of things.entries()) {
    const ours = async (): Promise<string> => {
      const session = await here.session(`thing ${index}`, { durability: 'freeze' });
      check(await session.run(make));
      try {
        await session.freeze();
      } catch (error) {
        await session.remove();
        return `refused: ${((error as { details?: { objects?: string[] } }).details?.objects ?? []).join(', ')}`;
      }
      await session.close();
      const thawed = await there.session(`thing ${index}`, { create: false });
      const { value } = await thawed.run(look);
      await thawed.remove();
      return value === true ? 'yes' : 'no';
    };
    const pickle = async (): Promise<string> => {
      const from = await here.session(`pickled ${index}`, { durability: 'freeze' });
      check(await from.run(make));
      const saved = check(await from.run(pickleAll)).value;
      await from.remove();
      const to = await there.session(`pickled ${index}`, { durability: 'freeze' });
      const back = await to.run(unpickleAll, { globals: { saved } });
      const { value } = await to.run(look);
      await to.remove();
      return back.status === 'ok' && value === true ? 'yes' : 'no';
    };
    lines.push(`| ${what} | ${await ours()} | ${await pickle()} |`);
  }
  return lines;
}

/** By Zipf's law: the first is asked for most. */
function zipf(count: number, random: () => number): () => number {
  let sum = 0;
  const sums = Array.from({ length: count }, (_, rank) => {
    sum += 1 / (rank + 1);
    return sum;
  });
  return () => {
    const at = random() * sum;
    return Math.min(
      sums.findIndex((upTo) => at < upTo),
      count - 1,
    );
  };
}

/** The same in every run. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const [sessionCount, accesses, workers] = quick ? [50, 100, 4] : [1000, 4000, 4];

async function measureMany(name: string, store: string): Promise<string> {
  await using runtime = await open({ size: workers, sessions: { store, maxCount: 10_000 } });
  let thaws = 0;
  runtime.subscribe((event) => {
    if (event.type === 'session:thaw') thaws += 1;
  });
  await runtime.warm();
  const sessions: Session[] = [];
  for (let index = 0; index < sessionCount; index += 1) sessions.push(await runtime.session(`s${index}`));
  const next = zipf(sessionCount, randomOf(1));
  const counts = new Array<number>(sessionCount).fill(0);
  const latencies: number[] = [];
  const startedAt = performance.now();
  let left = accesses;
  const user = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const index = next();
      const session = sessions[index];
      if (session === undefined) throw new Error('no session');
      const started = performance.now();
      const { value } = check(await session.run('n = globals().get("n", 0) + 1\nn'));
      latencies.push(performance.now() - started);
      counts[index] = (counts[index] ?? 0) + 1;
      // Those of one session are in their order; of two users it may be the other's turn that is told first.
      if (typeof value !== 'number' || value < 1) throw new Error('measured a lost run');
    }
  };
  await Promise.all(Array.from({ length: workers }, user));
  const seconds = (performance.now() - startedAt) / 1000;
  for (const { pid } of runtime.stats().workers) if (pid !== undefined) results.workerPids.add(pid);
  for (const [index, count] of counts.entries()) {
    if (count === 0 || index % 50 !== 0) continue;
    const { value } = check(await (sessions[index] as Session).run('n'));
    if (value !== count) throw new Error(`session ${index} has ${String(value)} runs, not ${count}`);
  }
  const used = (await runtime.sessions()).filter(({ revision }) => revision > 0);
  const bytes = median(used.map(({ storedBytes }) => storedBytes));
  results.add(`1000 sessions, 4 workers: a run`, `vivarium (${name})`, 'ms', latencies);
  const cells = [
    name,
    `${median(latencies).toFixed(1)} ms`,
    `${quantile(latencies, 0.99).toFixed(0)} ms`,
    `${(accesses / seconds).toFixed(0)} runs/s`,
    `${((1 - thaws / accesses) * 100).toFixed(0)} %`,
    `${(bytes / kilobyte).toFixed(1)} KB`,
    String(used.length),
  ];
  return `| ${cells.join(' | ')} |`;
}

const figure = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

function statesTable(): string[] {
  const rows = results.rows();
  const find = (scenario: string, subject: string): string => {
    const row = rows.find((each) => each.scenario === scenario && each.subject === subject);
    return row === undefined ? '–' : `${figure(row.median)} (${figure(row.n >= 100 ? row.p99 : row.max)})`;
  };
  return Object.entries(states).flatMap(([image, list]) =>
    list.map(({ name }) => {
      const row = `${name}, ${image} image`;
      const ours = [
        'frozen',
        'thawed',
        'frozen, and thawed on another worker',
        'stored',
        'a run, frozen',
        'a run, resident',
      ];
      const theirs = ['frozen', 'thawed', 'stored'];
      const cells = [
        ...ours.map((what) => find(`${row}: ${what}`, 'vivarium')),
        ...theirs.map((what) => find(`${row}: ${what}`, 'cloudpickle')),
      ];
      return `| ${row} | ${cells.join(' | ')} |`;
    }),
  );
}

function verdicts(): string[] {
  const rows = results.rows();
  const of = (scenario: string): number =>
    rows.find((row) => row.scenario === scenario && row.subject === 'vivarium')?.median ?? Number.NaN;
  const said = (met: boolean): string => (met ? 'yes' : '**no**');
  const both = of('x = 42, stdlib image: frozen, and thawed on another worker');
  const stored = of('x = 42, stdlib image: stored');
  const worst = Object.entries(states).flatMap(([image, list]) =>
    list
      .filter(({ rawBytes }) => rawBytes !== undefined)
      .map(({ name, rawBytes = 1 }) => (of(`${name}, ${image} image: stored`) * kilobyte) / rawBytes),
  );
  const largest = Math.max(...worst);
  return [
    `\`x = 42\` frozen, and thawed on another worker: ${both.toFixed(1)} ms (goal: ≤ 40 ms; met: ${said(both <= 40)}). Stored: ${stored.toFixed(1)} KB (goal: ≤ 100 KB; met: ${said(stored <= 100)}).`,
    `Random arrays take at most ${largest.toFixed(2)} times their bytes (goal: ≤ 1.2; met: ${said(largest <= 1.2)}).`,
  ];
}

try {
  for (const image of Object.keys(states)) {
    console.error(`measuring: ${image}`);
    await measureStates(image);
  }
  console.error('measuring: cloudpickle');
  await measurePickles();
  console.error('measuring: what each can keep');
  const kept = await compareThings();
  console.error('measuring: many sessions');
  const many = [await measureMany('sqlite', join(folder, 'many'))];
  {
    await using server = await PostgresServer.start();
    many.push(await measureMany('postgres', await server.database()));
  }
  const rows = results.rows();
  const durable = rows.filter(({ scenario }) => scenario.endsWith('stored after it'));
  const text = [
    'Medians in milliseconds and kilobytes, in brackets the p99 (of less than a hundred samples, the largest). *Frozen* is `session.freeze()` with storing in SQLite.',
    '',
    '| state | frozen | thawed | both, on another worker | stored KB | a run, frozen | a run, resident | cloudpickle dumps | loads | KB |',
    '|---|---|---|---|---|---|---|---|---|---|',
    ...statesTable(),
    '',
    ...verdicts(),
    '',
    "With `durability: 'run'` each run is stored before it is told as finished:",
    '',
    '| a run, resident, stored after it | median | p99 or largest |',
    '|---|---|---|',
    ...durable.map(
      (row) =>
        `| ${row.scenario.split(':')[0]} | ${figure(row.median)} ms | ${figure(row.n >= 100 ? row.p99 : row.max)} ms |`,
    ),
    '',
    '| what | a session keeps it | cloudpickle keeps it |',
    '|---|---|---|',
    ...kept,
    '',
    `${sessionCount} sessions over ${workers} workers, ${accesses} runs by Zipf’s law from ${workers} callers at a time, each run stored:`,
    '',
    '| store | median | p99 | throughput | runs that found their session resident | stored, a session | sessions used |',
    '|---|---|---|---|---|---|---|',
    ...many,
  ].join('\n');
  console.log(text);
  if (!quick) {
    const date = new Date().toISOString().slice(0, 10);
    const pids = { main: process.pid, workers: [...results.workerPids] };
    const json = `${JSON.stringify({ format: 1, date, quick, machine: machine(), pids, rows, skipped: [] })}\n`;
    assertAnonymous(json);
    writeFileSync(new URL(`results/sessions-${date}.json`, import.meta.url), json);
    writeSection('sessions', text);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
