import { readFileSync, writeFileSync } from 'node:fs';
import { goals } from './goals.ts';
import { assertAnonymous } from './machine.ts';
import type { Report, Row } from './result.ts';

const docs = new URL('../docs/performance.md', import.meta.url);

/** Replaces what stands between the two markers of a section of `docs/performance.md`. */
export function writeSection(name: string, text: string): void {
  assertAnonymous(text);
  const [start, end] = [`<!-- ${name}:start -->`, `<!-- ${name}:end -->`];
  const page = readFileSync(docs, 'utf8');
  const from = page.indexOf(start);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`docs/performance.md has no section ${name}`);
  writeFileSync(docs, `${page.slice(0, from + start.length)}\n${text.trim()}\n${page.slice(to)}`);
}

function figure(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function line(row: Row): string {
  const goal = row.subject.startsWith('vivarium') ? goals[row.scenario] : undefined;
  const verdict = goal === undefined ? ['', ''] : [goal.text, goal.met(row) ? 'yes' : '**no**'];
  const cells = [row.scenario, row.subject, `${figure(row.median)} ${row.unit}`];
  // Of a handful of samples a 99th percentile says nothing: the largest is shown as such.
  cells.push(row.n >= 100 ? figure(row.p99) : `max ${figure(row.max)}`, String(row.n), ...verdict);
  return `| ${cells.join(' | ')} |`;
}

function ratio(report: Report): string {
  const of = (subject: string): number | undefined =>
    report.rows.find(
      (row) => row.scenario === 'clean run, a clean worker waits' && row.subject.startsWith(subject),
    )?.median;
  const [ours, stock] = [of('vivarium'), of('stock')];
  if (ours === undefined || stock === undefined) return '';
  const times = stock / ours;
  const met = times >= 300 ? 'yes' : '**no**';
  return `\nA clean run is ${times.toFixed(0)} times faster than booting stock Pyodide for it (goal: 300 times; met: ${met}).\n`;
}

/** The whole section, in Markdown. */
export function table(report: Report): string {
  const { cores, cpu, memoryBytes, os, versions } = report.machine;
  const known = Object.entries(versions).map(([name, version]) => `${name} ${version ?? 'not found'}`);
  const order = [...new Set(report.rows.map((row) => row.scenario))];
  const rows = order.flatMap((scenario) => report.rows.filter((row) => row.scenario === scenario));
  return [
    `Measured ${report.date}${report.quick ? ' with --quick: not to be published' : ''} on ${cores} cores of ${cpu},`,
    `${(memoryBytes / 2 ** 30).toFixed(0)} GiB, ${os}; ${known.join(', ')}.`,
    '',
    '| what | who | median | p99 | n | goal | met |',
    '|---|---|---|---|---|---|---|',
    ...rows.map(line),
    ...report.skipped.map(
      ({ scenario, subject, why }) => `| ${scenario} | ${subject} | skipped: ${why} | | | | |`,
    ),
    ratio(report),
  ].join('\n');
}
