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
