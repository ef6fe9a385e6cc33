/**
 * A session as bytes, for callers that keep it themselves: a prelude, the manifest, its blobs as they are stored, and a sum over all of it: HMAC-SHA-256
 * with the runtime's key, or SHA-256 without one. Numbers are little-endian.
 *
 *     0  8  magic                   16  4  bytes of the manifest
 *     8  4  version                 20  4  blobs
 *    12  4  1 with a key, else 0    24  4  bytes of each blob
 */
import { timingSafeEqual, webcrypto } from 'node:crypto';
import { SessionError } from '../errors/errors.ts';
import { FormatError } from './format-error.ts';
import { decodeManifest, encodeManifest, type Manifest } from './manifest.ts';

export const sessionBytesVersion = 1;
const magic = 'VIVSESSN';
const preludeBytes = 24;
const sumBytes = 32;

export interface PortableSession {
  readonly manifest: Manifest;
  /** Compressed, by hash. */
  readonly blobs: ReadonlyMap<string, Uint8Array>;
}

export interface BytesOptions {
  readonly key: Uint8Array | undefined;
  readonly maxBytes: number;
}

/** Rejects with `session_limit`. */
export async function encodeSession(
  { manifest, blobs }: PortableSession,
  { key, maxBytes }: BytesOptions,
): Promise<Uint8Array> {
  const head = await encodeManifest(manifest);
  const parts = [...new Set(manifest.blobs)].map((hash) => {
    const blob = blobs.get(hash);
    if (!blob) throw new TypeError('A session is written with all of its blobs.');
    return blob;
  });
  const headEnd = preludeBytes + 4 * parts.length;
  const size = [head, ...parts].reduce((sum, part) => sum + part.byteLength, headEnd) + sumBytes;
  assertSize(size, maxBytes);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(magic));
  const numbers = [sessionBytesVersion, key ? 1 : 0, head.byteLength, parts.length];
  for (const [index, number] of [...numbers, ...parts.map((part) => part.byteLength)].entries())
    view.setUint32(magic.length + 4 * index, number, true);
  let at = headEnd;
  for (const part of [head, ...parts]) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  bytes.set(await sumOf(bytes.subarray(0, at), key), at);
  return bytes;
}

/** Nothing is read before the sum is right. Rejects with `session_bytes` and `session_limit`. */
export async function decodeSession(
  bytes: Uint8Array,
  tenant: string,
  { key, maxBytes }: BytesOptions,
): Promise<PortableSession> {
  assertSize(bytes.byteLength, maxBytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isOurs = bytes.byteLength >= magic.length + 4 && text(bytes.subarray(0, magic.length)) === magic;
  if (!isOurs) throw refused('They are no session of Vivarium.');
  const version = view.getUint32(magic.length, true);
  if (version > sessionBytesVersion)
    throw refused('They were made by a newer version of Vivarium: update this one.');
  if (version !== sessionBytesVersion) throw refused('They are of no version that is known.');
  if (bytes.byteLength < preludeBytes + sumBytes) throw refused('They are cut.');
  const end = bytes.byteLength - sumBytes;
  await assertSum(bytes.subarray(0, end), bytes.subarray(end), view.getUint32(12, true), key);
  const pieces = piecesOf(bytes.subarray(0, end), view);
  try {
    const manifest = await decodeManifest(pieces.head);
    if (manifest.tenant !== tenant) throw refused('They are of another tenant.');
    const hashes = [...new Set(manifest.blobs)];
    if (hashes.length !== pieces.parts.length) throw new FormatError('manifest and its blobs disagree');
    return { manifest, blobs: new Map(hashes.map((hash, index) => [hash, pieces.parts[index] ?? bytes])) };
  } catch (error) {
    throw error instanceof FormatError ? refused(`They are damaged: ${error.message}.`, error) : error;
  }
}

async function assertSum(
  content: Uint8Array,
  sum: Uint8Array,
  kind: number,
  key: Uint8Array | undefined,
): Promise<void> {
  if (key && kind === 0) throw refused('They were made without a key, and this runtime has one.');
  if (!key && kind === 1) throw refused('They were made with a key: set sessions.key to it.');
  if (!timingSafeEqual(sum, await sumOf(content, key)))
    throw refused(
      key ? 'They are damaged, or were not made with this runtime’s key.' : 'They are cut or altered.',
    );
}

function piecesOf(content: Uint8Array, view: DataView): { head: Uint8Array; parts: Uint8Array[] } {
  const count = view.getUint32(20, true);
  const start = preludeBytes + 4 * count;
  if (start > content.byteLength) throw refused('Their lengths disagree.');
  const lengths = [view.getUint32(16, true)];
  for (let index = 0; index < count; index++) lengths.push(view.getUint32(preludeBytes + 4 * index, true));
  let at = start;
  const [head = content, ...parts] = lengths.map((length) => {
    at += length;
    return content.subarray(at - length, at);
  });
  if (at !== content.byteLength) throw refused('Their lengths disagree.');
  return { head, parts };
}

/** In another thread: there may be much of it. */
async function sumOf(content: Uint8Array, key: Uint8Array | undefined): Promise<Uint8Array> {
  const { subtle } = webcrypto;
  const bytes = content as Uint8Array<ArrayBuffer>;
  if (!key) return new Uint8Array(await subtle.digest('SHA-256', bytes));
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const imported = await subtle.importKey('raw', key as Uint8Array<ArrayBuffer>, algorithm, false, ['sign']);
  return new Uint8Array(await subtle.sign('HMAC', imported, bytes));
}

function assertSize(bytes: number, maxBytes: number): void {
  if (bytes > maxBytes)
    throw new SessionError(
      'session_limit',
      `The session takes ${bytes} bytes, more than the ${maxBytes} allowed.`,
      {
        details: { bytes, maxBytes },
      },
    );
}

export function refused(why: string, cause?: unknown): SessionError {
  const message = `These bytes can't be read as a session. ${why}`;
  return new SessionError('session_bytes', message, cause === undefined ? {} : { cause });
}

function text(bytes: Uint8Array): string {
  return new TextDecoder('latin1').decode(bytes);
}
