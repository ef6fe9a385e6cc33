/** Whose fault a failure is. `python` failures are returned in an `Execution`; all others are thrown. */
export type Fault = 'python' | 'limit' | 'worker' | 'caller' | 'install' | 'internal';

/**
 * The one table of error codes. A code is stable: programs switch on it, the wire carries it.
 * `retryable` says whether the same call may succeed on another worker or later, unchanged.
 */
export const errorCodes = {
  python: { fault: 'python', retryable: false },
  timeout: { fault: 'limit', retryable: false },
  memory: { fault: 'limit', retryable: false },
  output: { fault: 'limit', retryable: false },
  interrupted: { fault: 'limit', retryable: false },
  crashed: { fault: 'worker', retryable: true },
  boot_failed: { fault: 'worker', retryable: true },
  boot_timeout: { fault: 'worker', retryable: true },
  protocol: { fault: 'worker', retryable: true },
  usage: { fault: 'caller', retryable: false },
  queue_full: { fault: 'caller', retryable: true },
  closed: { fault: 'caller', retryable: false },
  install: { fault: 'install', retryable: false },
  session_busy: { fault: 'caller', retryable: true },
  session_stale: { fault: 'caller', retryable: true },
  session_not_found: { fault: 'caller', retryable: false },
  session_exists: { fault: 'caller', retryable: false },
  session_limit: { fault: 'limit', retryable: false },
  session_bytes: { fault: 'caller', retryable: false },
  session_image: { fault: 'caller', retryable: false },
  not_freezable: { fault: 'caller', retryable: false },
  store: { fault: 'internal', retryable: true },
  unavailable: { fault: 'internal', retryable: true },
  internal: { fault: 'internal', retryable: false },
} as const;

export type ErrorCode = keyof typeof errorCodes;

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(errorCodes, value);
}

/** Those of `SessionError`. */
export function isSessionCode(code: ErrorCode): boolean {
  return code.startsWith('session_') || code === 'not_freezable';
}
