import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createRuntime } from '../src/node.ts';
import { growth, soak, stdlibMix } from '../test/soak/mix.ts';
import { packagesMix } from '../test/soak/packages-mix.ts';
import { assertAnonymous, machine } from './machine.ts';
import { writeSection } from './report.ts';
import { median } from './stats.ts';

const { values } = parseArgs({
  options: { runs: { type: 'string' }, packages: { type: 'boolean', default: false } },
});
// What `docs/performance.md` tells.
const recorded = values.packages ? 2000 : 10_000;
const runs = Number(values.runs ?? recorded);
const section = values.packages ? 'soak-packages' : 'soak';

await using runtime = await createRuntime({
  engine: 'deno',
  ...(values.packages ? { image: 'data' } : {}),
  size: 2,
  maxQueue: 16,
  recycle: { maxRequests: 10 * runs },
});
const report = await soak(
  runtime,
  runs,
  Math.max(20, Math.floor(runs / 50)),
  values.packages ? packagesMix() : stdlibMix,
);
const workers = runtime.stats().workers.flatMap((worker) => worker.pid ?? []);
const pids = { main: process.pid, workers };
const resident = growth(
  report.samples.map((sample) => sample.residentBytes),
  median,
);
const heap = growth(
  report.samples.map((sample) => sample.heapBytes),
  median,
);

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const ends = Object.entries(report.statuses).map(([status, count]) => `${count} ${status}`);
const text = [
  `${report.runs} mixed runs${values.packages ? ' with packages' : ''} on one pool of 2 Deno workers, none of them recycled, in ${report.seconds.toFixed(0)} s: ${ends.join(', ')}.`,
  `Runs that ended otherwise than they must, or found something of another run: ${report.wrongCount}. Workers lost: ${report.restarts}.`,
  '',
  '| both workers together, idle | median of the second fifth | median of the last fifth |',
  '|---|---|---|',
  `| resident memory | ${mib(resident.early)} | ${mib(resident.late)} |`,
  `| Python's heap | ${mib(heap.early)} | ${mib(heap.late)} |`,
].join('\n');
console.log(text);
for (const line of report.wrong) console.error(line);
if (report.wrongCount > 0) process.exitCode = 1;
else if (runs >= recorded) {
  const date = new Date().toISOString().slice(0, 10);
  const json = `${JSON.stringify({ format: 1, date, machine: machine(), pids, ...report })}\n`;
  assertAnonymous(json);
  writeFileSync(new URL(`results/${section}-${date}.json`, import.meta.url), json);
  writeSection(section, text);
}
