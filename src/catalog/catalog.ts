import { readFile, stat } from 'node:fs/promises';
import type { Engine } from '../engines/engine.ts';
import { noteUse } from '../engines/image-cache.ts';
import { InstallError } from '../errors/errors.ts';
import { providerOf } from '../packages/distribution.ts';
import type { FetchBudget } from '../packages/fetch-budget.ts';
import {
  defineImage,
  type ImageDefinition,
  imageSource,
  parseImageDefinition,
} from '../packages/image-definition.ts';
import { type ImageSource, stdlibImage } from '../packages/image-source.ts';
import { checkLockFits, type Lock, parseLock } from '../packages/lock.ts';
import { requirementName, wheelParts } from '../packages/names.ts';
import { readWheelCacheLimits } from '../packages/prune-wheels.ts';
import { isRecipe, recipeImage, recipes } from '../packages/recipes.ts';
import { earlierLock, knownLock, resolveLock } from '../packages/resolve.ts';
import { resolveSources, type SourceOptions } from '../packages/sources.ts';
import { WheelCache } from '../packages/wheel-cache.ts';
import type { Progress } from '../runtime.ts';
import type { Clock } from '../util/clock.ts';
import { unlessAborted } from '../util/unless-aborted.ts';
import { headerOfFile, isImagePath, NamedImages, sourceOfFile } from './named-images.ts';
import { EngineResolver } from './resolver.ts';

export interface CatalogOptions extends SourceOptions {
  cacheDir: string;
  /** Resolves and builds. */
  engine: () => Promise<Engine>;
  env?: Readonly<Record<string, string | undefined>>;
  clock?: Clock;
}

export interface FindOptions {
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
  /** Resolves again what was resolved before. Default false. */
  refresh?: boolean;
  /** What a run may have fetched for it. */
  budget?: FetchBudget;
}

export interface ImportedPackage {
  /** As it is imported. */
  module: string;
  package: string;
}

/** Knows images by recipe, name, path, requirements and lock. */
export class Catalog implements Disposable {
  readonly wheels: WheelCache;
  readonly named: NamedImages;
  readonly #engine: () => Promise<Engine>;
  /** By lock hash: what is in the images that were found. */
  readonly #definitions = new Map<string, ImageDefinition>();
  /** By requirements or recipe: what was found stays, so that runs which ask for it each time don't wait for the disk. */
  readonly #found = new Map<string, ImageSource>();
  readonly #clock: Clock | undefined;
  /** By requirements: what is under way. */
  readonly #resolving = new Map<string, Promise<void>>();

  constructor({ cacheDir, engine, env, clock, ...sources }: CatalogOptions) {
    this.#engine = engine;
    this.#clock = clock;
    this.wheels = new WheelCache({
      cacheDir,
      sources: resolveSources(sources, env),
      limits: readWheelCacheLimits(env ?? process.env),
      ...(clock && { clock }),
    });
    this.named = new NamedImages(cacheDir);
  }

  /** Ends the connections that are kept. */
  [Symbol.dispose](): void {
    this.wheels.http.close();
  }

  /** The source of an image, which an engine builds when it's missing. Rejects with `InstallError`. */
  async find(
    request: { image?: string; packages?: readonly string[] },
    options: FindOptions = {},
  ): Promise<ImageSource> {
    const { image, packages = [] } = request;
    if (image === undefined) {
      if (packages.length === 0) return stdlibImage;
      return this.#once(JSON.stringify(packages), async () =>
        defineImage('packages', await this.#lockOfImage(packages, options)),
      );
    }
    if (isImagePath(image)) return sourceOfFile(image);
    const named = await this.named.find(image);
    if (named?.kind === 'file') {
      await noteUse(named.path, (await stat(named.path)).mtimeMs);
      return sourceOfFile(named.path, image);
    }
    if (named?.kind === 'definition') {
      const definition = parseImageDefinition(await readFile(named.path, 'utf8'), `the image ${image}`);
      return this.source(await this.#renewed(definition, options));
    }
    if (image === stdlibImage.name) return stdlibImage;
    if (isRecipe(image)) return this.#once(image, () => this.recipe(image, options));
    const known = [...Object.keys(recipes), ...(await this.named.list())];
    const suggestion = `known are ${known.join(', ')}; vivarium image build --name makes more`;
    throw new InstallError(`There is no image called ${JSON.stringify(image)}: ${suggestion}.`, {
      reason: 'not_found',
      package: '',
      suggestion,
    });
  }

  /** The image of a lock file, or of its text. */
  async findLocked(text: string, at: string): Promise<ImageSource> {
    const lock = parseLock(text, at);
    checkLockFits(lock, await this.wheels.pyodide(), at);
    return lock.packages.length === 0 ? stdlibImage : this.source(defineImage('packages', lock));
  }

  source(definition: ImageDefinition): ImageSource {
    const source = imageSource(definition, this.wheels);
    remember(this.#definitions, source.lockHash, definition);
    return source;
  }

  /** What is in an image that this catalog has found, if it's known. */
  definitionOf(source: ImageSource): ImageDefinition | undefined {
    return this.#definitions.get(source.lockHash);
  }

  /** Those of an image, also of one that is only a file. */
  async packagesIn(source: ImageSource): Promise<{ name: string; version: string }[]> {
    const definition = this.definitionOf(source);
    if (definition !== undefined || source.path === undefined) return definition?.lock.packages ?? [];
    const { contents } = await headerOfFile(source.path);
    return contents.wheels.flatMap((file) => wheelParts(file) ?? []);
  }

  async recipe(name: keyof typeof recipes, options: FindOptions = {}): Promise<ImageDefinition> {
    return recipeImage(name, await this.#lockOfImage(recipes[name], options));
  }

  /** Requirements to exact wheels, by micropip in a worker. Rejects with `InstallError`. */
  async lock(requirements: readonly string[], options: FindOptions = {}): Promise<Lock> {
    const { wheels } = this;
    const known = options.refresh ? undefined : await knownLock(requirements, wheels, options);
    if (known !== undefined) return known;
    // A resolver takes a worker; who asks the same waits for the answer that is on its way.
    const question = JSON.stringify(requirements);
    const resolving = this.#resolving;
    for (;;) {
      options.signal?.throwIfAborted();
      const same = resolving.get(question);
      if (same === undefined && resolving.size < maxResolvers) break;
      await unlessAborted(same ?? Promise.race(resolving.values()), options.signal);
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    resolving.set(question, promise);
    try {
      return await resolveLock(requirements, { ...options, wheels, kernel: this.#resolver(options) });
    } finally {
      resolving.delete(question);
      resolve();
    }
  }

  /** Top-level modules that a script imports and the standard library doesn't have. */
  importsOf(script: string, options: FindOptions = {}): Promise<string[]> {
    return this.#resolver(options).importsOf(script, options.signal);
  }

  /**
   * The packages that have what a script imports, in the order of its imports. A module that Pyodide's distribution doesn't know is
   * taken for the name of a package.
   */
  async packagesOf(script: string, options: FindOptions = {}): Promise<ImportedPackage[]> {
    const modules = await this.importsOf(script, options);
    if (modules.length === 0) return [];
    const { wheels } = this;
    const distribution = await wheels.distribution(options);
    return modules.flatMap((module) => {
      const name = providerOf(distribution, module)?.name ?? module;
      return requirementName(name) === undefined ? [] : [{ module, package: name }];
    });
  }

  async #once(key: string, define: () => Promise<ImageDefinition>): Promise<ImageSource> {
    const source = this.#found.get(key) ?? this.source(await define());
    remember(this.#found, key, source);
    return source;
  }

  /** What was locked for another Pyodide is resolved again. */
  async #renewed(definition: ImageDefinition, options: FindOptions): Promise<ImageDefinition> {
    const { lock, requirements } = definition;
    const { version, abi } = await this.wheels.pyodide();
    if (lock.pyodide === version && lock.abi === abi) return definition;
    return { ...definition, lock: await this.#lockOfImage(requirements, options) };
  }

  async #lockOfImage(requirements: readonly string[], options: FindOptions): Promise<Lock> {
    const earlier = options.refresh ? undefined : await earlierLock(requirements, this.wheels);
    return earlier ?? this.lock(requirements, options);
  }

  #resolver({ onProgress }: FindOptions): EngineResolver {
    return new EngineResolver({
      engine: this.#engine,
      wheels: this.wheels,
      ...(this.#clock && { clock: this.#clock }),
      ...(onProgress && { onProgress }),
    });
  }
}

const maxRemembered = 1000;
/** At a time. */
const maxResolvers = 2;

/** Callers may name as many images as they like: the oldest are forgotten. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  const oldest = map.keys().next().value;
  if (map.size > maxRemembered && oldest !== undefined) map.delete(oldest);
}
