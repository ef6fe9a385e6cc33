import {
  InternalError,
  LimitError,
  SessionError,
  UsageError,
  VivariumError,
  WorkerError,
} from '../errors/errors.ts';

/** A sentence for messages. */
export function backAtRevision(revision: number): string {
  return `The session is back at revision ${revision}.`;
}

/** The same error, which also says what became of the session. */
export function backAt(error: unknown, revision: number): Error {
  const what = error instanceof Error ? error.message : String(error);
  const message = `${what}${/[.!?]$/.test(what) ? '' : '.'} ${backAtRevision(revision)}`;
  if (!(error instanceof VivariumError)) return new InternalError('internal', message, { cause: error });
  const { code, cause } = error;
  const options = { details: { ...error.details, revision }, cause: cause ?? error };
  for (const Kind of [SessionError, WorkerError, LimitError, UsageError, InternalError])
    if (error instanceof Kind) return new Kind(code, message, options);
  return error;
}

/** The store itself has failed. */
export function isOfStore(error: unknown): error is VivariumError {
  return error instanceof VivariumError && error.code === 'store';
}

/** It may have done what was asked all the same. */
export function isInDoubt(error: unknown): boolean {
  return isOfStore(error) && error.details.stored !== 'no';
}

export function isStale(error: unknown): boolean {
  return error instanceof SessionError && error.code === 'session_stale';
}

export function isNotFound(error: unknown): boolean {
  return error instanceof SessionError && error.code === 'session_not_found';
}

/** What is here is of no use: somebody else has the session, or has removed it. */
export function isOthers(error: unknown): boolean {
  return (
    isStale(error) || isNotFound(error) || (error instanceof SessionError && error.code === 'session_busy')
  );
}

export function isOfImage(error: unknown): boolean {
  return error instanceof SessionError && error.code === 'session_image';
}

export function outOfReach(): SessionError {
  return new SessionError(
    'session_stale',
    'The store of the session was out of reach for so long that another host may have the session: the run was ended.',
  );
}

export function notThere({ id }: { id: string }): SessionError {
  return new SessionError('session_not_found', `There is no session '${id}' any more.`);
}
