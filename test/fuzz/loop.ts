/** The thread that fuzzes one target. What it tries lies in shared memory, for the thread that watches it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { Coverage } from './coverage.ts';
import { type Material, mutateBytes, mutateJson, pump, randomOf } from './mutate.ts';
import { bytesOf, check, type Target } from './target.ts';
import type { FromLoop, LoopData } from './watch.ts';

const { module, corpusDir, seconds, seed, shared } = workerData as LoopData;
const words = new Int32Array(shared, 0, 2);
const current = new Uint8Array(shared, 8);

/** Of processor time, for one input. */
const slowMs = 2000;
const batchMs = 50;
const batchInputs = 300;
const singleInputs = 6;
const minimiseMs = 4000;
const maxFailures = 5;
/** Larger inputs than this aren't kept for how often a block ran: longer ones always run some more often. */
const maxLoopBytes = 4096;

const tell = (message: FromLoop): void => parentPort?.postMessage(message);
const coverage = new Coverage((url) => url === module || /\/src\/|\/node_modules\/smol-toml\//.test(url));
const target = (await import(module)) as Target;
const random = randomOf(seed);
const corpus: Uint8Array[] = [];
const material: Material = {
  random,
  corpus,
  words: target.dictionary.map(bytesOf),
  maxBytes: target.maxBytes ?? 65_536,
};
const known = new Set<string>();
let execs = 0;
let fruitless = 0;

const inputs = [...target.seeds, ...readCorpus()];
for (const input of inputs) {
  await attempt(input);
  corpus.push(input);
}
coverage.news();
const end = performance.now() + 1000 * seconds;
for (let round = 1; performance.now() < end && known.size < maxFailures; round++) {
  // One at a time costs a hundred times as much, and tells how often each block ran.
  await (round % 4 === 0 ? singles() : batch());
}
const { user, system } = process.threadCpuUsage();
tell({
  kind: 'done',
  execs,
  cpuSeconds: (user + system) / 1e6,
  percent: coverage.percent(target.sources),
  corpus: corpus.length,
});

function readCorpus(): Uint8Array[] {
  try {
    return readdirSync(corpusDir)
      .sort()
      .map((file) => new Uint8Array(readFileSync(join(corpusDir, file))));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function next(): Uint8Array {
  // The later half is what was found last.
  const from = random(2) === 0 ? corpus.length >> 1 : 0;
  const candidates = [0, 1].map(() => corpus[from + random(corpus.length - from)] ?? new Uint8Array());
  // Small ones are quicker, and more of their bytes matter.
  candidates.sort((a, b) => a.length - b.length);
  const parent = candidates[random(5) === 0 ? 1 : 0] ?? new Uint8Array();
  const way = random(100);
  if (way === 0) return pump(parent, material);
  if (way < 40) {
    const made = target.mutate?.(parent, random);
    if (made !== undefined && made.length <= material.maxBytes) return made;
  }
  return (
    (way < 75 && target.json ? mutateJson(parent, material) : undefined) ?? mutateBytes(parent, material)
  );
}

async function batch(): Promise<void> {
  const tried: Uint8Array[] = [];
  for (const until = performance.now() + batchMs; performance.now() < until && tried.length < batchInputs; ) {
    const input = next();
    tried.push(input);
    await attempt(input);
  }
  // What no input of a batch shows by itself, of code that runs at times of its own, is taken for known in the end.
  const keep = fruitless > 2;
  if (!coverage.news({ keep }) || keep) {
    fruitless = 0;
    return;
  }
  fruitless++;
  for (const input of tried) {
    await attempt(input);
    if (!coverage.news()) continue;
    corpus.push(input);
    fruitless = 0;
  }
}

async function singles(): Promise<void> {
  for (let tried = 0; tried < singleInputs; tried++) {
    const input = next();
    await attempt(input);
    if (coverage.news({ counts: true }) && input.length <= maxLoopBytes) corpus.push(input);
  }
}

async function attempt(input: Uint8Array): Promise<void> {
  const failure = await run(input);
  if (failure === undefined || known.has(failure.signature)) return;
  known.add(failure.signature);
  const small = await minimised(input, failure.signature);
  tell({ kind: 'failure', input: small, why: (await run(small))?.text ?? failure.text });
}

interface Failure {
  /** The same for the same fault. */
  signature: string;
  text: string;
}

async function run(input: Uint8Array): Promise<Failure | undefined> {
  current.set(input);
  words[1] = input.length;
  Atomics.add(words, 0, 1);
  execs += 1;
  const before = performance.now();
  const cpu = process.threadCpuUsage();
  try {
    // A copy, for what the target does to it.
    await check(target, new Uint8Array(input));
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? String(error)) : String(error);
    const place = text.split('\n').find((line) => /\/(src|targets)\//.test(line)) ?? '';
    const [first = ''] = text.split('\n', 1);
    return { signature: `${first.replace(/\d+|".*/g, '').slice(0, 80)} ${place.trim()}`, text };
  }
  if (performance.now() - before < slowMs) return undefined;
  const { user, system } = process.threadCpuUsage(cpu);
  const ms = (user + system) / 1000;
  return ms < slowMs ? undefined : { signature: 'slow', text: `took ${Math.round(ms)} ms of processor time` };
}

/** Without the pieces that the fault doesn't need. */
async function minimised(input: Uint8Array, signature: string): Promise<Uint8Array> {
  let small = input;
  if (signature === 'slow') return small;
  const until = performance.now() + minimiseMs;
  for (let size = small.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < small.length && performance.now() < until; ) {
      const without = Buffer.concat([small.subarray(0, at), small.subarray(at + size)]);
      if ((await run(new Uint8Array(without)))?.signature === signature) small = new Uint8Array(without);
      else at += size;
    }
  }
  return small;
}
