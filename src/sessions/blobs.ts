import { createHash, webcrypto } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import { FormatError } from './format-error.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);
/** Half a gigabyte a second; the next level takes twice as long for a tenth less. */
const level = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
/** Node's thread pool has four threads, which others want too. */
const concurrency = 3;
/** Hashing more takes longer than handing it to another thread. */
const longBytes = 64 * 1024;

/** Blobs by their hashes. */
export interface PackedBlobs {
  /** Of each blob, in their order: SHA-256 in hexadecimal. */
  readonly hashes: string[];
  /** Compressed: those that weren't known. */
  readonly fresh: Map<string, Uint8Array>;
}

/** Compresses those whose hashes aren't `known`. */
export async function packBlobs(
  blobs: readonly Uint8Array[],
  known: ReadonlySet<string>,
): Promise<PackedBlobs> {
  const hashes = await mapBounded(blobs, hashOf);
  const fresh = new Map<string, Uint8Array>();
  const seen = new Set(known);
  const missing = blobs
    .map((blob, index) => ({ blob, hash: hashes[index] ?? '' }))
    .filter(({ hash }) => !seen.has(hash) && seen.add(hash));
  await mapBounded(missing, async ({ blob, hash }) => fresh.set(hash, await deflate(blob)));
  return { hashes, fresh };
}

/**
 * The blobs of these hashes and lengths, which `read` gives compressed. Rejects with `FormatError` when one isn't what its hash and its length
 * say, and takes no more memory for it than that length.
 */
export async function unpackBlobs(
  hashes: readonly string[],
  lengths: readonly number[],
  read: (hash: string) => Promise<Uint8Array>,
): Promise<{ blobs: Uint8Array[]; readBytes: number }> {
  let readBytes = 0;
  const blobs = await mapBounded(hashes, async (hash, index) => {
    const length = lengths[index] ?? 0;
    const compressed = await read(hash);
    readBytes += compressed.byteLength;
    const blob = await inflate(compressed, length, hash);
    if (blob.byteLength !== length || (await hashOf(blob)) !== hash)
      throw new FormatError(`blob ${hash.slice(0, 12)} is damaged`);
    return blob;
  });
  return { blobs, readBytes };
}

export async function deflate(bytes: Uint8Array): Promise<Uint8Array> {
  return plain(await compress(bytes, level));
}

/** Rejects with `FormatError` when it's damaged or longer. */
export async function inflate(bytes: Uint8Array, maxLength: number, name: string): Promise<Uint8Array> {
  try {
    return plain(await decompress(bytes, { maxOutputLength: Math.max(1, maxLength) }));
  } catch (cause) {
    throw new FormatError(`blob ${name.slice(0, 12)} is damaged`, { cause });
  }
}

/** A `Buffer` has a `slice` that copies nothing, which nobody expects of bytes. */
function plain({ buffer, byteOffset, byteLength }: Buffer): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

async function hashOf(bytes: Uint8Array): Promise<string> {
  if (bytes.byteLength < longBytes) return createHash('sha256').update(bytes).digest('hex');
  const digest = await webcrypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return Buffer.from(digest).toString('hex');
}

/** In order, so many at a time. The first failure is the whole's, and nothing is begun after it. */
export async function mapBounded<T, R>(
  items: readonly T[],
  map: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  let failed = false;
  const take = async () => {
    while (next < items.length && !failed) {
      const index = next++;
      try {
        results[index] = await map(items[index] as T, index);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, take));
  return results;
}
