import type { Summary } from './stats.ts';

export interface Goal {
  text: string;
  met(row: Summary): boolean;
}

const atMost = (median: number, p99?: number): Goal => ({
  text: p99 === undefined ? `≤ ${median}` : `≤ ${median}, p99 ≤ ${p99}`,
  met: (row) => row.median <= median && (p99 === undefined || row.p99 <= p99),
});

const atLeast = (median: number): Goal => ({ text: `≥ ${median}`, met: (row) => row.median >= median });

/** What the project holds itself to, by scenario; of the stdlib image, unless it says another. Milliseconds, runs a second, MB. */
export const goals: Readonly<Record<string, Goal>> = {
  'cold command line': atMost(450),
  'clean run, a clean worker waits': atMost(1, 5),
  'clean run, back to back': atMost(3, 10),
  rewind: atMost(3),
  'throughput, 2 workers': atLeast(450),
  'worker replaced after kill -9, until ready': atMost(350),
  'worker replaced after kill -9, until a waiting run ended': atMost(350),
  'cold command line, numpy': atMost(600),
  'cold command line, matplotlib PNG': atMost(1200),
  'simple from the numpy image, a clean worker waits': atMost(1.3),
  'simple from the numpy image, back to back': atMost(4),
  'numpy from the numpy image, a clean worker waits': atMost(1.5),
  'simple from the data image, back to back': atMost(12),
  'figure from the data image, a clean worker waits': atMost(150),
  'simple from the numpy image, state kept': atMost(1),
  'rewind, numpy image': atMost(5),
  'rewind, data image': atMost(12),
  'worker replaced, numpy image, until a waiting run ended': atMost(350),
  'throughput, numpy image, 2 workers': atLeast(350),
  'resident memory, 3 idle workers (PSS)': atMost(450),
};
