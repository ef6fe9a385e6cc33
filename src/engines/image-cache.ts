import { createHash, randomUUID } from 'node:crypto';
import { constants, createWriteStream, rmSync, type WriteStream } from 'node:fs';
import { access, mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import envPaths from 'env-paths';
import { WorkerError } from '../errors/errors.ts';
import { type Fingerprint, maxImageBytes } from '../image/header.ts';
import { trace } from '../util/trace.ts';
import { unlessAborted } from '../util/unless-aborted.ts';

/** `VIVARIUM_CACHE_DIR`, or the user's cache folder as the platform has it. */
export function defaultCacheDir(): string {
  return process.env.VIVARIUM_CACHE_DIR || envPaths('vivarium', { suffix: '' }).cache;
}

export function imagesDir(cacheDir: string): string {
  return join(cacheDir, 'images');
}

const dayMs = 24 * 3_600_000;
/** What a process left that was killed while it wrote: nothing was written to it for so long. */
export const temporaryKeepMs = 600_000;
const imageKeepMs = 30 * dayMs;

/** Takes the next piece of an image. Throws when that is too much; resolves, never rejects, when the disk has had it. */
export type TakeImage = (bytes: Uint8Array) => Promise<void>;

/** Makes an image and hands it over piece by piece. */
export type ImageWriter = (take: TakeImage) => Promise<void>;

interface Build {
  path: Promise<string>;
  /** Of the one who asked first. */
  signal: AbortSignal | undefined;
}

/**
 * Images on disk, named by what they fit. A file appears whole or not at all: it is written beside its name and moved
 * there, so that processes which build the same image at once don't disturb each other.
 */
export class ImageCache {
  readonly #dir: string;
  readonly #maxBytes: number;
  readonly #builds = new Map<string, Build>();
  #built = 0;

  /** `maxBytes`: of one image. */
  constructor(cacheDir: string, maxBytes: number = maxImageBytes) {
    this.#dir = imagesDir(cacheDir);
    this.#maxBytes = maxBytes;
  }

  pathOf(fingerprint: Fingerprint): string {
    const { pyodide, buildId, kernelHash, lockHash } = fingerprint;
    const hash = createHash('sha256')
      .update([pyodide, buildId, kernelHash, lockHash].join('\n'))
      .digest('hex');
    return join(this.#dir, `${lockHash === '' ? 'stdlib' : 'packages'}-${hash.slice(0, 24)}.image`);
  }

  /** How many images this process has built: see `discard`. */
  get built(): number {
    return this.#built;
  }

  /**
   * The image's path; builds it when it is missing, once for all who ask at the same time. When the first of them
   * aborts the build, the next one takes it over.
   */
  async find(fingerprint: Fingerprint, build: ImageWriter, signal?: AbortSignal): Promise<string> {
    const path = this.pathOf(fingerprint);
    for (;;) {
      const other = this.#builds.get(path);
      if (other !== undefined) {
        try {
          return await unlessAborted(other.path, signal);
        } catch (error) {
          if (signal?.aborted || !other.signal?.aborted) throw error;
        }
      } else if (await isThere(path)) return path;
      else if (!this.#builds.has(path)) {
        const promise = this.#build(path, build).finally(() => this.#builds.delete(path));
        this.#builds.set(path, { path: promise, signal });
        return promise;
      }
    }
  }

  /**
   * Removes a damaged image, so that the next `find` builds it anew. Nothing is removed when one has been built since
   * `built` was that: somebody else has seen the damage too.
   */
  async discard(fingerprint: Fingerprint, built: number): Promise<void> {
    const path = this.pathOf(fingerprint);
    if (built !== this.#built || this.#builds.has(path)) return;
    await rm(path, { recursive: true, force: true });
  }

  async #build(path: string, build: ImageWriter): Promise<string> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    // Told before the work is done, not after it.
    await access(this.#dir, constants.W_OK);
    await this.#removeOld(path);
    const temporary = `${path}.${randomUUID()}.tmp`;
    // A program that ends while it builds leaves nothing, unless it is killed.
    const clear = (): void => rmSync(temporary, { force: true });
    process.once('exit', clear);
    // Made with its first piece, so that its last change tells whether anybody still writes.
    let open: { file: WriteStream; written: Promise<void> } | undefined;
    const opened = (): { file: WriteStream; written: Promise<void> } => {
      if (open !== undefined) return open;
      const file = createWriteStream(temporary, { mode: 0o600, flush: true });
      open = { file, written: finished(file) };
      // Reported below, also when it fails while the build goes on.
      open.written.catch(() => {});
      return open;
    };
    let total = 0;
    const take: TakeImage = (bytes) => {
      total += bytes.length;
      if (total > this.#maxBytes)
        throw new WorkerError('boot_failed', `the image has more than ${this.#maxBytes} bytes`);
      const { promise, resolve } = Promise.withResolvers<void>();
      opened().file.write(bytes, () => resolve());
      return promise;
    };
    try {
      await build(take);
      opened().file.end();
      await opened().written;
      trace('image.writing', { temporary, path });
      await rename(temporary, path);
      this.#built += 1;
    } catch (error) {
      open?.file.destroy();
      // It may be about to be opened, and would be made after it was removed.
      await open?.written.catch(() => {});
      await rm(temporary, { force: true });
      throw error;
    } finally {
      process.off('exit', clear);
    }
    return path;
  }

  /** Images that nobody used for long, and leftovers of killed processes. All can be made again. */
  async #removeOld(kept: string): Promise<void> {
    for (const name of await readdir(this.#dir)) {
      const path = join(this.#dir, name);
      const keepMs = name.endsWith('.tmp') ? temporaryKeepMs : imageKeepMs;
      if (path === kept || !/\.(image|tmp)$/.test(name)) continue;
      const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
      if (Date.now() - mtimeMs > keepMs) await rm(path, { recursive: true, force: true });
    }
  }
}

/** Whether there is an image, which counts as its use. */
async function isThere(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (found !== undefined) await noteUse(path, found.mtimeMs);
  return found !== undefined;
}

/** The time of a file's last change stands for its last use, to the day. */
export async function noteUse(path: string, mtimeMs: number): Promise<void> {
  const now = Date.now();
  if (now - mtimeMs < dayMs) return;
  // Somebody else's cache may be read-only.
  await utimes(path, now / 1000, now / 1000).catch(() => {});
}
