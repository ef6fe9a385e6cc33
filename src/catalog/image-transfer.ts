/** Images as one file, to be taken to other machines. */
import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createZstdCompress, createZstdDecompress } from 'node:zlib';
import { InstallError } from '../errors/errors.ts';
import { decodePrelude, preludeBytes } from '../image/format.ts';
import { ImageError, maxImageBytes } from '../image/header.ts';
import { trace } from '../util/trace.ts';

/** More than any image shrinks, and less than what only wants to fill a disk. */
const maxRatio = 100;
const ratioFromBytes = 16 * 1024 * 1024;

/** Copies an image's file, compressed when `to` ends with `.zst`. `to` is there whole or not at all. */
export async function writeExport(from: string, to: string, signal?: AbortSignal): Promise<void> {
  await whole(to, (temporary) => {
    const out = createWriteStream(temporary, { flags: 'wx', mode: 0o644, flush: true });
    const options = signal === undefined ? {} : { signal };
    return to.endsWith('.zst')
      ? pipeline(createReadStream(from), createZstdCompress(), out, options)
      : pipeline(createReadStream(from), out, options);
  });
}

/**
 * Copies what was exported into a file, as far as it can be an image: no further than its beginning says it goes. `check` looks at
 * the rest, before it gets its name. Rejects with `ImageError`.
 */
export async function readExport(
  from: string,
  to: string,
  check: (path: string) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const compressed = await isZstd(from);
  await whole(to, async (temporary) => {
    const packed = { bytes: 0 };
    const options = signal === undefined ? {} : { signal };
    const source = createReadStream(from);
    source.on('data', ({ length }) => {
      packed.bytes += length;
    });
    const out = createWriteStream(temporary, { flags: 'wx', mode: 0o600, flush: true });
    const guard = new ImageGuard(compressed ? packed : undefined);
    try {
      if (compressed) await pipeline(source, createZstdDecompress(), guard, out, options);
      else await pipeline(source, guard, out, options);
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
      if (!code.startsWith('ZSTD_error') && !code.startsWith('Z_')) throw cause;
      throw new ImageError('image is not compressed as zstd has it, or cut short', { cause });
    }
    await check(temporary);
  });
}

/** Lets an image through, and stops what is none, or longer than it says. */
class ImageGuard extends Transform {
  readonly #packed: { bytes: number } | undefined;
  #start: Buffer = Buffer.alloc(0);
  #expected = 0;
  #bytes = 0;

  constructor(packed: { bytes: number } | undefined) {
    super();
    this.#packed = packed;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      this.#look(chunk);
      done(null, chunk);
    } catch (error) {
      done(error as Error);
    }
  }

  override _flush(done: TransformCallback): void {
    done(this.#bytes === this.#expected && this.#bytes > 0 ? null : new ImageError('image is cut short'));
  }

  #look(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#expected === 0) {
      this.#start = Buffer.concat([this.#start, chunk.subarray(0, preludeBytes)]);
      if (this.#start.length < preludeBytes) return;
      this.#expected = Number(this.#start.readBigUInt64LE(16));
      decodePrelude(this.#start, this.#expected);
      if (this.#expected > maxImageBytes) throw new ImageError(`image has more than ${maxImageBytes} bytes`);
    }
    if (this.#bytes > this.#expected) throw new ImageError('image is longer than it says');
    if (this.#packed === undefined || this.#bytes < ratioFromBytes) return;
    if (this.#bytes > this.#packed.bytes * maxRatio)
      throw new ImageError(`image unpacks to more than ${maxRatio} times of what it is`);
  }
}

async function isZstd(path: string): Promise<boolean> {
  await using file = await open(path);
  const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0);
  return buffer.readUInt32LE(0) === 0xfd2fb528;
}

/** Makes a file beside its name, and moves it there. */
async function whole(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await make(temporary);
    trace('image.writing', { temporary, path });
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** For what is no image, whatever was asked of it. */
export function refusedImage(path: string, why: string, suggestion: string, cause?: unknown): InstallError {
  return new InstallError(
    `The image ${path} can't be used: ${why}; ${suggestion}.`,
    { reason: 'bad_lock', package: '', suggestion },
    cause,
  );
}
