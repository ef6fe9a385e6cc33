/**
 * What the hardening costs: clean runs and boots of this build, with and without `sandbox: 'os'`, beside those of another
 * build, such as one from before it: `node bench/hardening.ts --against <folder of a checkout that is built>`. Samples of all are interleaved.
 */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import type { RuntimeOptions } from '../src/pool/runtime-options.ts';
import type { Runtime } from '../src/runtime.ts';
import { assertAnonymous, machine } from './machine.ts';
import { writeSection } from './report.ts';
import { Results } from './result.ts';
import { pause } from './scenarios.ts';
import { samples, timed } from './stats.ts';

const { values } = parseArgs({
  options: { against: { type: 'string' }, quick: { type: 'boolean', default: false } },
});

type Build = { createRuntime(options: RuntimeOptions): Promise<Runtime> };

/** As published: both builds are measured alike. */
const load = (folder: string): Promise<Build> => import(pathToFileURL(resolve(folder, 'dist/node.js')).href);

const here = await load(fileURLToPath(new URL('..', import.meta.url)));
const subjects: [name: string, build: Build, options: RuntimeOptions][] = [
  ['this build', here, {}],
  ['this build, sandbox: os', here, { sandbox: 'os' }],
];
if (values.against !== undefined) subjects.unshift(['before the hardening', await load(values.against), {}]);

const results = new Results();
const rounds = values.quick ? 2 : 10;
const each = values.quick ? 20 : 100;

const run = (runtime: Runtime, code: string, value: unknown): Promise<number> =>
  timed(async () => {
    const execution = await runtime.run(code);
    if (execution.value !== value) throw new Error(`measured a failure: ${execution.status}`);
  });

for (const image of [true, 'numpy'] as const) {
  const [what, code, value] =
    image === true
      ? (['1+1, stdlib image', '1+1', 2] as const)
      : ([
          'numpy, numpy image',
          'import numpy as np\nfloat((np.arange(1000.0) * 2 + 1).sum())',
          1_000_000,
        ] as const);
  const runtimes = await Promise.all(
    subjects.map(async ([name, build, options]) => {
      const runtime = await build.createRuntime({
        ...options,
        image,
        size: 1,
        recycle: { maxRequests: 1_000_000 },
      });
      return { name, runtime };
    }),
  );
  for (const { runtime } of runtimes) {
    await runtime.warm();
    for (let i = 0; i < 100; i += 1) await run(runtime, code, value);
    for (const { pid } of runtime.stats().workers) if (pid !== undefined) results.workerPids.add(pid);
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const { name, runtime } of runtimes) {
      const waiting = await samples(each, async () => {
        await pause(5);
        return run(runtime, code, value);
      });
      results.add(`${what}, a clean worker waits`, name, 'ms', waiting);
      results.add(`${what}, back to back`, name, 'ms', await samples(each, () => run(runtime, code, value)));
    }
  }
  for (const { runtime } of runtimes) await runtime.close();
}
for (let round = 0; round < (values.quick ? 2 : 15); round += 1) {
  for (const [name, build, options] of subjects) {
    const runtime = await build.createRuntime({ ...options, size: 1 });
    results.add('boot of a worker, stdlib image', name, 'ms', [await timed(() => run(runtime, '1+1', 2))]);
    await runtime.close();
  }
}

const rows = results.rows();
const baseline = subjects[0]?.[0];
const lines = rows.map(({ scenario, subject, median, p99, n, max }) => {
  const base =
    rows.find((row) => row.scenario === scenario && row.subject === baseline)?.median ?? Number.NaN;
  const more = subject === baseline ? '' : `${((median / base - 1) * 100).toFixed(1)} %`;
  const high = n >= 100 ? p99.toFixed(2) : `max ${max.toFixed(2)}`;
  return `| ${scenario} | ${subject} | ${median.toFixed(2)} ms | ${high} | ${n} | ${more} |`;
});
const text = ['| what | which | median | p99 | n | more |', '|---|---|---|---|---|---|', ...lines].join('\n');
console.log(text);
if (!values.quick && values.against !== undefined) {
  const date = new Date().toISOString().slice(0, 10);
  const pids = { main: process.pid, workers: [...results.workerPids] };
  const json = `${JSON.stringify({ format: 1, date, quick: false, machine: machine(), pids, rows, skipped: [] })}\n`;
  assertAnonymous(json);
  writeFileSync(new URL(`results/hardening-${date}.json`, import.meta.url), json);
  writeSection('hardening', text);
}
