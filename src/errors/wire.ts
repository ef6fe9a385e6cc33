import { protocolLimits } from '../protocol/limits.ts';
import type { WireError } from '../protocol/messages.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { jsonObject } from '../protocol/read.ts';
import { type ErrorCode, errorCodes, isErrorCode, isSessionCode } from './codes.ts';
import {
  InstallError,
  type InstallFailure,
  InternalError,
  LimitError,
  PythonError,
  SessionError,
  UsageError,
  VivariumError,
  WorkerError,
} from './errors.ts';

const { maxErrors, maxStackChars } = protocolLimits;
const maxMessageChars = 64 * 1024;
const maxDetailsChars = 256 * 1024;

/**
 * Anything thrown, for the wire: at most 8 errors of a chain, stacks and messages cut. Never throws, also when the
 * error is a hostile object. What has no code is `internal`, and its class name lies in `details.name`.
 */
export function toWire(error: unknown): WireError {
  return wire(error, maxErrors);
}

function wire(error: unknown, left: number): WireError {
  try {
    return describe(error, left);
  } catch {
    // Getters that throw, revoked proxies, objects without a text.
    return {
      code: 'internal',
      message: 'an error that cannot be read',
      details: {},
      stack: null,
      cause: null,
    };
  }
}

function describe(error: unknown, left: number): WireError {
  if (!(error instanceof Error)) {
    return { code: 'internal', message: cut(error, maxMessageChars), details: {}, stack: null, cause: null };
  }
  const { cause, message, stack } = error;
  return {
    code: codeOf(error),
    message: cut(message, maxMessageChars),
    details: error instanceof VivariumError ? detailsOf(error) : { name: cut(error.name, 100) },
    stack: stack === undefined ? null : cut(stack, maxStackChars),
    cause: cause === undefined || cause === null || left === 1 ? null : wire(cause, left - 1),
  };
}

function codeOf(error: Error): ErrorCode {
  if (error instanceof VivariumError) return error.code;
  return error instanceof ProtocolError ? 'protocol' : 'internal';
}

/** None at all when they are no JSON, or more than the wire takes. */
function detailsOf(error: VivariumError): Record<string, unknown> {
  try {
    const json = JSON.stringify(error.details);
    return json.length > maxDetailsChars ? {} : jsonObject(JSON.parse(json), 'details');
  } catch {
    return {};
  }
}

function cut(value: unknown, max: number): string {
  const text = String(value);
  return text.length > max ? `${text.slice(0, max - 1)}…` : text;
}

/** The error of the other side: its class by its code's fault, its stack in `details.remoteStack`. */
export function fromWire(error: WireError): VivariumError {
  const code = isErrorCode(error.code) ? error.code : 'internal';
  const details = error.stack === null ? error.details : { ...error.details, remoteStack: error.stack };
  const options = error.cause === null ? { details } : { details, cause: fromWire(error.cause) };
  return create(code, error.message, options);
}

const unknownFailure: InstallFailure = { reason: 'not_found', package: '', suggestion: '' };

/** The wire's details may be of any JSON type. */
function failureOf(details: Record<string, unknown>): InstallFailure {
  const known = Object.keys(unknownFailure).filter(
    (key) => Object.hasOwn(details, key) && typeof details[key] === 'string',
  );
  return { ...unknownFailure, ...Object.fromEntries(known.map((key) => [key, details[key]])) };
}

function create(
  code: ErrorCode,
  message: string,
  options: { details: Record<string, unknown>; cause?: VivariumError },
): VivariumError {
  const { fault } = errorCodes[code];
  if (isSessionCode(code)) return new SessionError(code, message, options);
  switch (fault) {
    case 'python':
      // Python's exceptions travel in a result, as data: this one has its message only.
      return new PythonError({ name: 'Exception', value: message, message, traceback: [], frames: [] });
    case 'limit':
      return new LimitError(code, message, options);
    case 'worker':
      return new WorkerError(code, message, options);
    case 'caller':
      return new UsageError(code, message, options);
    case 'install':
      return new InstallError(message, { ...options.details, ...failureOf(options.details) }, options.cause);
    case 'internal':
      return new InternalError(code, message, options);
  }
}

/** Anything thrown as one of ours, which it may be already; otherwise it becomes the cause of one. */
export function toVivariumError(error: unknown): VivariumError {
  if (error instanceof VivariumError) return error;
  const { message } = toWire(error);
  if (error instanceof ProtocolError) return new WorkerError('protocol', message, { cause: error });
  return new InternalError('internal', message, { cause: error });
}
