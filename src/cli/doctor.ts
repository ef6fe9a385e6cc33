import type { Writable } from 'node:stream';
import { styleText } from 'node:util';
import type { Diagnosis } from '../runtime.ts';
import { exitCodes } from './report.ts';

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

/** Plain where there is no terminal, or `NO_COLOR` is set. */
function paint(style: 'green' | 'red', text: string, stream: Writable): string {
  return styleText(style, text, { stream });
}
