import type { PythonErrorInfo } from '../runtime.ts';
import { type ErrorCode, errorCodes, type Fault } from './codes.ts';

export interface VivariumErrorOptions {
  cause?: unknown;
  /** Extra facts for programs: JSON values only. */
  details?: Record<string, unknown>;
}

/** Everything Vivarium throws. Switch on `code`; `fault` says whose it was. */
export class VivariumError extends Error {
  override readonly name: string = 'VivariumError';
  readonly code: ErrorCode;
  readonly details: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: VivariumErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }

  get fault(): Fault {
    return errorCodes[this.code].fault;
  }

  get retryable(): boolean {
    return errorCodes[this.code].retryable;
  }
}

/** Python code raised: thrown only by `execution.unwrap()`. */
export class PythonError extends VivariumError {
  override readonly name = 'PythonError';
  readonly python: PythonErrorInfo;

  constructor(python: PythonErrorInfo) {
    super('python', python.message);
    this.python = python;
  }
}

/** A limit of the run was hit: `timeout`, `memory`, `output`, `interrupted`. Thrown only by `execution.unwrap()`. */
export class LimitError extends VivariumError {
  override readonly name = 'LimitError';
}

/** A worker failed: `crashed`, `boot_failed`, `boot_timeout`, `protocol`. */
export class WorkerError extends VivariumError {
  override readonly name = 'WorkerError';
}

/** The caller's call can't be done: `usage`, `queue_full`, `closed`. */
export class UsageError extends VivariumError {
  override readonly name = 'UsageError';
}

/** Ours: `internal` is a bug, `unavailable` a service that refuses for now (boots keep failing). */
export class InternalError extends VivariumError {
  override readonly name = 'InternalError';
}
