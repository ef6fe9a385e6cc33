import { randomUUID } from 'node:crypto';
import { Catalog } from '../src/catalog/catalog.ts';
import { createDenoEngine } from '../src/engines/deno/host.ts';
import type { StartOptions, Worker } from '../src/engines/engine.ts';
import { defaultCacheDir } from '../src/engines/image-cache.ts';
import { defaultLimits } from '../src/pool/limits.ts';
import type { RewoundMessage } from '../src/protocol/messages.ts';
import { wheelFolder } from '../test/wheels.ts';
import type { Bench } from './scenarios.ts';
import { samples } from './stats.ts';

const work: Record<string, string> = {
  rewind: '1+1',
  'rewind after 20 MB were written': 'data = bytearray(b"x") * 20_000_000',
  'rewind after 100 files were written': 'for i in range(100):\n    open(f"{i}.txt", "w").write("x" * 1000)',
};

async function rewound(worker: Worker, code: string): Promise<RewoundMessage> {
  const { promise, resolve } = Promise.withResolvers<RewoundMessage>();
  const { cpuMs: _, ...limits } = defaultLimits;
  const result = await worker.run(
    {
      id: randomUUID(),
      code,
      filename: '<run>',
      argv: [],
      env: {},
      stdin: '',
      globals: '["d"]',
      files: [],
      purpose: 'program',
      after: 'rewind',
      seed: null,
      figures: 'png',
      limits: { ...limits, cpuMs: 0 },
    },
    { onOutput() {}, onDisplay() {}, onRewound: resolve },
  );
  if (result.status !== 'ok') throw new Error(`measured a failure: ${result.error?.name}`);
  const message = await promise;
  if (message.dirty !== null) throw new Error(`a rewind failed: ${message.dirty}`);
  return message;
}

async function measure(
  { results, quick }: Bench,
  work: Record<string, string>,
  options: Pick<StartOptions, 'image'>,
  count: number,
): Promise<void> {
  await using engine = createDenoEngine({ image: true });
  const worker = await engine.start({
    id: 'bench',
    init: { maxHeapBytes: 1024 * 1024 * 1024, warmingRuns: 0, env: {} },
    bootTimeoutMs: 60_000,
    ...options,
  });
  if (worker.pid !== undefined) results.workerPids.add(worker.pid);
  for (const [scenario, code] of Object.entries(work)) {
    for (let i = 0; i < count / 8; i += 1) await rewound(worker, code);
    const ms = await samples(quick ? 20 : count, async () => (await rewound(worker, code)).rewindMs);
    results.add(scenario, 'vivarium (deno)', 'ms', ms);
  }
  await worker.shutdown(1000);
}

/** What the kernel itself says a rewind took: no caller can see that. */
export async function rewindTime(bench: Bench): Promise<void> {
  await measure(bench, work, {}, 500);
}

/** The images are found by their names, as a runtime does. */
export async function rewindTimeOfPackages(bench: Bench): Promise<void> {
  for (const image of ['numpy', 'data']) {
    await using engine = createDenoEngine({ image: true });
    const catalog = new Catalog({
      cacheDir: defaultCacheDir(),
      mirror: wheelFolder,
      engine: () => Promise.resolve(engine),
    });
    const code = image === 'numpy' ? 'import numpy\nfloat(numpy.ones(1000).sum())' : 'import pandas\n1';
    await measure(bench, { [`rewind, ${image} image`]: code }, { image: await catalog.find({ image }) }, 100);
  }
}
