import { randomUUID } from 'node:crypto';
import { createDenoEngine } from '../src/engines/deno/host.ts';
import type { Worker } from '../src/engines/engine.ts';
import { defaultLimits } from '../src/pool/limits.ts';
import type { RewoundMessage } from '../src/protocol/messages.ts';
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
      after: 'rewind',
      seed: null,
      limits: { ...limits, cpuMs: 0 },
    },
    { onOutput() {}, onDisplay() {}, onRewound: resolve },
  );
  if (result.status !== 'ok') throw new Error(`measured a failure: ${result.error?.name}`);
  const message = await promise;
  if (message.dirty !== null) throw new Error(`a rewind failed: ${message.dirty}`);
  return message;
}

/** What the kernel itself says a rewind took: no caller can see that. */
export async function rewindTime({ results, quick }: Bench): Promise<void> {
  await using engine = createDenoEngine({ image: true });
  const worker = await engine.start({
    id: 'bench',
    init: { maxHeapBytes: defaultLimits.memoryBytes, warmingRuns: 0, env: {} },
    bootTimeoutMs: 60_000,
  });
  if (worker.pid !== undefined) results.workerPids.add(worker.pid);
  for (const [scenario, code] of Object.entries(work)) {
    for (let i = 0; i < 60; i += 1) await rewound(worker, code);
    const ms = await samples(quick ? 20 : 500, async () => (await rewound(worker, code)).rewindMs);
    results.add(scenario, 'vivarium (deno)', 'ms', ms);
  }
  await worker.shutdown(1000);
}
