import { LimitError, PythonError, type VivariumError, WorkerError } from '../errors/errors.ts';
import { executionToJson } from '../protocol/execution-json.ts';
import type { ResultMessage, StopReason, WirePythonError } from '../protocol/messages.ts';
import { decodeValue } from '../protocol/value-codec.ts';
import type {
  Execution,
  ExecutionMemory,
  ExecutionStatus,
  ExecutionTimings,
  OutputFile,
  PythonErrorInfo,
  PythonFrame,
  RichResult,
  RunLimits,
  Value,
} from '../runtime.ts';
import { mimeTypeOf } from '../util/mime.ts';
import type { OutputCollector } from './output.ts';

type Derived = 'stdout' | 'stderr' | 'png' | 'svg' | 'html' | 'unwrap';
type ExecutionRecord = Omit<Execution, Derived>;

/** What the host knows of a run, whatever the worker says. */
export interface RunFacts {
  id: string;
  limits: RunLimits;
  output: OutputCollector;
  worker: Execution['worker'];
  timings: Pick<ExecutionTimings, 'queuedMs' | 'restoreMs' | 'installMs' | 'totalMs'>;
}

/** Why a run ended without a word from Python: its worker died or was killed, or it never had one. */
export interface Loss {
  code: 'timeout' | 'interrupted' | 'crashed' | 'output' | 'memory';
  /** Whole sentences. */
  message: string;
  cause?: unknown;
}

class FinishedExecution implements Execution {
  declare readonly id: string;
  declare readonly status: ExecutionStatus;
  declare readonly text?: string;
  declare readonly value?: Value;
  declare readonly results: readonly RichResult[];
  declare readonly logs: Execution['logs'];
  declare readonly error?: PythonErrorInfo;
  declare readonly exitCode?: number;
  declare readonly files: readonly OutputFile[];
  declare readonly executionCount: number;
  declare readonly timings: ExecutionTimings;
  declare readonly memory: ExecutionMemory;
  declare readonly truncated: Execution['truncated'];
  declare readonly worker: Execution['worker'];
  declare readonly session?: { readonly id: string; readonly revision: number };
  declare readonly sessionBytes?: Uint8Array;

  readonly #loss: Loss | undefined;

  constructor(record: ExecutionRecord, loss?: Loss) {
    Object.assign(this, record);
    this.#loss = loss;
  }

  get stdout(): string {
    return this.logs.stdout.join('');
  }

  get stderr(): string {
    return this.logs.stderr.join('');
  }

  get png(): string | undefined {
    return this.#first('image/png');
  }

  get svg(): string | undefined {
    return this.#first('image/svg+xml');
  }

  get html(): string | undefined {
    return this.#first('text/html');
  }

  unwrap(): Value | undefined {
    const message = this.error?.message ?? this.status;
    switch (this.status) {
      case 'ok':
        return this.value;
      case 'error':
        throw new PythonError(this.error ?? errorInfo('Error', message));
      case 'timeout':
        throw new LimitError('timeout', message);
      case 'interrupted':
        throw new LimitError('interrupted', message);
      case 'oom':
        throw new LimitError('memory', message);
      case 'crashed':
        throw lossError({ code: 'crashed', ...this.#loss, message });
      default:
        return this.status satisfies never;
    }
  }

  /** Another one, with these facts of its session. */
  with(facts: Partial<ExecutionRecord>): Execution {
    return new FinishedExecution({ ...this, ...facts }, this.#loss);
  }

  /** For `JSON.stringify`: without the files' bytes; what JSON can't hold becomes text or arrays. */
  toJSON(): Record<string, unknown> {
    return executionToJson(this);
  }

  #first(mimeType: string): string | undefined {
    return this.results.find((result) => result.data[mimeType] !== undefined)?.data[mimeType];
  }
}

/** Of Python, and numpy's own. */
const outOfMemory = /^(MemoryError|(numpy\..*)?_ArrayMemoryError)$/;

/** Python came to an end, by itself or by an interrupt. Throws when the worker's value can't be read. */
export function finishedExecution(
  facts: RunFacts,
  result: ResultMessage,
  requested: StopReason | undefined,
  hint?: (error: PythonErrorInfo) => string | undefined,
): Execution {
  const stopped = result.stopped ?? (wasInterrupted(result) ? requested : undefined);
  const status = statusOf(result, stopped);
  const error = status === 'ok' ? undefined : errorOf(facts, result, stopped);
  const help = error && stopped === undefined ? hint?.(error) : undefined;
  const parts = result.parts ?? [];
  const results = facts.output.displays;
  if (result.display) results.push({ ...result.display, isMainResult: true });
  return new FinishedExecution({
    ...common(facts, status),
    ...(result.text === null ? {} : { text: result.text }),
    ...(result.value === null ? {} : { value: decodeValue(partAt(parts, result.value), parts) }),
    ...(error ? { error: help === undefined ? error : { ...error, hint: help } } : {}),
    ...(result.exitCode === null ? {} : { exitCode: result.exitCode }),
    results,
    files: result.files.map((file, index) => ({
      id: `${facts.id}/${index}`,
      path: file.path,
      mimeType: mimeTypeOf(file.path),
      size: file.size,
      bytes: partAt(parts, file.part),
    })),
    executionCount: result.executionCount,
    timings: { ...facts.timings, runMs: result.runMs, cpuMs: result.cpuMs, persistMs: 0 },
    memory: { heapBytes: result.heapBytes, peakBytes: result.peakBytes, deltaBytes: result.deltaBytes },
    truncated: result.truncated,
  });
}

export function abandonedExecution(facts: RunFacts, loss: Loss, runMs: number): Execution {
  const { code, message } = loss;
  const record: ExecutionRecord = {
    ...common(facts, lossStatus[code]),
    error: errorInfo(lossNames[code], message),
    results: facts.output.displays,
    files: [],
    executionCount: 0,
    timings: { ...facts.timings, runMs, cpuMs: 0, persistMs: 0 },
    memory: { heapBytes: 0, peakBytes: 0, deltaBytes: 0 },
    truncated: { stdout: false, stderr: false, value: false, results: false, files: false },
  };
  return new FinishedExecution(record, loss);
}

/** What a session's run is told with. */
export interface SessionFacts {
  session?: Execution['session'];
  sessionBytes?: Uint8Array;
  persistMs: number;
  /** A sentence for the message of its error. */
  note?: string;
}

export function withSession(
  execution: Execution,
  { session, sessionBytes, persistMs, note }: SessionFacts,
): Execution {
  if (!(execution instanceof FinishedExecution)) throw new TypeError('not an execution of this pool');
  const { timings, error } = execution;
  return execution.with({
    timings: { ...timings, persistMs, totalMs: timings.totalMs + persistMs },
    ...(session && { session }),
    ...(sessionBytes && { sessionBytes }),
    ...(note !== undefined && error && { error: noted(error, note) }),
  });
}

function noted(error: PythonErrorInfo, note: string): PythonErrorInfo {
  const { name, value, message } = errorInfo(error.name, `${error.value} ${note}`);
  const traceback = [...error.traceback.slice(0, -1), message];
  return { ...error, name, value, message, traceback };
}

const lossStatus = {
  timeout: 'timeout',
  interrupted: 'interrupted',
  crashed: 'crashed',
  output: 'crashed',
  memory: 'oom',
} as const satisfies Record<Loss['code'], ExecutionStatus>;

const lossNames = {
  timeout: 'Timeout',
  interrupted: 'Interrupted',
  crashed: 'WorkerCrashed',
  output: 'OutputLimit',
  memory: 'MemoryLimit',
} as const satisfies Record<Loss['code'], string>;

/** The same as an error. */
export function lossError({ code, message, cause }: Loss): VivariumError {
  return code === 'crashed'
    ? new WorkerError(code, message, { cause })
    : new LimitError(code, message, { cause });
}

function common(facts: RunFacts, status: ExecutionStatus) {
  facts.output.end();
  const { stdout, stderr } = facts.output;
  return { id: facts.id, status, logs: { stdout, stderr }, worker: facts.worker };
}

function statusOf(result: ResultMessage, stopped: StopReason | undefined): ExecutionStatus {
  switch (stopped) {
    case 'timeout':
    case 'cpu':
      return 'timeout';
    case 'interrupted':
      return 'interrupted';
    case undefined:
      if (result.status === 'ok') return 'ok';
      if (result.error?.name === 'SystemExit' && result.exitCode === 0) return 'ok';
      return outOfMemory.test(result.error?.name ?? '') ? 'oom' : 'error';
    default:
      return stopped satisfies never;
  }
}

/** The kernel may not know that the host asked it to stop. */
function wasInterrupted(result: ResultMessage): boolean {
  return result.status === 'error' && result.error?.name === 'KeyboardInterrupt';
}

function errorOf(facts: RunFacts, result: ResultMessage, stopped: StopReason | undefined): PythonErrorInfo {
  const python = result.error ? pythonError(result.error) : undefined;
  if (stopped === undefined) return python ?? errorInfo('Error', 'The code failed.');
  const message = `${whatStopped(facts.limits, stopped)} The code was interrupted; its worker was kept.`;
  const info = errorInfo(stopped === 'interrupted' ? 'Interrupted' : 'Timeout', message);
  return python ? { ...python, name: info.name, value: info.value, message: info.message } : info;
}

/** One sentence. */
export function whatStopped(limits: RunLimits, reason: StopReason): string {
  switch (reason) {
    case 'timeout':
      return `Timed out after ${limits.timeoutMs} ms.`;
    case 'cpu':
      return `Used more than ${limits.cpuMs} ms of processor time.`;
    case 'interrupted':
      return 'Interrupted by the caller.';
    default:
      return reason satisfies never;
  }
}

function errorInfo(name: string, value: string): PythonErrorInfo {
  const message = `${name}: ${value}`;
  return { name, value, message, traceback: [message], frames: [] };
}

function pythonError(error: WirePythonError): PythonErrorInfo {
  const { name, value, traceback } = error;
  return {
    name,
    value,
    message: value === '' ? name : `${name}: ${value}`,
    traceback,
    frames: error.frames.map((frame) => withoutNulls<PythonFrame>(frame)),
    ...(error.line === null ? {} : { line: error.line }),
    ...(error.column === null ? {} : { column: error.column }),
  };
}

function withoutNulls<T extends object>(record: { [K in keyof T]: T[K] | null }): T {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== null)) as T;
}

function partAt(parts: readonly Uint8Array[], index: number): Uint8Array {
  const part = parts[index];
  if (!part) throw new RangeError(`The worker's reply names a part that it doesn't have: ${index}.`);
  return part;
}
