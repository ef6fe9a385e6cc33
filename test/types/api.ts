/** A user's program, under our own strict settings. Only compiled: what it says has to type-check. */
import { LimitError, PythonError, PythonRepr, type RunOptions, type Value } from '../../src/index.ts';
import { createRuntime, type RuntimeOptions } from '../../src/node.ts';

interface Row {
  readonly name: string;
  amount?: number;
}

interface Settings {
  code: string;
  timeoutMs?: number;
  seed?: number;
  stdin?: readonly string[];
  signal?: AbortSignal;
  onStdout?: (text: string) => void;
}

export async function total(rows: readonly Row[], settings: Settings): Promise<number> {
  const { code, timeoutMs, seed, stdin, signal, onStdout } = settings;
  await using runtime = await createRuntime({ size: undefined, logger: undefined, limits: { timeoutMs } });
  const run = runtime.run(code, {
    globals: { rows, seen: new Set(['a']), shape: [1, 2] as const },
    ...{ timeoutMs, seed, stdin, signal, onStdout },
  });
  for await (const event of run) {
    if (event.type === 'stdout') event.text.trim();
    if (event.type === 'progress') event.total.toFixed();
    if (event.type === 'done') event.execution.unwrap();
    // @ts-expect-error: `execution` belongs to `done`.
    event.execution;
  }
  const execution = await run;
  switch (execution.status) {
    case 'ok':
    case 'error':
    case 'timeout':
    case 'interrupted':
    case 'oom':
    case 'crashed':
      break;
    default:
      execution.status satisfies never;
  }
  try {
    return amountOf(execution.unwrap());
  } catch (error) {
    if (error instanceof PythonError) return error.python.frames.length;
    if (error instanceof LimitError && error.code === 'timeout') return -1;
    throw error;
  } finally {
    await runtime.close({ graceMs: timeoutMs });
  }
}

function amountOf(value: Value): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof Map) return value.size;
  if (value instanceof Date) return value.getTime();
  if (value instanceof PythonRepr) return value.repr.length;
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + amountOf(item), 0);
  return 0;
}

export const undefinedOptions: RunOptions = { filename: undefined, memoryBytes: undefined, env: undefined };
export const options: RuntimeOptions = { engine: undefined, recycle: { maxRequests: undefined } };
// @ts-expect-error: a limit is a number.
export const wrongLimit: RunOptions = { timeoutMs: '5s' };
// @ts-expect-error: no such option.
export const unknownOption: RunOptions = { timeout: 5 };
