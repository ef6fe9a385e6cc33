import { SessionError } from '../errors/errors.ts';
import {
  type DeltaHeader,
  type DeltaNode,
  fileBlobBytes,
  parseDeltaHeader,
  regionBytes,
} from '../image/delta.ts';
import { deflate, inflate } from './blobs.ts';
import { FormatError } from './format-error.ts';

/** Raised by one whenever a manifest changes its meaning. */
export const manifestVersion = 1;

/** Of its text. A session of a hundred thousand files has some forty megabytes. */
const maxManifestBytes = 128 * 2 ** 20;
const maxNameChars = 4096;
export const maxBlobBytes: number = Math.max(regionBytes, fileBlobBytes);

/** What a revision is: what its image is, and what it differs by from that. */
export interface Manifest {
  readonly image: ManifestImage;
  readonly tenant: string;
  /** The version that made it. */
  readonly pyodide: string;
  /** Null: it's as its image. */
  readonly header: DeltaHeader | null;
  /** SHA-256 of each of the delta's blobs, in their order. */
  readonly blobs: readonly string[];
}

export interface ManifestImage {
  readonly name: string;
  readonly lockHash: string;
}

/** Compressed: a line of facts, then a line of the header. */
export function encodeManifest({ header, ...facts }: Manifest): Promise<Uint8Array> {
  const line = JSON.stringify({ version: manifestVersion, ...facts });
  return deflate(new TextEncoder().encode(`${line}\n${JSON.stringify(header)}`));
}

/** Checks everything. Rejects with `FormatError`. */
export async function decodeManifest(bytes: Uint8Array): Promise<Manifest> {
  const text = new TextDecoder().decode(await inflate(bytes, maxManifestBytes, 'manifest'));
  const end = text.indexOf('\n');
  const facts = factsOf(text.slice(0, Math.max(0, end)));
  const header = headerOf(text.slice(end + 1));
  if ((header?.blobs.length ?? 0) !== facts.blobs.length)
    throw new FormatError('manifest and its blobs disagree');
  return { ...facts, header };
}

function factsOf(line: string): Omit<Manifest, 'header'> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new FormatError('manifest is no JSON', { cause });
  }
  const { version, image, tenant, pyodide, blobs } = (value ?? {}) as Partial<Manifest> & {
    version?: unknown;
  };
  if (version !== manifestVersion) {
    const newer = typeof version === 'number' && version > manifestVersion;
    throw new FormatError(
      newer ? 'made by a newer version of Vivarium' : 'manifest has no version that is known',
    );
  }
  const { name, lockHash } = (image ?? {}) as Partial<ManifestImage>;
  if (!isName(name) || !isName(lockHash) || !isName(tenant) || !isName(pyodide))
    throw new FormatError('manifest has the wrong shape');
  if (!Array.isArray(blobs) || !blobs.every(isHash)) throw new FormatError('manifest has the wrong hashes');
  return { image: { name, lockHash }, tenant, pyodide, blobs };
}

function headerOf(line: string): DeltaHeader | null {
  if (line === 'null') return null;
  let header: DeltaHeader;
  try {
    header = parseDeltaHeader(line);
  } catch (cause) {
    throw new FormatError('manifest has no header of a delta', { cause });
  }
  // What is read is bounded by it.
  if (header.blobs.some((bytes) => bytes > maxBlobBytes))
    throw new FormatError('manifest has blobs that are too large');
  return header;
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value.length <= maxNameChars;
}

function isHash(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
}

/** Bytes of all that it names, uncompressed. */
export function rawBytes({ header }: Manifest): number {
  return (header?.blobs ?? []).reduce((sum, bytes) => sum + bytes, 0);
}

/** Whether two are one state; its clock goes on by itself. */
export function isSameState(one: Manifest, other: Manifest): boolean {
  if (one.blobs.length !== other.blobs.length || one.blobs.some((hash, index) => hash !== other.blobs[index]))
    return false;
  return headText(one) === headText(other);
}

function headText({ header }: Manifest): string {
  return JSON.stringify(header && { ...header, monotonicMs: 0 });
}

/** The hashes of what a file holds; empty for an empty one, undefined for one whose bytes are the image's. */
export function blobsOf(manifest: Manifest, node: DeltaNode): readonly string[] | undefined {
  return node.original === null ? manifest.blobs.slice(node.blob, node.blob + node.blobs) : undefined;
}

/** Throws `session_image`. */
export function assertImage({ image: made, pyodide }: Manifest, image: ManifestImage): void {
  if (made.lockHash === image.lockHash) return;
  const by = pyodide === '' ? '' : `, with Pyodide ${pyodide}`;
  throw new SessionError(
    'session_image',
    `The session was made with the image '${made.name}'${by}, and '${image.name}' is another one or another build of it. ` +
      'Name the image that it was made with, or begin another session.',
    { details: { image: made.name, lockHash: made.lockHash } },
  );
}

/** Only the kernel can tell: the image has the same packages, and was built by another version of Vivarium or Pyodide. */
export function rebuilt({ image, pyodide }: Manifest, present: string, cause: unknown): SessionError {
  const versions = pyodide === present ? '' : ` (with Pyodide ${pyodide}; this is ${present})`;
  return new SessionError(
    'session_image',
    `The session was made with another build of the image '${image.name}'${versions}, and fits that one only. ` +
      'Open it with the version that made it, reset() it (%reset at the prompt of vivarium repl), or begin another session.',
    { cause, details: { image: image.name, pyodide } },
  );
}
