export interface Summary {
  n: number;
  median: number;
  p99: number;
  min: number;
  max: number;
}

/** The value below which `share` of the samples lie, by the nearest rank. NaN of nothing. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export function summarize(samples: readonly number[]): Summary {
  return {
    n: samples.length,
    median: median(samples),
    p99: quantile(samples, 0.99),
    min: Math.min(...samples),
    max: Math.max(...samples),
  };
}

/** Three decimals: what a clock of microseconds can tell. */
export function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

export async function samples(n: number, sample: () => Promise<number>): Promise<number[]> {
  const taken: number[] = [];
  for (let i = 0; i < n; i += 1) taken.push(await sample());
  return taken;
}
