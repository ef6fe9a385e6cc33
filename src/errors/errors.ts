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

/** Why packages could not be installed. `InstallError.details.reason`. */
export type InstallReason =
  /** Nothing of that name, or no such version. */
  | 'not_found'
  /** There is a package, but no wheel for this interpreter. */
  | 'no_wheel'
  | 'conflict'
  /** What came is not what the lock says. */
  | 'hash_mismatch'
  /** The mirror is missing, or is none. */
  | 'mirror'
  /** The cache folder has no room, or can't be written to. */
  | 'disk'
  /** A source could not be reached, or `--offline` forbids it. */
  | 'network'
  /** A wheel that is damaged, too large, or climbs out of its folder. */
  | 'unsafe_wheel'
  /** The runtime's `install` policy. */
  | 'not_allowed'
  /** A lock file or a requirement that can't be read, or a lock of another Pyodide. */
  | 'bad_lock'
  | 'bad_requirement'
  /** The wheel is there, but importing it fails. */
  | 'import_failed'
  /** What an image can't hold: live JavaScript objects, pending tasks. */
  | 'not_freezable';

export interface InstallFailure {
  reason: InstallReason;
  /** The package, as far as it is known; else empty. */
  package: string;
  /** The nearest thing that would work, as a sentence; or empty. */
  suggestion: string;
}

/** Packages can't be had, or not frozen: nothing of them stays. The message names the package, the reason and a way out. */
export class InstallError extends VivariumError {
  override readonly name = 'InstallError';

  constructor(message: string, failure: InstallFailure & Record<string, unknown>, cause?: unknown) {
    super('install', message, { details: failure, ...(cause === undefined ? {} : { cause }) });
  }

  get reason(): InstallReason {
    return this.details.reason as InstallReason;
  }
}

/**
 * A session can't do what was asked. `session_busy`: another call or another host has it. `session_stale`: another host has taken it
 * over, and its state is there. `session_not_found`, `session_exists`. `session_limit`: too many, or too large.
 * `session_bytes`: they are none, cut, altered, of another tenant or key, or too new. `session_image`: its image isn't here, or another build of it.
 * `not_freezable`: its state holds what can't be stored; `details.objects` names it.
 */
export class SessionError extends VivariumError {
  override readonly name = 'SessionError';
}

/**
 * Ours: `internal` is a bug, `unavailable` a service that refuses for now (boots keep failing), `store` a store of sessions that is full,
 * out of reach or damaged.
 */
export class InternalError extends VivariumError {
  override readonly name = 'InternalError';
}
