import { UsageError } from '../errors/errors.ts';
import type { ImageRequest } from '../pool/images.ts';
import { imageRequest, sessionImageShape } from '../pool/run-options.ts';
import { durabilities } from '../pool/session-settings.ts';
import type { SessionOptions } from '../session.ts';
import { maxNameBytes } from '../store/store.ts';
import { boolean, checkOptions, oneOf, optional, satisfying } from '../util/options.ts';

const shape = {
  ...sessionImageShape,
  durability: optional(oneOf(...durabilities)),
  whenBusy: optional(oneOf('queue', 'reject')),
  tasks: optional(oneOf('keep', 'cancel', 'refuse')),
  create: optional(boolean),
  bytes: optional(satisfying<Uint8Array>('bytes', (value) => value instanceof Uint8Array)),
};

export interface CheckedSession extends SessionOptions {
  readonly request: ImageRequest | undefined;
}

/** Throws a `TypeError` for what is ill-typed or unknown, and `usage`. */
export function checkSession(options: SessionOptions | undefined): CheckedSession {
  const checked = checkOptions('session', options, shape);
  if (checked.bytes && checked.create === false)
    throw new UsageError('usage', 'session: bytes begin a session, which create: false forbids.');
  return { ...checked, request: imageRequest(checked) };
}

export function checkList(options: { tenant?: string | undefined } | undefined): { tenant?: string } {
  return checkOptions('sessions', options, {
    tenant: optional(satisfying<string>('text', (value) => typeof value === 'string')),
  });
}

/** Ids are shown, and written to files and databases. */
export function assertSessionId(id: unknown): void {
  const right =
    typeof id === 'string' &&
    id.length > 0 &&
    new TextEncoder().encode(id).byteLength <= maxNameBytes &&
    id.isWellFormed() &&
    !/\p{Cc}/u.test(id);
  if (!right)
    throw new TypeError(
      `session: an id must be a text of 1 to ${maxNameBytes} bytes, without control characters`,
    );
}
