import { executionToJson, fileToJson } from '../protocol/execution-json.ts';
import type { Execution } from '../runtime.ts';
import type { Outcome } from './output.ts';

/** An execution as JSON data. Of files it says where they lie, or why they were not written. */
export function documentOf(execution: Execution, outcomes: readonly Outcome[]): Record<string, unknown> {
  const files = outcomes.map((outcome) => ({
    ...fileToJson(outcome.file),
    ...(outcome.kind === 'refused' ? { refused: outcome.reason } : { writtenTo: outcome.target }),
  }));
  return { ...executionToJson(execution), files };
}

/** Indented. What could steer a terminal is escaped, beyond what JSON asks for. */
export function jsonText(document: unknown): string {
  return JSON.stringify(document, undefined, 2).replace(/[\x7f-\x9f\u2028\u2029\p{Cf}]/gu, (found) =>
    Array.from({ length: found.length }, (_, index) => escaped(found.charCodeAt(index))).join(''),
  );
}

function escaped(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}
