import type { Machine } from './machine.ts';
import { rounded, type Summary, summarize } from './stats.ts';

export type Unit = 'ms' | 'runs/s' | 'MB' | 'KB';

/** One row: who, what, and every sample. */
export interface Row extends Summary {
  /** What was measured, a key of `goals`. */
  scenario: string;
  /** Whose figure it is: `vivarium (deno)` or a peer's name. */
  subject: string;
  unit: Unit;
  samples: number[];
}

/** A peer that was not found: named, so that its absence is seen. */
export interface Skipped {
  scenario: string;
  subject: string;
  why: string;
}

/** The file kept in `results/`. */
export interface Report {
  format: 1;
  date: string;
  quick: boolean;
  machine: Machine;
  /** The benchmark's own process and those of the workers it measured. */
  pids: { main: number; workers: number[] };
  rows: Row[];
  skipped: Skipped[];
}

/** Collects rows while the scenarios run. Samples of one row may come in several rounds. */
export class Results {
  readonly skipped: Skipped[] = [];
  readonly workerPids: Set<number> = new Set();
  readonly #rows: Map<string, { scenario: string; subject: string; unit: Unit; samples: number[] }> =
    new Map();

  add(scenario: string, subject: string, unit: Unit, samples: readonly number[]): void {
    const key = `${scenario}\n${subject}`;
    const row = this.#rows.get(key) ?? { scenario, subject, unit, samples: [] };
    row.samples.push(...samples.map(rounded));
    this.#rows.set(key, row);
  }

  skip(scenario: string, subject: string, why: string): void {
    this.skipped.push({ scenario, subject, why });
  }

  rows(): Row[] {
    return [...this.#rows.values()].map((row) => {
      const { n, median, p99, min, max } = summarize(row.samples);
      return {
        ...row,
        n,
        median: rounded(median),
        p99: rounded(p99),
        min: rounded(min),
        max: rounded(max),
      };
    });
  }
}
