import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { assertAnonymous, machine } from '../../bench/machine.ts';
import { table } from '../../bench/report.ts';
import { type Report, Results } from '../../bench/result.ts';
import { median, quantile } from '../../bench/stats.ts';

const results = new URL('../../bench/results/', import.meta.url);

function report(fill: (results: Results) => void): Report {
  const results = new Results();
  fill(results);
  return {
    format: 1,
    date: '2026-01-01',
    quick: false,
    machine: machine(),
    pids: { main: process.pid, workers: [...results.workerPids] },
    rows: results.rows(),
    skipped: results.skipped,
  };
}

describe('statistics', () => {
  it('takes medians and quantiles of unsorted samples', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(quantile([5, 1, 4, 2, 3], 0.99)).toBe(5);
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect(quantile(hundred, 0.99)).toBe(99);
    expect(quantile(hundred, 0)).toBe(1);
    expect(median([])).toBeNaN();
  });
});

describe('the table', () => {
  it('joins the rounds of a row, and says which goals are met', () => {
    const text = table(
      report((results) => {
        results.add('rewind', 'vivarium (deno)', 'ms', [1, 2]);
        results.add('rewind', 'vivarium (deno)', 'ms', [3]);
        results.add('throughput, 2 workers', 'vivarium (deno)', 'runs/s', [100]);
      }),
    );
    expect(text).toContain('| rewind | vivarium (deno) | 2.00 ms | max 3.00 | 3 | ≤ 3 | yes |');
    expect(text).toContain(
      '| throughput, 2 workers | vivarium (deno) | 100 runs/s | max 100 | 1 | ≥ 450 | **no** |',
    );
  });

  it('names a peer that was not found', () => {
    const text = table(
      report((results) => results.skip('cold command line', 'CPython', 'python3 was not found')),
    );
    expect(text).toContain('| cold command line | CPython | skipped: python3 was not found |');
  });
});

describe('what is published', () => {
  it('refuses to name the machine or a place on it', () => {
    expect(() => assertAnonymous(`${homedir()}/bench`)).toThrow(/names the machine/);
    expect(() => assertAnonymous(process.cwd())).toThrow(/names the machine/);
    expect(() => assertAnonymous(JSON.stringify(machine()))).not.toThrow();
  });

  const kept = existsSync(results) ? readdirSync(results).filter((name) => name.endsWith('.json')) : [];
  it.each(kept)('%s tells the machine and the processes, and no paths', (name) => {
    const text = readFileSync(new URL(name, results), 'utf8');
    expect(JSON.parse(text)).toMatchObject({
      format: 1,
      date: expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
      machine: {
        cores: expect.any(Number),
        cpu: expect.any(String),
        versions: { node: expect.any(String), pyodide: expect.any(String), deno: expect.any(String) },
      },
      pids: { main: expect.any(Number), workers: expect.any(Array) },
    });
    expect(text).not.toMatch(/"[^"]*(\/(home|root|work|tmp|Users)\/|\\\\Users)/);
  });
});
