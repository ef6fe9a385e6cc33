import { InternalError, UsageError } from '../errors/errors.ts';
import type { ImageSource } from '../packages/image-source.ts';
import type { ImageRequest } from '../pool/images.ts';
import { maxMetaBytes, type SessionRecord } from '../store/store.ts';

/** What the store keeps with a session, to find its image again. */
export interface SessionMeta {
  readonly name: string;
  readonly lockHash: string;
  /** Undefined: the runtime's own. */
  readonly request: ImageRequest | undefined;
}

/** Throws `usage`. */
export function metaOf(
  request: ImageRequest | undefined,
  { name, lockHash }: ImageSource,
): Readonly<Record<string, unknown>> {
  const meta = { image: name, lockHash, request: request ?? null };
  if (new TextEncoder().encode(JSON.stringify(meta)).byteLength > maxMetaBytes)
    throw new UsageError(
      'usage',
      'session: the packages are too many to be kept with a session: build a named image of them.',
    );
  return meta;
}

/** Throws `store`. */
export function readMeta({ meta, key }: SessionRecord): SessionMeta {
  const { image, lockHash, request } = meta;
  const asked = requestOf(request);
  if (typeof image !== 'string' || typeof lockHash !== 'string' || asked === undefined)
    throw new InternalError(
      'store',
      `What is stored of session '${key.id}' isn't from this version of Vivarium.`,
    );
  return { name: image, lockHash, request: asked ?? undefined };
}

function requestOf(value: unknown): ImageRequest | null | undefined {
  if (value === null) return null;
  const { image, packages } = (value ?? {}) as { image?: unknown; packages?: unknown };
  if (typeof image === 'string') return { image };
  const isList = Array.isArray(packages) && packages.every((each) => typeof each === 'string');
  return isList ? { packages: packages as string[] } : undefined;
}
