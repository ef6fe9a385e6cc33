/** What callers give a store, checked alike by every store. */
import { UsageError } from '../errors/errors.ts';
import { maxMetaBytes, maxNameBytes, type Revision, type SessionKey } from './store.ts';

const utf8 = new TextEncoder();

export function checkKey({ tenant, id }: SessionKey): void {
  checkName('a tenant', tenant);
  checkName('a session', id);
  if (id === '') throw new UsageError('usage', 'a session needs an id');
}

/** Of a tenant, a session, an owner or a checkpoint: what every database stores as it is. */
export function checkName(whose: string, name: string): void {
  const wrong =
    utf8.encode(name).length > maxNameBytes
      ? `has more than ${maxNameBytes} bytes`
      : !name.isWellFormed() || name.includes('\0')
        ? 'has characters that are none'
        : undefined;
  if (wrong !== undefined) throw new UsageError('usage', `the name of ${whose} ${wrong}`);
}

export function checkDuration(name: string, ms: number): void {
  if (!(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER / 2)) throw new UsageError('usage', `${name}: ${ms}`);
}

export function encodeMeta(meta: Readonly<Record<string, unknown>>): string {
  const json = JSON.stringify(meta);
  const { length } = utf8.encode(json);
  if (length <= maxMetaBytes) return json;
  throw new UsageError(
    'usage',
    `what is kept with a session has ${length} bytes as JSON, ${maxMetaBytes} at most`,
  );
}

export function checkRevision({ revision, blobs }: Revision): void {
  if (!Number.isSafeInteger(revision) || revision < 1) throw new UsageError('usage', `revision ${revision}`);
  // They become the names of files.
  const bad = blobs.find((hash) => !/^[0-9a-f]{64}$/.test(hash));
  if (bad !== undefined) throw new UsageError('usage', `'${bad.slice(0, 80)}' is no SHA-256`);
}

/** The blobs among `fresh` that the revision names. */
export function namedBlobs(
  { blobs }: Revision,
  fresh: ReadonlyMap<string, Uint8Array>,
): Map<string, Uint8Array> {
  const named = new Map<string, Uint8Array>();
  for (const hash of blobs) {
    const bytes = fresh.get(hash);
    if (bytes !== undefined) named.set(hash, bytes);
  }
  return named;
}

/** As UTF-8, which is the order of both databases. */
export function compareNames(a: string, b: string): number {
  const [left, right] = [utf8.encode(a), utf8.encode(b)];
  for (const [index, byte] of left.entries()) {
    const other = right[index];
    if (other === undefined) return 1;
    if (byte !== other) return byte - other;
  }
  return left.length - right.length;
}

export function compareKeys(a: SessionKey, b: SessionKey): number {
  return compareNames(a.tenant, b.tenant) || compareNames(a.id, b.id);
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

export function sameRevision(a: Revision, b: Revision): boolean {
  return (
    a.revision === b.revision &&
    a.blobs.length === b.blobs.length &&
    a.blobs.every((hash, index) => hash === b.blobs[index]) &&
    equalBytes(a.manifest, b.manifest)
  );
}
