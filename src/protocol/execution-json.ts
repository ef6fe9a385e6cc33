import type { Execution, OutputFile } from '../runtime.ts';
import { valueToJson } from './value-json.ts';

/** An execution as JSON data: its value as `valueToJson` has it, its files without their bytes. */
export function executionToJson(execution: Execution): Record<string, unknown> {
  const { id, status, text, results, logs, error, exitCode, executionCount } = execution;
  const { timings, memory, truncated, worker, session } = execution;
  const value = execution.value === undefined ? undefined : valueToJson(execution.value);
  const files = execution.files.map(fileToJson);
  const outcome = { id, status, text, value, results, logs, error, exitCode, files };
  return { ...outcome, executionCount, timings, memory, truncated, worker, session };
}

export function fileToJson({ bytes: _, ...file }: OutputFile): Omit<OutputFile, 'bytes'> {
  return file;
}
