import { createHash, randomUUID } from 'node:crypto';
import { access, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import envPaths from 'env-paths';
import type { Fingerprint } from '../image/format.ts';

/** `VIVARIUM_CACHE_DIR`, or the user's cache folder as the platform has it. */
export function defaultCacheDir(): string {
  return process.env.VIVARIUM_CACHE_DIR ?? envPaths('vivarium', { suffix: '' }).cache;
}

/**
 * Images on disk, named by what they fit. A file appears whole or not at all: it is written beside its name and moved
 * there, so that processes which build the same image at once don't disturb each other.
 */
export class ImageCache {
  readonly #dir: string;
  readonly #builds = new Map<string, Promise<string>>();

  constructor(cacheDir: string) {
    this.#dir = join(cacheDir, 'images');
  }

  pathOf(fingerprint: Fingerprint): string {
    const { pyodide, buildId, kernelHash, lockHash } = fingerprint;
    const hash = createHash('sha256')
      .update([pyodide, buildId, kernelHash, lockHash].join('\n'))
      .digest('hex');
    return join(this.#dir, `${lockHash === '' ? 'stdlib' : 'packages'}-${hash.slice(0, 24)}.image`);
  }

  /** The image's path; builds it when it is missing, once for all who ask at the same time. */
  async find(fingerprint: Fingerprint, build: () => Promise<Uint8Array>): Promise<string> {
    const path = this.pathOf(fingerprint);
    const building = this.#builds.get(path);
    if (building !== undefined) return building;
    if (await exists(path)) return path;
    const started = this.#builds.get(path);
    if (started !== undefined) return started;
    const promise = this.#build(path, build).finally(() => this.#builds.delete(path));
    this.#builds.set(path, promise);
    return promise;
  }

  /** Removes a damaged image, so that the next `find` builds it anew. */
  async discard(fingerprint: Fingerprint): Promise<void> {
    await rm(this.pathOf(fingerprint), { force: true });
  }

  async #build(path: string, build: () => Promise<Uint8Array>): Promise<string> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const image = await build();
    const temporary = `${path}.${randomUUID()}.tmp`;
    try {
      await writeFile(temporary, image, { mode: 0o600, flush: true });
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    return path;
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
