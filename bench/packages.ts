import { statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createRuntime } from '../src/node.ts';
import type { RuntimeOptions } from '../src/pool/runtime-options.ts';
import type { Runtime, RuntimeEvent } from '../src/runtime.ts';
import { wheelFolder } from '../test/wheels.ts';
import { totalMemory } from './memory.ts';
import { command, nativePackagesProcess, stockPackagesProcess, warmPackages } from './peers/peers.ts';
import { type Bench, names, pause, product } from './scenarios.ts';
import { samples, timed } from './stats.ts';

const native = 'CPython process per run, native packages';
const noNative = 'the tests’ Python environment was not found';
const figurePackages = ['numpy', 'matplotlib', 'pandas', 'pillow'];

/** Ends in the value that shows it worked. */
const work = {
  simple: '1+1',
  numpy: 'import numpy as np\na = np.arange(1000.0)\nfloat((a * 2 + 1).sum())',
  figure: `import io
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
axes.plot([1, 2, 3], [2, 3, 5], label="growth")
axes.set_title("A figure")
axes.legend()
file = io.BytesIO()
figure.savefig(file, format="png")
plt.close(figure)
file.getvalue()[:4] == b"\\x89PNG"`,
} as const;
type Work = keyof typeof work;
const expected: Record<Work, unknown> = { simple: 2, numpy: 1_000_000, figure: true };

/** A program that runs the same code and says nothing. */
const asScript = (name: Work): string => `${work[name]}\n`;

function mirror(): string {
  if (wheelFolder === undefined) throw new Error('no mirror of wheels: see test/wheels.ts');
  return wheelFolder;
}

const imageRuntime = (options: RuntimeOptions): Promise<Runtime> =>
  createRuntime({
    engine: 'deno',
    size: 1,
    spares: 0,
    mirror: mirror(),
    recycle: { maxRequests: 1_000_000, maxHeapBytes: 4 * 2 ** 30 },
    ...options,
  });

async function run(runtime: Runtime, name: Work): Promise<number> {
  return await timed(async () => {
    const execution = await runtime.run(work[name]);
    if (execution.status !== 'ok' || execution.value !== expected[name])
      throw new Error(`measured a failure: ${execution.error?.message ?? String(execution.value)}`);
  });
}

async function warm(bench: Bench, runtime: Runtime, name: Work): Promise<void> {
  await runtime.warm();
  for (let i = 0; i < 20; i += 1) await run(runtime, name);
  for (const { pid } of runtime.stats().workers) if (pid !== undefined) bench.results.workerPids.add(pid);
}

/** Process start to exit, the image built. */
export async function coldPackages({ results, quick }: Bench): Promise<void> {
  const bin = fileURLToPath(new URL('../bin/vivarium.js', import.meta.url));
  const python = nativePackagesProcess();
  const cases = [
    ['cold command line, numpy', 'numpy', 'numpy', ['numpy']],
    ['cold command line, matplotlib PNG', 'data', 'figure', figurePackages],
  ] as const;
  for (const [scenario, image, name, packages] of cases) {
    const args = [bin, 'run', '--quiet', '--mirror', mirror(), '--image', image, '-c', asScript(name)];
    const stock = stockPackagesProcess(mirror(), packages);
    await command(process.execPath, args);
    if (python === undefined) results.skip(scenario, native, noNative);
    for (let round = 0; round < (quick ? 2 : 15); round += 1) {
      results.add(scenario, product, 'ms', [await timed(() => command(process.execPath, args))]);
      if (python) results.add(scenario, native, 'ms', [await timed(() => python.run(asScript(name)))]);
      if (round < 8) results.add(scenario, names.stock, 'ms', [await timed(() => stock.run(asScript(name)))]);
    }
  }
}

/** The operations by which pools of this kind are measured; each from a clean state, but for the kept one. */
export async function packageLatency(bench: Bench): Promise<void> {
  const { results, quick } = bench;
  const each = quick ? 10 : 100;
  await using peer = await warmPackages(mirror(), figurePackages);
  for (const [image, name] of [
    ['numpy', 'simple'],
    ['numpy', 'numpy'],
    ['data', 'simple'],
    ['data', 'figure'],
  ] as const) {
    const count = name === 'figure' ? Math.ceil(each / 4) : each;
    {
      await using runtime = await imageRuntime({ image });
      await warm(bench, runtime, name);
      // Longer than the rewind, and no longer than it has to be: who sleeps wakes slowly.
      const rest = image === 'data' ? 30 : 8;
      const waiting = await samples(count, async () => {
        await pause(rest);
        return await run(runtime, name);
      });
      results.add(`${name} from the ${image} image, a clean worker waits`, product, 'ms', waiting);
      const busy = await samples(count * 2, () => run(runtime, name));
      results.add(`${name} from the ${image} image, back to back`, product, 'ms', busy);
    }
    {
      await using kept = await imageRuntime({ image, isolation: 'none' });
      await warm(bench, kept, name);
      const calls = await samples(count * 2, () => run(kept, name));
      results.add(`${name} from the ${image} image, state kept`, product, 'ms', calls);
    }
    for (let i = 0; i < 5; i += 1) await peer.run(work[name]);
    const calls = await samples(count, () => timed(() => peer.run(work[name])));
    results.add(`${name} from the ${image} image, state kept`, names.warm, 'ms', calls);
  }
}

/** A worker that has just been restored, against the same one later. */
export async function firstCall({ results, quick }: Bench): Promise<void> {
  for (const [image, name] of [
    ['numpy', 'numpy'],
    ['data', 'figure'],
  ] as const) {
    for (let round = 0; round < (quick ? 1 : 5); round += 1) {
      await using runtime = await imageRuntime({ image });
      await runtime.warm();
      // Nobody waited for it.
      await pause(500);
      results.add(`first ${name} after a restore`, product, 'ms', [await run(runtime, name)]);
      for (let i = 2; i < 100; i += 1) await run(runtime, quick ? 'simple' : name);
      results.add(`hundredth ${name} after a restore`, product, 'ms', [await run(runtime, name)]);
    }
  }
}

export async function packageReplacement({ results, quick }: Bench): Promise<void> {
  for (const image of ['numpy', 'data']) {
    await using runtime = await imageRuntime({ image });
    const next = (type: RuntimeEvent['type']): Promise<void> =>
      new Promise((resolve) => {
        const stop = runtime.subscribe((event) => {
          if (event.type !== type) return;
          stop();
          resolve();
        });
      });
    await runtime.warm();
    // A pool without runs keeps no program alive.
    const alive = setInterval(() => {}, 1000);
    for (let round = 0; round < (quick ? 2 : 10); round += 1) {
      const gone = next('worker:exit');
      const { pid } = (await runtime.run('1')).worker;
      if (pid === undefined) throw new Error('a deno worker has a process');
      process.kill(pid, 'SIGKILL');
      const ms = await timed(async () => {
        await gone;
        await run(runtime, 'simple');
      });
      results.add(`worker replaced, ${image} image, until a waiting run ended`, product, 'ms', [ms]);
    }
    clearInterval(alive);
  }
}

export async function packageThroughput({ results, quick }: Bench): Promise<void> {
  await using runtime = await imageRuntime({ image: 'numpy', size: 2, maxQueue: 100 });
  await Promise.all([warm({ results, quick }, runtime, 'numpy'), warm({ results, quick }, runtime, 'numpy')]);
  const runs = quick ? 60 : 400;
  const perSecond = await samples(quick ? 2 : 5, async () => {
    let left = runs;
    const lane = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await run(runtime, 'simple');
      }
    };
    return runs / ((await timed(() => Promise.all(Array.from({ length: 4 }, lane)))) / 1000);
  });
  results.add('throughput, numpy image, 2 workers', product, 'runs/s', perSecond);
}

/** Built in a cache of its own, from wheels that are there. */
export async function imageBuilds({ results, quick }: Bench): Promise<void> {
  for (const image of quick ? ['numpy'] : ['numpy', 'data', 'science']) {
    const cacheDir = await mkdtemp(join(tmpdir(), 'vivarium-bench-'));
    try {
      await using resolving = await imageRuntime({ image, cacheDir });
      await using building = await imageRuntime({ image, cacheDir });
      // The first boot builds.
      results.add(`image build, ${image}`, product, 'ms', [await timed(() => building.warm())]);
      await resolving.close();
      const { openImages } = await import('../src/node.ts');
      const files = await (await openImages({ cacheDir })).list();
      const largest = Math.max(...files.map(({ path }) => (path === null ? 0 : statSync(path).size)));
      results.add(`image size, ${image}`, product, 'MB', [largest / 1e6]);
    } finally {
      await rm(cacheDir, { recursive: true, force: true });
    }
  }
}

export async function packageMemory({ results, quick }: Bench): Promise<void> {
  for (const image of ['numpy', 'data']) {
    await using runtime = await imageRuntime({ image });
    await warm({ results, quick }, runtime, image === 'data' ? 'figure' : 'numpy');
    await pause(quick ? 100 : 2000);
    const memory = totalMemory(runtime.stats().workers.flatMap((worker) => worker.pid ?? []));
    const what = `resident memory, 1 idle worker, ${image} image`;
    if (memory === undefined) results.skip(what, product, 'this system has no smaps_rollup');
    else {
      results.add(`${what} (PSS)`, product, 'MB', [memory.pss / 1e6]);
      results.add(`${what} (RSS)`, product, 'MB', [memory.rss / 1e6]);
    }
  }
}
