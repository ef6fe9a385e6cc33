import { expect, it } from 'vitest';
import { median } from '../../bench/stats.ts';
import { createRuntime } from '../../src/node.ts';
import { growth, soak } from './mix.ts';

/** 10000 is the figure that `docs/performance.md` tells; the default is what every change can afford. */
const runs = Number(process.env.VIVARIUM_SOAK ?? 2000);

it(`F18: ${runs} mixed runs on one pool leave nothing behind and its memory flat`, {
  timeout: 600_000,
}, async () => {
  await using runtime = await createRuntime({
    engine: 'deno',
    size: 2,
    maxQueue: 16,
    // Recycling would hide a leak.
    recycle: { maxRequests: 10 * runs },
    healthCheckIntervalMs: 0,
  });
  const report = await soak(runtime, runs, Math.max(20, Math.floor(runs / 50)));

  expect(report.wrong).toStrictEqual([]);
  expect(report.restarts).toBe(0);
  expect(report.statuses).toMatchObject({
    ok: expect.any(Number),
    error: expect.any(Number),
    timeout: expect.any(Number),
    oom: expect.any(Number),
  });

  const heap = growth(
    report.samples.map((sample) => sample.heapBytes),
    median,
  );
  expect(heap.late).toBeLessThanOrEqual(heap.early);
  const resident = growth(
    report.samples.map((sample) => sample.residentBytes),
    median,
  );
  expect(resident.early).toBeGreaterThan(0);
  // The collector of the process takes and gives back in steps of this size.
  expect(resident.late - resident.early).toBeLessThan(0.1 * resident.early);
});
