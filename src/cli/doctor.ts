import type { Writable } from 'node:stream';
import { styleText } from 'node:util';
import type { ProbeOptions, SecurityReport } from '../node.ts';
import type { Diagnosis } from '../runtime.ts';
import { exitCodes } from './report.ts';
import { printable } from './table.ts';

/** Prints what a runtime needs and whether it is there; resolves with the exit code. */
export function reportDiagnoses(diagnoses: readonly Diagnosis[], stdout: Writable, json: boolean): number {
  const healthy = diagnoses.every(({ ok }) => ok);
  if (json) {
    stdout.write(`${JSON.stringify({ ok: healthy, checks: diagnoses }, undefined, 2)}\n`);
  } else {
    const width = Math.max(...diagnoses.map(({ name }) => name.length));
    for (const { name, ok, detail, fix } of diagnoses) {
      const mark = ok ? paint('green', 'ok     ', stdout) : paint('red', 'missing', stdout);
      stdout.write(`${mark}  ${name.padEnd(width)}  ${detail}\n`);
      if (!ok && fix !== undefined) stdout.write(`         ${' '.repeat(width)}  mend it: ${fix}\n`);
    }
  }
  return healthy ? exitCodes.ok : exitCodes.failed;
}

/** Runs the probes and prints what came of each as it comes; resolves with the exit code. */
export async function reportSecurity(
  probe: (options: ProbeOptions) => Promise<SecurityReport>,
  stdout: Writable,
  json: boolean,
): Promise<number> {
  if (json) {
    const report = await probe({});
    stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
    return report.ok ? exitCodes.ok : exitCodes.failed;
  }
  const started = performance.now();
  let width = 0;
  const row = (ok: boolean, ...cells: string[]): void => {
    const mark = ok ? paint('green', 'ok    ', stdout) : paint('red', 'FAILED', stdout);
    stdout.write(`${[mark, ...cells.map(printable)].join('  ').trimEnd()}\n`);
  };
  const { ok, probes } = await probe({
    onBegin(facts, planned) {
      const names = Math.max(...facts.map(({ name }) => name.length));
      for (const fact of facts) row(fact.ok, fact.name.padEnd(names), fact.detail);
      width = Math.max(...planned.map(({ title }) => title.length));
      stdout.write('\n');
    },
    onResult({ id, title, ok, detail, ms }) {
      row(ok, id, seconds(ms).padStart(6), title.padEnd(width), detail);
    },
  });
  const failed = probes.filter((each) => !each.ok).length;
  const took = seconds(performance.now() - started);
  stdout.write(
    failed === 0
      ? `\nAll ${probes.length} probes held, in ${took}.\n`
      : `\n${failed} of ${probes.length} probes got through. Don't run code here that you don't trust; docs/security.md says how to report it.\n`,
  );
  return ok ? exitCodes.ok : exitCodes.failed;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Plain where there is no terminal, or `NO_COLOR` is set. */
function paint(style: 'green' | 'red', text: string, stream: Writable): string {
  return styleText(style, text, { stream });
}
