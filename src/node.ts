/** `vivarium/node`: runtimes for Node programs. */
import { availableParallelism } from 'node:os';
import type { CatalogOptions, FindOptions, ImportedPackage } from './catalog/catalog.ts';
import { hintOf } from './catalog/hints.ts';
import type { Images, WorkOptions } from './catalog/images.ts';
import type { RuntimePackages } from './catalog/runtime-packages.ts';
import type { Versions } from './catalog/versions.ts';
import { assembleRuntime } from './create-runtime.ts';
import type { DiagnoseOptions } from './engines/diagnose.ts';
import type { Engine } from './engines/engine.ts';
import { defaultCacheDir } from './engines/image-cache.ts';
import { stdlibImage } from './packages/image-source.ts';
import type { Lock } from './packages/lock.ts';
import type { LocalRuntime } from './pool/local-runtime.ts';
import {
  type ResolvedRuntimeOptions,
  type RuntimeOptions,
  resolveRuntimeOptions,
} from './pool/runtime-options.ts';
import { SharedRuntimes } from './pool/shared-runtimes.ts';
import type { ProbeOptions, SecurityReport } from './probes/probe-security.ts';
import type { Diagnosis, Runtime } from './runtime.ts';

export type { ImportedPackage } from './catalog/catalog.ts';
export type { Pruned, PruneOptions } from './catalog/image-files.ts';
export type { ImageContent, ImageInfo, ImageState } from './catalog/image-info.ts';
export type { BuiltImage, ImageBuildRequest, Images, WorkOptions } from './catalog/images.ts';
export type { Versions } from './catalog/versions.ts';
export type { DiagnoseOptions } from './engines/diagnose.ts';
export type { Lock, LockedPackage, WheelSource } from './packages/lock.ts';
export type { Logger, RecycleOptions, RuntimeOptions } from './pool/runtime-options.ts';
export type { SessionSettings } from './pool/session-settings.ts';
export type { ProbeOptions, SecurityReport } from './probes/probe-security.ts';
export type { ProbeResult } from './probes/run-probes.ts';
export type { Diagnosis } from './runtime.ts';

const shared = new SharedRuntimes();

/**
 * A runtime of Python workers in this program. Nothing is started before the first run or `warm()`, but a resolver when
 * `packages` were never resolved before: of that `work` tells, and can end it.
 * Throws one `TypeError` that names every unknown or ill-typed option and malformed environment variable. Rejects with
 * `InstallError` when there is no such image, or packages can't be had.
 */
export async function createRuntime(options?: RuntimeOptions, work: WorkOptions = {}): Promise<Runtime> {
  const resolved = resolve(options);
  if (!resolved.shared) return assemble(resolved, work);
  // Others wait for it too: one of them can't end it.
  const { onProgress } = work;
  return shared.join(resolved, () => assemble(resolved, { onProgress }));
}

async function assemble(options: ResolvedRuntimeOptions, work: WorkOptions): Promise<LocalRuntime> {
  const workers = await createEngine(options);
  // What few need is loaded when it's needed: a cold start counts.
  let packages: Promise<RuntimePackages> | undefined;
  const engine: Engine = {
    kind: workers.kind,
    start: (startOptions) => workers.start(startOptions),
    async [Symbol.asyncDispose]() {
      await workers[Symbol.asyncDispose]();
      await (await packages?.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
  const load = (): Promise<RuntimePackages> => {
    packages ??= import('./catalog/runtime-packages.ts').then((module) =>
      module.createRuntimePackages(options, engine),
    );
    return packages;
  };
  const own =
    typeof options.image === 'string' || options.packages !== undefined || options.lock !== undefined;
  return assembleRuntime({
    engine,
    options,
    image: own ? await (await load()).own(given(work)) : stdlibImage,
    images: { find: async (request, findOptions) => (await load()).catalog.find(request, findOptions) },
    installer: {
      install: async (requirements, context) => (await load()).installer.install(requirements, context),
    },
    hint: hintOf,
    openStore: async () => {
      const [{ openStore }, { defaultStore }] = await Promise.all([
        import('./store/open-store.ts'),
        import('./store/default-store.ts'),
      ]);
      const { store = defaultStore(), maxCount, maxBytes, maxTotalBytes } = options.sessions;
      return openStore(store, {
        limits: { maxSessions: maxCount, maxSessionBytes: maxBytes, maxTotalBytes },
      });
    },
  });
}

// ---- packages and images -------------------------------------------------------------------------------------------

/** Where packages come from and images are kept, and what resolves and builds: as the options of the same names of a runtime. */
export type PackageOptions = Pick<
  RuntimeOptions,
  'mirror' | 'offline' | 'cacheDir' | 'engine' | 'sandbox' | 'maxResidentBytes'
>;

export interface LockOptions extends PackageOptions, WorkOptions {
  /** Asks the sources again, although the same was resolved before. Default false. */
  refresh?: boolean | undefined;
}

/** Exactly which wheels requirements (PEP 508) come to. Rejects with `InstallError`. */
export async function lockPackages(
  requirements: readonly string[],
  options: LockOptions = {},
): Promise<Lock> {
  const { refresh = false, signal, onProgress, ...where } = options;
  const { Catalog } = await loadCatalog();
  await using engine = lazyEngine(where);
  using catalog = new Catalog(engine.catalogOptions);
  return await catalog.lock(requirements, { refresh, ...given({ signal, onProgress }) });
}

/**
 * The packages that have what a script imports, as Pyodide's distribution knows; other modules are taken for names of packages.
 * Rejects with `InstallError` when the mirror is none.
 */
export async function packagesOf(
  script: string,
  options: PackageOptions & WorkOptions = {},
): Promise<ImportedPackage[]> {
  const { signal, onProgress, ...where } = options;
  const { Catalog } = await loadCatalog();
  await using engine = lazyEngine(where);
  using catalog = new Catalog(engine.catalogOptions);
  return await catalog.packagesOf(script, given({ signal, onProgress }));
}

/** The images of the cache folder. Throws `InstallError` when the sources are set wrongly. */
export async function openImages(options: PackageOptions = {}): Promise<Images> {
  const { CachedImages } = await import('./catalog/images.ts');
  return new CachedImages(lazyEngine(options).catalogOptions);
}

/**
 * Requirements from a file, by its name: `pyproject.toml` (with these groups of its optional dependencies), a script `*.py`
 * with a PEP 723 block, else a requirements file. Rejects with `InstallError`.
 */
export async function readRequirements(path: string, extras?: readonly string[]): Promise<string[]> {
  return (await packageTools()).requirementsOf(path, extras);
}

/**
 * What a script's PEP 723 block depends on; undefined without one. Rejects with `InstallError` when the block can't be
 * read, or asks for another Python.
 */
export async function scriptDependencies(source: string, filename = 'script'): Promise<string[] | undefined> {
  return (await packageTools()).scriptDependencies(source, filename);
}

/** Reads a `vivarium.lock.json`. Rejects with `InstallError`. */
export async function readLock(path: string): Promise<Lock> {
  return (await packageTools()).readLock(path);
}

/** Writes a `vivarium.lock.json`: whole or not at all. */
export async function writeLock(lock: Lock, path: string): Promise<void> {
  await (await packageTools()).writeLock(lock, path);
}

/** Writes a lock as `pylock.toml`, for other tools. Rejects with `InstallError` when a wheel's mirror isn't known. */
export async function writePylock(lock: Lock, path: string, options: PackageOptions = {}): Promise<void> {
  const { mirror, offline } = resolve(options);
  await (await packageTools()).writePylock(lock, path, { mirror, offline });
}

/** By itself: where a function has `await using`, tsc leaves the endings of its imports as they are. */
function loadCatalog() {
  return import('./catalog/catalog.ts');
}

function packageTools() {
  return import('./catalog/package-tools.ts');
}

/** An engine that is there when it's asked for. */
function lazyEngine(options: PackageOptions): AsyncDisposable & { catalogOptions: CatalogOptions } {
  const resolved = resolve(options);
  const { mirror, offline, cacheDir = defaultCacheDir() } = resolved;
  let engine: Promise<Engine> | undefined;
  return {
    catalogOptions: {
      cacheDir,
      mirror,
      offline,
      engine() {
        engine ??= createEngine(resolved);
        return engine;
      },
    },
    async [Symbol.asyncDispose]() {
      await (await engine)?.[Symbol.asyncDispose]();
    },
  };
}

function resolve(options: RuntimeOptions | undefined): ResolvedRuntimeOptions {
  return resolveRuntimeOptions(options, process.env, availableParallelism());
}

function given({ signal, onProgress }: WorkOptions): FindOptions {
  return { ...(signal && { signal }), ...(onProgress && { onProgress }) };
}

// ---- engines -------------------------------------------------------------------------------------------------------

/** Of this package, and of what it runs. */
export async function versions(): Promise<Versions> {
  return (await import('./catalog/versions.ts')).readVersions();
}

/** What a runtime needs on this machine, whether it is there, and the command that mends it. */
export async function diagnose(options?: DiagnoseOptions): Promise<Diagnosis[]> {
  const [machine, packages] = await Promise.all([
    import('./engines/diagnose.ts'),
    import('./catalog/diagnose-packages.ts'),
  ]);
  const rest = async (): Promise<Diagnosis[]> => {
    try {
      const { mirror, offline, cacheDir = defaultCacheDir() } = resolve({ cacheDir: options?.cacheDir });
      return await packages.diagnosePackages({ mirror, offline, cacheDir });
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return [{ name: 'environment', ok: false, detail: error.message, fix: 'unset or correct it' }];
    }
  };
  return (await Promise.all([machine.diagnose(options), rest()])).flat();
}

/**
 * Attacks a runtime of the engine `deno` on this machine, with canaries outside: some seconds. What gets through is in the
 * report. Rejects when no worker starts.
 */
export async function probeSecurity(options: ProbeOptions = {}): Promise<SecurityReport> {
  const [{ diagnose: machine }, { probeSecurity: probe }] = await Promise.all([
    import('./engines/diagnose.ts'),
    import('./probes/probe-security.ts'),
  ]);
  const versions = (await machine()).filter(({ name }) => probedParts.includes(name));
  const { onBegin } = options;
  const report = await probe(() => createRuntime(probedRuntime), {
    ...options,
    ...(onBegin && { onBegin: (facts, probes) => onBegin([...versions, ...facts], probes) }),
  });
  const facts = [...versions, ...report.facts];
  return { ...report, facts, ok: report.ok && versions.every(({ ok }) => ok) };
}

/** Of what `diagnose` says: the parts that the boundary is made of. */
const probedParts = ['node', 'pyodide', 'deno', 'os sandbox', 'process limits', 'memory limit'];
const probedRuntime: RuntimeOptions = {
  engine: 'deno',
  size: 1,
  spares: 1,
  killGraceMs: 200,
  healthCheckIntervalMs: 0,
  limits: {},
};

/** Loads the chosen engine only. */
async function createEngine(resolved: ResolvedRuntimeOptions): Promise<Engine> {
  const { engine, image, cacheDir, sandbox } = resolved;
  const where = cacheDir === undefined ? {} : { cacheDir };
  const options = { image: image !== false, ...where, sandbox };
  switch (engine) {
    case 'deno':
      return (await import('./engines/deno/host.ts')).createDenoEngine(options);
    case 'node':
      return (await import('./engines/node/host.ts')).createNodeEngine(options);
    default:
      return engine satisfies never;
  }
}
