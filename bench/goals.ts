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

/** What the project holds itself to, by scenario; stdlib image. Milliseconds, runs a second, MB. */
export const goals: Readonly<Record<string, Goal>> = {
  'cold command line': atMost(450),
  'clean run, a clean worker waits': atMost(1, 5),
  'clean run, back to back': atMost(3, 10),
  rewind: atMost(3),
  'throughput, 2 workers': atLeast(450),
  'worker replaced after kill -9, until ready': atMost(350),
  'worker replaced after kill -9, until a waiting run ended': atMost(350),
  'resident memory, 3 idle workers (PSS)': atMost(450),
};
