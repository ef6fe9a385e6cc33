/** What stores reject with, worded alike by every store. */
import { InternalError, SessionError, UsageError } from '../errors/errors.ts';
import type { Revision, SessionKey, StoreLimits } from './store.ts';

function named({ tenant, id }: SessionKey): string {
  return tenant === '' ? `session '${id}'` : `session '${id}' of tenant '${tenant}'`;
}

export function busy(key: SessionKey, heldBy: string, retryAfterMs: number): SessionError {
  const seconds = Math.ceil(retryAfterMs / 1000);
  const message = `${named(key)} is in use by another program; should that have died, it's free in ${seconds} s`;
  return new SessionError('session_busy', message, { details: { ...key, heldBy, retryAfterMs } });
}

/** `present`: its fence, when it's still there. */
export function stale(key: SessionKey, present: number | undefined): SessionError {
  const what = present === undefined ? 'was removed' : 'was released, or taken over by another host';
  const message = `${named(key)} ${what}: this call has changed nothing`;
  return new SessionError('session_stale', message, { details: { ...key, removed: present === undefined } });
}

export function notFound(key: SessionKey): SessionError {
  return new SessionError('session_not_found', `there is no ${named(key)}`, { details: { ...key } });
}

export function exists(key: SessionKey): SessionError {
  return new SessionError('session_exists', `there is a ${named(key)} already`, { details: { ...key } });
}

/** `asked`: what it would have been. */
export function overLimit(limit: keyof StoreLimits, max: number, asked: number): SessionError {
  const what = {
    maxSessions: `the store would have ${asked} sessions, ${max} at most (maxSessions): remove some`,
    maxSessionBytes: `the session would have ${asked} bytes, ${max} at most (maxSessionBytes): let go of data, or raise the limit`,
    maxTotalBytes: `the store would have ${asked} bytes, ${max} at most (maxTotalBytes): remove sessions, or raise the limit`,
  }[limit];
  const details = { limit, max, asked };
  return new SessionError('session_limit', `${what}. This call has changed nothing.`, { details });
}

export function badRevision(key: SessionKey, next: Revision, present: number): UsageError {
  return new UsageError('usage', `${named(key)} is at revision ${present}: ${next.revision} can't be saved`);
}

export function lacksBlob(hash: string): UsageError {
  return new UsageError('usage', `the store has no blob ${hash}, and it wasn't given`);
}

export function foreignBlob(key: SessionKey, hash: string): UsageError {
  return new UsageError('usage', `${named(key)} has no blob ${hash}`);
}

export function checkpointTaken(key: SessionKey, name: string): UsageError {
  return new UsageError('usage', `${named(key)} has a checkpoint '${name}' already`);
}

export function closed(): UsageError {
  return new UsageError('closed', 'the store is closed');
}

export type StoreFailure =
  /** No room on the disk, or none for its user. */
  | 'full'
  /** The disk failed, or can't be written to. */
  | 'disk'
  | 'damaged'
  /** Its schema is newer than this version knows. */
  | 'version'
  /** Somebody else held its lock for too long. */
  | 'locked'
  /** Out of reach, after retries. */
  | 'unreachable'
  /** Refused by the database, for a reason that retries don't change. */
  | 'refused';

export interface StoreErrorOptions {
  cause?: unknown;
  details?: Record<string, unknown>;
  /** Default 'no': the call has changed nothing. 'unknown': it may have been stored. */
  stored?: 'no' | 'unknown';
}

/** `message`: what happened, and what to do about it. What became of the change is added. */
export function storeError(
  reason: StoreFailure,
  message: string,
  { cause, details, stored = 'no' }: StoreErrorOptions = {},
): InternalError {
  const state =
    stored === 'no'
      ? `This call has changed nothing${reason === 'damaged' ? '' : '; what was stored before is untouched'}.`
      : "It isn't known whether this call was stored: it is so wholly or not at all.";
  return new InternalError('store', `${message} ${state}`, {
    cause,
    details: { reason, stored, ...details },
  });
}

/** A state that was stored and can't be read any more. */
export function damaged(
  what: string,
  details: Record<string, unknown> = {},
  key?: SessionKey,
  cause?: unknown,
): InternalError {
  const whose = key === undefined ? '' : `${named(key)}: `;
  const message = `${whose}${what}. Restore the store from a backup, or remove the session.`;
  return new InternalError('store', message, {
    cause,
    details: { reason: 'damaged', stored: 'no', ...key, ...details },
  });
}
