import { valueToJson } from '../protocol/value-json.ts';
import type { Execution } from '../runtime.ts';
import type { Outcome } from './output.ts';

/** An execution as JSON data. Of files it says where they lie, or why they were not written; their bytes are there. */
export function executionToJson(execution: Execution, outcomes: readonly Outcome[]): unknown {
  const { id, status, text, value, results, logs, error, exitCode, executionCount } = execution;
  const { timings, memory, truncated, worker } = execution;
  const files = outcomes.map((outcome) => {
    const { bytes: _, ...file } = outcome.file;
    return outcome.kind === 'refused'
      ? { ...file, refused: outcome.reason }
      : { ...file, writtenTo: outcome.target };
  });
  return {
    ...{
      id,
      status,
      text,
      value: value === undefined ? undefined : valueToJson(value),
      results,
      logs,
      error,
    },
    ...{ exitCode, files, executionCount, timings, memory, truncated, worker },
  };
}
