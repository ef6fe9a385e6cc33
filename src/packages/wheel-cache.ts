import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import type { LookupFunction } from 'node:net';
import { dirname, join } from 'node:path';
import { InstallError, type InstallFailure } from '../errors/errors.ts';
import type { Progress } from '../runtime.ts';
import { type Clock, systemClock } from '../util/clock.ts';
import { isDiskError } from '../util/disk-error.ts';
import { trace } from '../util/trace.ts';
import {
  type Distribution,
  type InstalledPyodide,
  installedPyodide,
  loadDistribution,
} from './distribution.ts';
import { PartialDownloads } from './download.ts';
import type { FetchBudget } from './fetch-budget.ts';
import { type Asking, Http } from './http.ts';
import type { LockedPackage } from './lock.ts';
import {
  markWheel,
  noteWheelUse,
  pruneWheels,
  type WheelCacheLimits,
  wheelCacheLimits,
} from './prune-wheels.ts';
import { describeMirror, mirrorError, type Sources } from './sources.ts';
import { unsafe, vetWheel, wheelLimits } from './vet-wheel.ts';

const parallelDownloads = 6;
const progressStepBytes = 64 * 1024;
/** What a mirror of the web lists is asked for again after so long. */
const distributionKeepMs = 60_000;

export interface WheelCacheOptions {
  cacheDir: string;
  sources: Sources;
  clock?: Clock;
  /** Of a wheel. Default 512 MiB. */
  maxBytes?: number;
  /** Of the folder. */
  limits?: WheelCacheLimits;
  /** Resolves names of hosts. Default: the system's. */
  lookup?: LookupFunction;
}

export interface FetchOptions {
  signal?: AbortSignal;
  /** Stage `packages`, in bytes over all wheels; `total` is 0 until all sizes are known. */
  onProgress?: (progress: Progress) => void;
  /** Whose count it is on. Default: nobody's. */
  budget?: FetchBudget;
  /** The files themselves are needed: none is removed for a while. Default false. */
  hold?: boolean;
}

/** What has to be known of a wheel to fetch it. */
export type WantedWheel = Pick<LockedPackage, 'name' | 'version' | 'fileName' | 'sha256' | 'source'>;

export interface CachedWheel {
  package: WantedWheel;
  path: string;
  bytes: Uint8Array;
}

type Place = { kind: 'file'; path: string } | { kind: 'url'; url: string };

/**
 * Wheels on disk by what is in them: `wheels/<sha256>/<file name>`. A file is there whole, verified and vetted, or not at all; it
 * is verified again whenever it is used, since anybody may have written to the folder.
 */
export class WheelCache {
  readonly http: Http;
  readonly #cacheDir: string;
  readonly #dir: string;
  readonly #sources: Sources;
  readonly #partial: PartialDownloads;
  readonly #maxBytes: number;
  readonly #limits: WheelCacheLimits;
  readonly #underWay = new Map<string, Promise<unknown>>();
  readonly #clock: Clock;
  #pyodide: Promise<InstalledPyodide> | undefined;
  #distribution: { found: Distribution; at: number } | undefined;

  constructor(options: WheelCacheOptions) {
    this.#sources = options.sources;
    this.#clock = options.clock ?? systemClock;
    this.#maxBytes = options.maxBytes ?? wheelLimits.maxBytes;
    this.#limits = options.limits ?? wheelCacheLimits;
    this.http = new Http(options.sources, { clock: options.clock, lookup: options.lookup });
    this.#cacheDir = options.cacheDir;
    this.#dir = join(options.cacheDir, 'wheels');
    this.#partial = new PartialDownloads(join(this.#dir, 'partial'), this.http);
  }

  get sources(): Sources {
    return this.#sources;
  }

  get cacheDir(): string {
    return this.#cacheDir;
  }

  pyodide(): Promise<InstalledPyodide> {
    this.#pyodide ??= installedPyodide();
    return this.#pyodide;
  }

  /** Of the sources. Rejects with `InstallError` (`mirror`, `network`). */
  async distribution(asking: Asking & { refresh?: boolean } = {}): Promise<Distribution> {
    const { signal, budget, refresh = false } = asking;
    const known = this.#distribution;
    if (known !== undefined && !refresh && this.#clock.now() - known.at < distributionKeepMs)
      return known.found;
    const pyodide = await this.pyodide();
    const found = await loadDistribution(this.#sources, pyodide, this.http, { signal, budget });
    // A file is read each time: it may be another one.
    if (this.#sources.mirror?.kind === 'url') this.#distribution = { found, at: this.#clock.now() };
    return found;
  }

  pathOf({ sha256, fileName }: Pick<WantedWheel, 'sha256' | 'fileName'>): string {
    return join(this.#dir, sha256, fileName);
  }

  /** The wheels, in the order of `wanted`: from the cache, or fetched. Rejects with `InstallError`; then what has come stays for the next time. */
  async fetch(wanted: readonly WantedWheel[], options: FetchOptions = {}): Promise<CachedWheel[]> {
    const stop = new AbortController();
    const signal =
      options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
    const progress = new ByteProgress(wanted.length, options.onProgress);
    const found = await inParallel(wanted, stop, async (wheel, index) => {
      signal.throwIfAborted();
      const bytes = await this.find(wheel, options.hold);
      if (bytes !== undefined) progress.set(index, bytes.length, bytes.length);
      return bytes;
    });
    await inParallel(wanted, stop, async (wheel, index) => {
      if (found[index] !== undefined) return;
      const place = await this.#placeOf(wheel);
      progress.set(index, 0, await this.#sizeOf(place, { ...options, signal }));
    });
    progress.start();
    try {
      return await inParallel(wanted, stop, async (wheel, index) => {
        const bytes =
          found[index] ??
          (await this.#once(this.pathOf(wheel), wheel.name, () =>
            this.#bring(wheel, { ...options, signal }, (done, total) =>
              progress.set(index, done, total, wheel),
            ),
          ));
        progress.set(index, bytes.length, bytes.length, wheel);
        return { package: wheel, path: this.pathOf(wheel), bytes };
      });
    } finally {
      // What failed has left what came until then.
      if (found.includes(undefined)) await this.prune();
    }
  }

  /** Removes what is beyond the limits of the folder. */
  prune(): Promise<{ removed: string[]; freedBytes: number }> {
    return pruneWheels(this.#dir, this.#limits);
  }

  /** A wheel that is in the cache, verified; one that is damaged is removed. */
  async find(
    wheel: Pick<WantedWheel, 'name' | 'sha256' | 'fileName'>,
    hold = false,
  ): Promise<Uint8Array | undefined> {
    const path = this.pathOf(wheel);
    // Before it is read: then it stays.
    await noteWheelUse(path, hold).catch(() => undefined);
    const bytes = await readFile(path).catch(() => undefined);
    if (bytes === undefined) return undefined;
    if (sha256Of(bytes) === wheel.sha256) {
      vetWheel(bytes, wheel.fileName, wheel.name);
      return bytes;
    }
    await rm(path, { force: true });
    return undefined;
  }

  /**
   * A wheel whose hash isn't known, or only from an index page: fetched, vetted and kept. Rejects with `InstallError`.
   */
  async fetchUrl(
    url: string,
    wheel: { name: string; fileName: string; sha256?: string | undefined },
    asking: Asking = {},
  ): Promise<{ bytes: Uint8Array; sha256: string }> {
    const { name, fileName, sha256 } = wheel;
    const cached = sha256 === undefined ? undefined : await this.find({ name, fileName, sha256 });
    if (cached !== undefined && sha256 !== undefined) return { bytes: cached, sha256 };
    // Who expects another hash, or another file, doesn't take what somebody else was content with.
    const key = JSON.stringify([url, name, fileName, sha256]);
    try {
      return await this.#once(key, name, () => this.#download(url, wheel, asking));
    } finally {
      await this.prune();
    }
  }

  /** Where a wheel is to be had; a mirror folder that holds it is asked first, whatever its source. */
  async #placeOf(wheel: WantedWheel): Promise<Place> {
    const { name, fileName, source } = wheel;
    const { mirror } = this.#sources;
    if (mirror?.kind === 'folder') {
      const path = join(mirror.path, fileName);
      const isThere = await stat(path).then(
        (found) => found.isFile(),
        () => false,
      );
      if (isThere && (source.kind !== 'index' || (await hashesTo(path, wheel.sha256, this.#maxBytes)))) {
        return { kind: 'file', path };
      }
    }
    if (source.kind === 'index') return { kind: 'url', url: source.url };
    if (mirror?.kind === 'url') return { kind: 'url', url: `${mirror.url}${encodeURIComponent(fileName)}` };
    if (mirror !== null) throw missing(name, fileName, describeMirror(mirror));
    if (source.kind === 'mirror') {
      throw mirrorError(
        `${name}: ${fileName} came from a mirror, and none is set`,
        'name the mirror by --mirror or VIVARIUM_MIRROR',
      );
    }
    return { kind: 'url', url: `${(await this.pyodide()).cdnUrl}${encodeURIComponent(fileName)}` };
  }

  async #bring(
    wheel: WantedWheel,
    options: FetchOptions,
    onBytes: (done: number, total: number) => void,
  ): Promise<Uint8Array> {
    const place = await this.#placeOf(wheel);
    if (place.kind === 'url') return (await this.#download(place.url, wheel, options, onBytes)).bytes;
    if ((await stat(place.path)).size > this.#maxBytes) {
      throw unsafe(wheel.fileName, wheel.name, `has more than ${this.#maxBytes} bytes`);
    }
    const bytes = await readFile(place.path, options);
    checkHash(wheel, sha256Of(bytes), place.path);
    vetWheel(bytes, wheel.fileName, wheel.name);
    const temporary = join(this.#dir, `${randomUUID()}.tmp`);
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    try {
      await writeFile(temporary, bytes, { mode: 0o600 });
      await this.#place(temporary, this.pathOf(wheel), options.hold);
    } finally {
      await rm(temporary, { force: true });
    }
    return bytes;
  }

  async #place(temporary: string, path: string, hold = false): Promise<void> {
    // Whoever makes room may remove the folder between the two, but not time and again.
    for (let left = 3; ; left--) {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      try {
        trace('wheel.writing', { temporary, path });
        await rename(temporary, path);
        return await markWheel(path, hold);
      } catch (error) {
        if (left === 0 || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  }

  async #download(
    url: string,
    wheel: { name: string; fileName: string; sha256?: string | undefined; source?: LockedPackage['source'] },
    { signal, budget, hold }: FetchOptions | (Asking & { hold?: undefined }),
    onBytes: (done: number, total: number) => void = () => undefined,
  ): Promise<{ bytes: Uint8Array; sha256: string }> {
    const { name, fileName } = wheel;
    for (;;) {
      const { path, resumed } = await this.#partial
        .download({ url, name, maxBytes: this.#maxBytes, onBytes, signal, budget })
        .catch((error: unknown) => {
          throw this.#explain(error, wheel);
        });
      try {
        const bytes = await readFile(path);
        const sha256 = sha256Of(bytes);
        if (wheel.sha256 !== undefined && sha256 !== wheel.sha256) {
          // Two versions of the file put together: the same again, from its beginning.
          if (resumed) continue;
          checkHash({ ...wheel, sha256: wheel.sha256 }, sha256, url);
        }
        vetWheel(bytes, fileName, name);
        await this.#place(path, this.pathOf({ sha256, fileName }), hold);
        return { bytes, sha256 };
      } finally {
        await rm(path, { force: true });
      }
    }
  }

  /** Adds the package to what `Http` says, and what a missing file means where it was looked for. */
  #explain(
    error: unknown,
    { name, fileName, source }: { name: string; fileName: string; source?: LockedPackage['source'] },
  ): unknown {
    if (!(error instanceof InstallError)) return error;
    if (
      error.reason === 'not_found' &&
      source !== undefined &&
      source.kind !== 'index' &&
      this.#sources.mirror !== null
    ) {
      return missing(name, fileName, describeMirror(this.#sources.mirror));
    }
    if (!['network', 'not_allowed'].includes(error.reason) || error.details.package !== '') return error;
    return new InstallError(
      `${name}: ${error.message}`,
      { ...error.details, ...failureOf(error, name) },
      error,
    );
  }

  /** 0 when the server doesn't tell, or can't be reached: the download itself will say why. */
  async #sizeOf(place: Place, { signal, budget }: FetchOptions): Promise<number> {
    try {
      if (place.kind === 'file') return (await stat(place.path)).size;
      const { status, headers, body } = await this.http.open(place.url, {
        method: 'HEAD',
        headers: { 'accept-encoding': 'identity' },
        signal,
        budget,
      });
      body.destroy();
      return status === 200 ? Number(headers['content-length'] ?? 0) || 0 : 0;
    } catch {
      return 0;
    }
  }

  /** In one process the same wheel is fetched once for all who ask at the same time. */
  async #once<T>(key: string, name: string, fetch: () => Promise<T>): Promise<T> {
    const other = this.#underWay.get(key) as Promise<T> | undefined;
    // When it failed for the other one (it may have been stopped), it is ours to try.
    const shared = await other?.then(
      (value) => ({ value }),
      () => undefined,
    );
    if (shared !== undefined) return shared.value;
    const mine = fetch()
      .catch((error: unknown) => {
        throw isDiskError(error) ? diskFailure(name, error) : error;
      })
      .finally(() => {
        if (this.#underWay.get(key) === mine) this.#underWay.delete(key);
      });
    this.#underWay.set(key, mine);
    return mine;
  }
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function hashesTo(path: string, sha256: string, maxBytes: number): Promise<boolean> {
  return (await stat(path)).size <= maxBytes && sha256Of(await readFile(path)) === sha256;
}

function checkHash(
  wheel: { name: string; fileName: string; sha256: string },
  actual: string,
  where: string,
): void {
  const { name, fileName, sha256: expected } = wheel;
  if (actual === expected) return;
  const suggestion =
    "if the file was replaced on purpose, run `vivarium lock` again; else don't trust that source";
  throw new InstallError(
    `${name} is not installed: ${fileName} from ${where} is not what the lock says (sha256 ${expected} expected, ${actual} came); ${suggestion}`,
    { reason: 'hash_mismatch', package: name, suggestion, fileName, expected, actual },
  );
}

function missing(name: string, fileName: string, where: string): InstallError {
  const suggestion = `put ${fileName} there, or use another mirror, or none`;
  return new InstallError(`${name}: the mirror ${where} has no ${fileName}; ${suggestion}`, {
    reason: 'mirror',
    package: name,
    suggestion,
    fileName,
  });
}

function diskFailure(name: string, error: NodeJS.ErrnoException): InstallError {
  const suggestion = 'make room, or name another cache folder by VIVARIUM_CACHE_DIR';
  return new InstallError(
    `${name} is not installed: ${error.message}; ${suggestion}`,
    { reason: 'disk', package: name, suggestion },
    error,
  );
}

function failureOf(error: InstallError, name: string): InstallFailure {
  return { reason: error.reason, package: name, suggestion: String(error.details.suggestion ?? '') };
}

/** Runs all, a few at a time; the first failure stops the others. */
async function inParallel<T, R>(
  items: readonly T[],
  stop: AbortController,
  run: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const lanes = Array.from({ length: Math.min(parallelDownloads, items.length) }, async () => {
    for (let index = next++; index < items.length; index = next++) {
      results[index] = await run(items[index] as T, index);
    }
  });
  try {
    await Promise.all(lanes);
  } catch (error) {
    stop.abort(error);
    await Promise.allSettled(lanes);
    throw error;
  }
  return results;
}

class ByteProgress {
  readonly #files: { done: number; total: number }[];
  readonly #report: ((progress: Progress) => void) | undefined;
  #started = false;
  #reported = 0;

  constructor(count: number, report: ((progress: Progress) => void) | undefined) {
    this.#files = Array.from({ length: count }, () => ({ done: 0, total: 0 }));
    this.#report = report;
  }

  start(): void {
    this.#started = true;
  }

  set(index: number, done: number, total: number, wheel?: Pick<WantedWheel, 'name' | 'version'>): void {
    const ended = done === total;
    this.#files[index] = { done, total: total === 0 ? (this.#files[index]?.total ?? 0) : total };
    if (!this.#started || this.#report === undefined) return;
    const all = this.#files.reduce((sum, file) => sum + file.done, 0);
    if (!ended && Math.abs(all - this.#reported) < progressStepBytes) return;
    this.#reported = all;
    const known = this.#files.every((file) => file.total > 0);
    this.#report({
      stage: 'packages',
      done: all,
      total: known ? this.#files.reduce((sum, file) => sum + file.total, 0) : 0,
      message: wheel === undefined ? '' : `${wheel.name} ${wheel.version}`,
    });
  }
}
