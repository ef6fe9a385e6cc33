import { fileURLToPath } from 'node:url';
import { createRuntime } from '../src/node.ts';
import type { RuntimeOptions } from '../src/pool/runtime-options.ts';
import type { Execution, Runtime, RuntimeEvent } from '../src/runtime.ts';
import { totalMemory } from './memory.ts';
import {
  command,
  forkServer,
  hasPython,
  type Peer,
  pythonProcess,
  stockPyodideProcess,
  warmPyodide,
} from './peers/peers.ts';
import type { Results } from './result.ts';
import { samples, timed } from './stats.ts';

export interface Bench {
  results: Results;
  /** Fewer samples: to see that everything works, not to publish. */
  quick: boolean;
}

export const product = 'vivarium (deno)';
export const names = {
  stock: 'stock Pyodide, booted per run',
  warm: 'stock Pyodide, kept warm, never cleaned',
  python: 'CPython process per run',
  fork: 'CPython fork server',
};
const noPython = 'python3 was not found';
const megabyte = 1e6;

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function expectValue(execution: Execution, value: unknown): void {
  if (execution.status !== 'ok' || execution.value !== value) {
    throw new Error(`measured a failure: ${execution.status} ${execution.error?.message ?? ''}`);
  }
}

/** A runtime of `size` workers, all of them booted and past their first run. */
async function warmRuntime(bench: Bench, size: number, options: RuntimeOptions = {}): Promise<Runtime> {
  const runtime = await createRuntime({
    engine: 'deno',
    size,
    maxQueue: 100,
    recycle: { maxRequests: 1_000_000 },
    ...options,
  });
  await runtime.warm();
  while (runtime.stats().workers.filter((worker) => worker.runs > 0).length < size) {
    await Promise.all(Array.from({ length: size }, () => runtime.run('1')));
  }
  for (let i = 0; i < 60 * size; i += 1) await runtime.run('1');
  await pause(100);
  for (const { pid } of runtime.stats().workers) if (pid !== undefined) bench.results.workerPids.add(pid);
  return runtime;
}

const cleanRun = async (runtime: Runtime): Promise<number> =>
  await timed(async () => expectValue(await runtime.run('1+1'), 2));

/** Process start to exit. Interleaved, so that a slow minute of the machine hits all alike. */
export async function coldCommandLine({ results, quick }: Bench): Promise<void> {
  const scenario = 'cold command line';
  const bin = fileURLToPath(new URL('../bin/vivarium.js', import.meta.url));
  const python = hasPython() ? pythonProcess() : undefined;
  const stock = stockPyodideProcess();
  const args = ['run', '-c', 'print(1)'];
  await command(process.execPath, [bin, ...args]);
  if (python === undefined) results.skip(scenario, names.python, noPython);
  for (let round = 0; round < (quick ? 2 : 20); round += 1) {
    results.add(scenario, product, 'ms', [
      await timed(async () => {
        const stdout = await command(process.execPath, [bin, ...args]);
        if (stdout !== '1\n') throw new Error(`printed ${JSON.stringify(stdout)}`);
      }),
    ]);
    if (python !== undefined) {
      results.add(scenario, names.python, 'ms', [await timed(() => python.run('print(1)'))]);
    }
    if (round < 10) results.add(scenario, names.stock, 'ms', [await timed(() => stock.run('print(1)'))]);
  }
}

/** One run at a time, beside the peers. */
export async function latency(bench: Bench): Promise<void> {
  const { results, quick } = bench;
  const rounds = quick ? 2 : 5;
  const each = quick ? 20 : 100;
  await using runtime = await warmRuntime(bench, 1);
  await using kept = await warmRuntime(bench, 1, { isolation: 'none' });
  await using warm = await warmPyodide();
  await using stock = stockPyodideProcess();
  const python = hasPython() ? { process: pythonProcess(), fork: await forkServer() } : undefined;
  const peerRun = async (peer: Peer): Promise<number> => await timed(() => peer.run('1+1'));

  for (let i = 0; i < each; i += 1) await warm.run('1+1');
  for (let round = 0; round < rounds; round += 1) {
    results.add(
      'clean run, a clean worker waits',
      product,
      'ms',
      await samples(each, async () => {
        await pause(5);
        return await cleanRun(runtime);
      }),
    );
    results.add(
      'clean run, after 50 ms of idleness',
      product,
      'ms',
      await samples(each / 2, async () => {
        await pause(50);
        return await cleanRun(runtime);
      }),
    );
    results.add('clean run, back to back', product, 'ms', await samples(each * 2, () => cleanRun(runtime)));
    results.add('warm call, state kept', product, 'ms', await samples(each * 2, () => cleanRun(kept)));
    results.add('warm call, state kept', names.warm, 'ms', await samples(each * 2, () => peerRun(warm)));
    results.add('clean run, a clean worker waits', names.stock, 'ms', await samples(2, () => peerRun(stock)));
    if (python === undefined) continue;
    results.add(
      'clean run, a clean worker waits',
      names.fork,
      'ms',
      await samples(each, async () => {
        await pause(5);
        return await peerRun(python.fork);
      }),
    );
    results.add(
      'clean run, after 50 ms of idleness',
      names.fork,
      'ms',
      await samples(each / 2, async () => {
        await pause(50);
        return await peerRun(python.fork);
      }),
    );
    results.add('clean run, back to back', names.fork, 'ms', await samples(each, () => peerRun(python.fork)));
    results.add(
      'clean run, back to back',
      names.python,
      'ms',
      await samples(quick ? 5 : 20, () => peerRun(python.process)),
    );
  }
  if (python === undefined) {
    results.skip('clean run, back to back', names.python, noPython);
    results.skip('clean run, back to back', names.fork, noPython);
  }
  await python?.fork[Symbol.asyncDispose]();
}

/** Clean runs a second with the queue never empty. */
export async function throughput(bench: Bench): Promise<void> {
  for (const size of [1, 2, 4]) {
    await using runtime = await warmRuntime(bench, size);
    const runs = bench.quick ? 100 : 600;
    const perSecond = await samples(bench.quick ? 2 : 5, async () => {
      let left = runs;
      const lane = async (): Promise<void> => {
        while (left > 0) {
          left -= 1;
          expectValue(await runtime.run('1+1'), 2);
        }
      };
      const ms = await timed(() => Promise.all(Array.from({ length: size * 2 }, lane)));
      return runs / (ms / 1000);
    });
    bench.results.add(`throughput, ${size} worker${size > 1 ? 's' : ''}`, product, 'runs/s', perSecond);
  }
}

/** From `kill -9` of an idle worker: until its successor is ready, and until a run that waits for it has its result. */
export async function replacement(bench: Bench): Promise<void> {
  await using runtime = await warmRuntime(bench, 1, { spares: 0 });
  const next = (type: RuntimeEvent['type']): Promise<void> =>
    new Promise((resolve) => {
      const stop = runtime.subscribe((event) => {
        if (event.type !== type) return;
        stop();
        resolve();
      });
    });
  const kill = async (): Promise<void> => {
    const { pid } = (await runtime.run('1')).worker;
    if (pid === undefined) throw new Error('a deno worker has a process');
    process.kill(pid, 'SIGKILL');
  };
  // A pool without runs keeps no program alive.
  const alive = setInterval(() => {}, 1000);
  for (let round = 0; round < (bench.quick ? 2 : 15); round += 1) {
    const ready = next('worker:start');
    await kill();
    bench.results.add('worker replaced after kill -9, until ready', product, 'ms', [
      await timed(() => ready),
    ]);

    const gone = next('worker:exit');
    await kill();
    const ms = await timed(async () => {
      await gone;
      expectValue(await runtime.run('1+1'), 2);
    });
    bench.results.add('worker replaced after kill -9, until a waiting run ended', product, 'ms', [ms]);
  }
  clearInterval(alive);
}

/** Worker processes that have run and wait. */
export async function residentMemory(bench: Bench): Promise<void> {
  for (const size of [1, 3]) {
    const what = `resident memory, ${size} idle worker${size > 1 ? 's' : ''}`;
    for (let round = 0; round < (bench.quick ? 1 : 3); round += 1) {
      await using runtime = await warmRuntime(bench, size, { spares: 0 });
      await pause(bench.quick ? 100 : 2000);
      const pids = runtime.stats().workers.flatMap((worker) => worker.pid ?? []);
      const memory = totalMemory(pids);
      if (memory === undefined) {
        bench.results.skip(what, product, 'this system has no smaps_rollup');
        break;
      }
      bench.results.add(`${what} (PSS)`, product, 'MB', [memory.pss / megabyte]);
      bench.results.add(`${what} (RSS)`, product, 'MB', [memory.rss / megabyte]);
    }
  }
}
