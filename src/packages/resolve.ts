import { InstallError, type InstallReason } from '../errors/errors.ts';
import { fail, list, oneOf, record, text } from '../protocol/read.ts';
import type { Progress } from '../runtime.ts';
import { type Distribution, type InstalledPyodide, plainObject } from './distribution.ts';
import type { FetchBudget } from './fetch-budget.ts';
import type { Asking, Page } from './http.ts';
import {
  type Lock,
  type LockedPackage,
  lockVersion,
  packageName,
  packageVersion,
  parseLock,
  readOrInstallError,
} from './lock.ts';
import { fileNameOf, isUrl, normalizeName, requirementName, wheelParts } from './names.ts';
import { checkRequirements } from './requirements.ts';
import { findResolution, keepResolution, latestResolution, resolutionKey } from './resolution-cache.ts';
import { type LocalWheel, localWheels, mirrorBaseUrl, ResolverAccess } from './resolver-access.ts';
import { micropipIndex } from './sources.ts';
import { topLevelModules, vetWheel } from './vet-wheel.ts';
import type { WheelCache } from './wheel-cache.ts';

/** What micropip is asked, as JSON. */
export interface ResolveRequest {
  requirements: string[];
  /** `pyodide-lock.json` as it is. */
  lockfile: Record<string, unknown>;
  /** Ends with `/`. */
  lockfileBaseUrl: string;
  /** Null: micropip's own. `PYPI` in a list stands for it too. The lock file is searched first in any case. */
  indexUrls: string[] | null;
  pre: boolean;
}

/** A place with micropip. The answer is `ResolveAnswer` or anything else: it comes from inside. */
export interface ResolverKernel {
  run(
    request: ResolveRequest,
    onFetch: (url: string, headers: Record<string, string>) => Promise<Page>,
    signal?: AbortSignal,
  ): Promise<unknown>;
}

export type ResolveAnswer =
  | {
      ok: true;
      /** Of `micropip.freeze()`: the packages that were chosen, and no others. */
      lockfile: unknown;
    }
  | { ok: false; reason: InstallReason; package: string; message: string; suggestion: string };

export interface ResolveOptions {
  wheels: WheelCache;
  kernel: ResolverKernel;
  /** Asks again, although the same was resolved before. Default false. */
  refresh?: boolean;
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
  /** What a run may have fetched for it. */
  budget?: FetchBudget;
}

/**
 * Requirements (PEP 508) to exact wheels. The same question is answered from the cache: see `resolution-cache.ts`. Rejects with
 * `InstallError`.
 */
export async function resolveLock(requirements: readonly string[], options: ResolveOptions): Promise<Lock> {
  const { wheels, kernel, refresh = false, signal, onProgress, budget } = options;
  if (requirements.length === 0) return emptyLock(await wheels.pyodide());
  const asked = await questionOf(requirements, wheels, { signal, budget, refresh });
  const { wanted, pyodide, distribution, local, key } = asked;
  const known = refresh ? undefined : await findResolution(wheels.cacheDir, key);
  if (known !== undefined) return known;

  const tell = (message: string) => onProgress?.({ stage: 'packages', done: 0, total: 0, message });
  tell('resolving');
  const access = new ResolverAccess({
    wheels,
    pyodide,
    distribution,
    local,
    requirements: wanted,
    signal,
    budget,
  });
  const { indexUrls } = access;
  const request: ResolveRequest = {
    requirements: wanted,
    lockfile: distribution.json,
    lockfileBaseUrl: access.lockfileBaseUrl,
    indexUrls: indexUrls.length === 1 && indexUrls[0] === micropipIndex ? null : indexUrls,
    pre: false,
  };
  const onFetch = (url: string, headers: Record<string, string>): Promise<Page> => {
    tell(`looking at ${url.split('/').findLast((part) => part !== '') ?? ''}`);
    return access.fetch(url, headers);
  };
  const answer = await kernel.run(request, onFetch, signal).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw access.fatal ?? error;
  });
  signal?.throwIfAborted();
  if (access.fatal !== undefined) throw access.fatal;
  const parsed = parseAnswer(answer);
  if (!parsed.ok) throw failure(parsed, access, wheels);
  const packages = await chosenPackages(parsed.frozen, { wanted, distribution, local, access, wheels });
  const lock = parseLock({ ...emptyLock(pyodide), requirements: wanted, packages }, 'the resolution');
  await keepResolution(wheels.cacheDir, key, lock);
  return lock;
}

/**
 * Offline, where nothing is left but the caches: an earlier answer to the same question, whatever sources it came from. Its image or
 * its wheels may be there.
 */
export async function earlierLock(
  requirements: readonly string[],
  wheels: WheelCache,
): Promise<Lock | undefined> {
  const { offline, mirror } = wheels.sources;
  if (!offline || mirror?.kind === 'folder') return undefined;
  return latestResolution(wheels.cacheDir, checkRequirements(requirements), await wheels.pyodide());
}

/** What was resolved before, from the same sources. */
export async function knownLock(
  requirements: readonly string[],
  wheels: WheelCache,
  asking: Asking = {},
): Promise<Lock | undefined> {
  if (requirements.length === 0) return emptyLock(await wheels.pyodide());
  return findResolution(wheels.cacheDir, (await questionOf(requirements, wheels, asking)).key);
}

async function questionOf(
  requirements: readonly string[],
  wheels: WheelCache,
  asking: Asking & { refresh?: boolean },
) {
  const wanted = checkRequirements(requirements);
  const pyodide = await wheels.pyodide();
  const distribution = await wheels.distribution(asking);
  const local = await localWheels(wheels, distribution);
  const key = resolutionKey({ requirements: wanted, pyodide, distribution, local, sources: wheels.sources });
  return { wanted, pyodide, distribution, local, key };
}

function emptyLock({ version, abi }: InstalledPyodide): Lock {
  return { version: lockVersion, pyodide: version, abi, requirements: [], packages: [] };
}

// ---- the answer ----------------------------------------------------------------------------------------------------

const reasons = Object.keys({
  not_found: true,
  no_wheel: true,
  conflict: true,
  hash_mismatch: true,
  mirror: true,
  disk: true,
  network: true,
  unsafe_wheel: true,
  not_allowed: true,
  bad_lock: true,
  bad_requirement: true,
  import_failed: true,
  not_freezable: true,
} satisfies Record<InstallReason, true>) as InstallReason[];

interface FrozenPackage {
  version: string;
  fileName: string;
  depends: string[];
}

type Parsed = { ok: true; frozen: Map<string, FrozenPackage> } | Exclude<ResolveAnswer, { ok: true }>;

const names = list(2000, text(200));

function parseAnswer(value: unknown): Parsed {
  const at = 'the resolver’s answer';
  return readOrInstallError(
    at,
    'bad_lock',
    () => {
      const answer = plainObject(value, at);
      if (answer.ok === false) {
        return {
          ok: false,
          reason: oneOf(...reasons)(answer.reason, `${at}.reason`),
          package: text(200)(answer.package, `${at}.package`),
          message: text(20_000)(answer.message, `${at}.message`),
          suggestion: text(2000)(answer.suggestion, `${at}.suggestion`),
        };
      }
      if (answer.ok !== true) fail(at, 'must say whether it is ok');
      const lockfile = plainObject(answer.lockfile, `${at}.lockfile`);
      const entries = record(25_000, (entry, path) => readFrozen(entry, path))(
        lockfile.packages,
        `${at}.lockfile.packages`,
      );
      const frozen = new Map(Object.entries(entries).map(([name, entry]) => [normalizeName(name), entry]));
      return { ok: true, frozen };
    },
    'this is a bug of the resolver',
  );
}

function readFrozen(value: unknown, at: string): FrozenPackage {
  const entry = plainObject(value, at);
  return {
    version: packageVersion(entry.version, `${at}.version`),
    fileName: text(4000)(entry.file_name, `${at}.file_name`),
    depends: names(entry.depends ?? [], `${at}.depends`).map(normalizeName),
  };
}

/** micropip can't tell a name that nobody has from an index that it couldn't reach. */
function failure(
  answer: Exclude<ResolveAnswer, { ok: true }>,
  { unreachable }: ResolverAccess,
  { sources }: WheelCache,
): InstallError {
  const { reason, message, suggestion } = answer;
  const isAbsent = reason === 'not_found' || reason === 'network' || reason === 'no_wheel';
  if (isAbsent && unreachable !== undefined) {
    const known = answer.package === '' || unreachable.message.startsWith(`${answer.package}:`);
    return new InstallError(
      known ? unreachable.message : `${answer.package}: ${unreachable.message}`,
      {
        ...unreachable.details,
        reason: 'network',
        package: answer.package,
        suggestion: String(unreachable.details.suggestion ?? ''),
      },
      unreachable,
    );
  }
  if (reason === 'not_found' && sources.offline && sources.indexUrls.length > 0) {
    const way = 'run it once without --offline, or put a wheel of it into a mirror folder';
    return new InstallError(
      `${answer.package} is in no source that can be had offline, and --offline forbids to ask an index; ${way}`,
      { reason: 'network', package: answer.package, suggestion: way },
    );
  }
  const more = suggestion === '' || message.includes(suggestion) ? '' : suggestion;
  const text = more === '' ? message : `${message}${/[.!?]$/.test(message) ? ' ' : '; '}${more}`;
  return new InstallError(text, { reason, package: answer.package, suggestion });
}

// ---- the lock ------------------------------------------------------------------------------------------------------

interface Chosen {
  wanted: readonly string[];
  distribution: Distribution;
  local: readonly LocalWheel[];
  access: ResolverAccess;
  wheels: WheelCache;
}

async function chosenPackages(
  frozen: ReadonlyMap<string, FrozenPackage>,
  chosen: Chosen,
): Promise<LockedPackage[]> {
  for (const requirement of chosen.wanted) {
    const name = requirementName(requirement) ?? '';
    // One whose marker doesn't hold here is in no answer.
    if (frozen.has(name) || requirement.includes(';')) continue;
    const suggestion = 'this is a bug of the resolver';
    throw new InstallError(`${requirement} is not in the answer; ${suggestion}`, {
      reason: 'not_found',
      package: name,
      suggestion,
    });
  }
  const all: LockedPackage[] = [];
  for (const [name, entry] of frozen) all.push(await lockOne(name, entry, chosen));
  return all.map((one) => ({ ...one, dependencies: one.dependencies.filter((name) => frozen.has(name)) }));
}

/** Versions and dependencies are the answer's; where a wheel is, its hash and its modules the host knows by itself. */
async function lockOne(name: string, entry: FrozenPackage, chosen: Chosen): Promise<LockedPackage> {
  const { distribution, local, access, wheels } = chosen;
  const url = isUrl(entry.fileName) ? entry.fileName : undefined;
  const fileName = url === undefined ? entry.fileName : (fileNameOf(url) ?? '');
  const isOwn = url === undefined || url.startsWith(access.lockfileBaseUrl);
  const own = distribution.packages.get(name);
  if (isOwn && own !== undefined && own.fileName === fileName) {
    const { depends, ...rest } = own;
    return { ...rest, source: { kind: 'distribution' }, dependencies: depends };
  }
  if (wheelParts(fileName)?.name !== packageName(name, 'the resolution')) {
    const suggestion = 'the source has a wheel under another name than its own';
    throw new InstallError(`${name}: ${fileName} is not a wheel of it; ${suggestion}`, {
      reason: 'unsafe_wheel',
      package: name,
      suggestion,
    });
  }
  const common = { name, version: entry.version, fileName, dependencies: entry.depends };
  const mine = url?.startsWith(mirrorBaseUrl) ? local.find((one) => one.fileName === fileName) : undefined;
  if (mine !== undefined) {
    const source = { kind: 'mirror' } as const;
    const [wheel] = await wheels.fetch([{ ...mine, source }]);
    const imports = topLevelModules(vetWheel(wheel?.bytes ?? new Uint8Array(), fileName, name));
    return { ...common, sha256: mine.sha256, source, imports };
  }
  const { bytes, sha256 } = await access.wheel(url ?? fileName);
  const bare = new URL(url ?? fileName);
  bare.hash = '';
  const imports = topLevelModules(vetWheel(bytes, fileName, name));
  return { ...common, sha256, source: { kind: 'index', url: bare.href }, imports };
}
