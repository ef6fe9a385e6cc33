import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { findAssets } from '../engines/assets.ts';
import { buildTimeoutMs, type Engine, type StartOptions } from '../engines/engine.ts';
import { ImageCache } from '../engines/image-cache.ts';
import { InternalError, UsageError } from '../errors/errors.ts';
import { ImageError } from '../image/header.ts';
import { defineImage, type ImageDefinition } from '../packages/image-definition.ts';
import { stdlibImage } from '../packages/image-source.ts';
import { checkLockFits, defaultImports, type Lock } from '../packages/lock.ts';
import { isRecipe, recipes } from '../packages/recipes.ts';
import type { Progress } from '../runtime.ts';
import { isDiskError } from '../util/disk-error.ts';
import { Catalog, type CatalogOptions } from './catalog.ts';
import { ImageFiles, type Pruned, type PruneOptions } from './image-files.ts';
import { type ImageInfo, verifiedInfo } from './image-info.ts';
import { readExport, refusedImage, writeExport } from './image-transfer.ts';
import { checkImageName } from './named-images.ts';

/** What an image is built from: one of `packages`, `recipe` and `lock`, or `warm` or `imports` alone. */
export interface ImageBuildRequest {
  /** Requirements (PEP 508). */
  packages?: readonly string[] | undefined;
  /** `stdlib`, `numpy`, `data` or `science`. */
  recipe?: string | undefined;
  lock?: Lock | undefined;
  /** Runs ask for it by this name. */
  name?: string | undefined;
  /** Scripts that are run, and forgotten but for what the interpreter learned. */
  warm?: readonly { filename: string; code: string }[] | undefined;
  /** Modules that are imported, beside those of the packages that were asked for. */
  imports?: readonly string[] | undefined;
}

export interface WorkOptions {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

export interface BuiltImage {
  image: ImageInfo & { path: string };
  /** False: it was there already. */
  built: boolean;
  lock: Lock;
}

/** Of the worker that builds: as much as a run has by default. */
const maxHeapBytes = 512 * 1024 * 1024;

/** The frozen interpreters of a cache folder. What fails rejects with `InstallError`, and nothing half made stays. */
export interface Images {
  /** Builds an image, unless it is there. */
  build(request: ImageBuildRequest, options?: WorkOptions): Promise<BuiltImage>;
  /** All that there are, as their headers say. */
  list(): Promise<ImageInfo[]>;
  /** By name, path or id. */
  inspect(reference: string): Promise<ImageInfo>;
  /** As `inspect`, with every byte looked at. Resolves also for an image that is damaged: see `state`. */
  verify(reference: string): Promise<ImageInfo>;
  /** The file and its names. Resolves with the bytes that are free now. */
  remove(reference: string): Promise<number>;
  /** Removes what is of no use any more. */
  prune(options?: PruneOptions): Promise<Pruned>;
  /** Copies an image to `file`, compressed when that ends with `.zst`. Replaces what is there. */
  exportTo(reference: string, file: string, options?: WorkOptions): Promise<ImageInfo>;
  /** Takes in what was exported, under a name. Refuses what is damaged, or doesn't fit this installation. */
  importFrom(file: string, name: string, options?: WorkOptions): Promise<ImageInfo>;
}

export class CachedImages implements Images {
  readonly #catalog: Catalog;
  readonly #cache: ImageCache;
  readonly #files: ImageFiles;
  readonly #engine: () => Promise<Engine>;

  constructor(options: CatalogOptions) {
    this.#engine = options.engine;
    this.#catalog = new Catalog(options);
    this.#cache = new ImageCache(options.cacheDir);
    this.#files = new ImageFiles(options.cacheDir, async () => (await findAssets()).fingerprint);
  }

  list(): Promise<ImageInfo[]> {
    return this.#files.list();
  }

  inspect(reference: string): Promise<ImageInfo> {
    return this.#files.inspect(reference);
  }

  verify(reference: string): Promise<ImageInfo> {
    return this.#files.verify(reference);
  }

  remove(reference: string): Promise<number> {
    return this.#files.remove(reference);
  }

  prune(options?: PruneOptions): Promise<Pruned> {
    return this.#files.prune(options);
  }

  async build(request: ImageBuildRequest, options: WorkOptions = {}): Promise<BuiltImage> {
    if (request.name !== undefined) checkImageName(request.name);
    const definition = await this.#define(request, options);
    const source = this.#catalog.source(definition);
    const { fingerprint } = await findAssets();
    const path = this.#cache.pathOf({ ...fingerprint, lockHash: source.lockHash });
    const before = this.#cache.built;
    const there = await this.#isReady(path);
    let warning = '';
    const start: StartOptions = {
      id: `builder-${randomUUID().slice(0, 8)}`,
      image: source.lockHash === '' ? stdlibImage : source,
      init: { maxHeapBytes, warmingRuns: 0, env: {} },
      bootTimeoutMs: buildTimeoutMs,
      onWarning: (message) => {
        warning = message;
      },
      ...given(options),
    };
    // Restores it too: what can't be restored is told now.
    const worker = await (await this.#engine()).start(start);
    worker.kill();
    await worker.exited;
    if (!(await this.#isReady(path)))
      throw new InternalError('unavailable', warning || `no image came to ${path}`);
    if (request.name !== undefined) await this.#catalog.named.define({ ...definition, name: request.name });
    const image = await this.#files.inspect(path);
    return { image: { ...image, path }, built: !there || this.#cache.built > before, lock: definition.lock };
  }

  async exportTo(reference: string, file: string, { signal }: WorkOptions = {}): Promise<ImageInfo> {
    const info = await this.#files.verify(reference);
    const { path, problem = '', state } = info;
    if (path === null) throw refusedImage(reference, problem, 'build it first with vivarium image build');
    if (state !== 'ready') throw refusedImage(path, problem, 'build it anew');
    await writeExport(path, resolve(file), signal);
    return info;
  }

  async importFrom(file: string, name: string, { signal }: WorkOptions = {}): Promise<ImageInfo> {
    const { named } = this.#catalog;
    const target = await named.placeOfFile(name);
    const { fingerprint } = await findAssets();
    try {
      const check = async (path: string): Promise<void> => {
        const { state, problem = '' } = await verifiedInfo(path, fingerprint);
        if (state === 'damaged') throw new ImageError(problem);
        if (state !== 'ready') throw refusedImage(file, problem, 'export it from the same version');
      };
      await readExport(file, target, check, signal);
    } catch (error) {
      if (error instanceof ImageError) throw refusedImage(file, error.message, 'export it again', error);
      if (!isDiskError(error)) throw error;
      throw refusedImage(file, error.message, 'check the path', error);
    }
    await named.forgetDefinition(name);
    return this.#files.inspect(name);
  }

  async #define(request: ImageBuildRequest, options: WorkOptions): Promise<ImageDefinition> {
    const { packages = [], recipe, lock, imports = [], warm = [], name = 'packages' } = request;
    const sources = [packages.length > 0, recipe !== undefined, lock !== undefined].filter(Boolean);
    if (sources.length > 1)
      throw new UsageError(
        'usage',
        'packages, recipe and lock exclude one another: each says what an image holds',
      );
    if (sources.length === 0 && imports.length === 0 && warm.length === 0)
      throw new UsageError(
        'usage',
        'say what the image holds: packages, a recipe, a lock, or a script that warms it',
      );
    const base = await this.#base(request, options);
    return {
      ...base,
      name,
      imports: [...new Set([...base.imports, ...imports])],
      warm: [...base.warm, ...warm],
    };
  }

  async #base(
    { packages = [], recipe, lock }: ImageBuildRequest,
    options: WorkOptions,
  ): Promise<ImageDefinition> {
    if (recipe !== undefined) {
      if (isRecipe(recipe)) return this.#catalog.recipe(recipe, given(options));
      throw new UsageError(
        'usage',
        `there is no recipe ${recipe}: there are ${Object.keys(recipes).join(', ')}`,
      );
    }
    if (lock !== undefined) checkLockFits(lock, await this.#catalog.wheels.pyodide());
    const found = lock ?? (await this.#catalog.lock(packages, given(options)));
    return defineImage('packages', found, { imports: defaultImports(found) });
  }

  #isReady(path: string): Promise<boolean> {
    return this.#files.inspect(path).then(
      ({ state }) => state === 'ready',
      () => false,
    );
  }
}

/** Without what is undefined. */
function given({ signal, onProgress }: WorkOptions): Pick<StartOptions, 'signal' | 'onProgress'> {
  return { ...(signal && { signal }), ...(onProgress && { onProgress }) };
}
