import { describe, expect, it } from 'vitest';
import { median } from '../../bench/stats.ts';
import { createRuntime } from '../../src/node.ts';
import { mirrorForTests } from '../wheels.ts';
import { growth, soak } from './mix.ts';
import { packagesMix } from './packages-mix.ts';

const runs = Number(process.env.VIVARIUM_SOAK_PACKAGES ?? 2000);
const { folder, missing } = await mirrorForTests(['numpy', 'pandas', 'matplotlib', 'pillow']);

describe.skipIf(folder === undefined)(`packages (wheels missing: ${missing.join(', ') || 'none'})`, () => {
  it(`F18: ${runs} mixed runs leave nothing behind and memory flat`, { timeout: 1_200_000 }, async () => {
    await using runtime = await createRuntime({
      engine: 'deno',
      image: 'data',
      ...(folder === undefined ? {} : { mirror: folder }),
      bootTimeoutMs: 600_000,
      size: 2,
      maxQueue: 16,
      // Recycling would hide a leak.
      recycle: { maxRequests: 10 * runs },
      healthCheckIntervalMs: 0,
    });
    const report = await soak(runtime, runs, Math.max(20, Math.floor(runs / 50)), packagesMix());

    expect(report.wrong).toStrictEqual([]);
    expect(report.restarts).toBe(0);
    expect(report.statuses).toMatchObject({ ok: expect.any(Number), error: expect.any(Number) });
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
});
