/**
 * The lock: exactly which wheels make up an interpreter. A file `vivarium.lock.json` for people, and what an image's
 * fingerprint is taken from.
 */
import { createHash } from 'node:crypto';
import { InstallError } from '../errors/errors.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { fail, list, object, type Reader, text } from '../protocol/read.ts';
import { isUrl, normalizeName, requirementName } from './names.ts';

export const lockVersion = 1;

/** Where a wheel comes from. `distribution`: Pyodide's own, or the mirror of it; `index`: a package index; `mirror`: a wheel of the mirror that its lock doesn't list. */
export type WheelSource = { kind: 'distribution' } | { kind: 'mirror' } | { kind: 'index'; url: string };

export interface LockedPackage {
  /** Normalised as PEP 503 says. */
  name: string;
  version: string;
  fileName: string;
  /** Of the wheel, in hex. */
  sha256: string;
  source: WheelSource;
  /** Names of packages of this lock. */
  dependencies: string[];
  /** Top-level modules. */
  imports: string[];
}

export interface Lock {
  version: typeof lockVersion;
  /** Exact version of Pyodide. */
  pyodide: string;
  /** `pyemscripten_2026_0`. */
  abi: string;
  /** What was asked for, as written. */
  requirements: string[];
  /** Sorted by name. */
  packages: LockedPackage[];
}

const maxLockChars = 16 * 1024 * 1024;
const maxPackages = 2000;
const maxNames = 2000;

/** Text of at most `max` chars that matches. */
export function matching(pattern: RegExp, wanted: string, max: number): Reader<string> {
  const read = text(max);
  return (value, at) => {
    const found = read(value, at);
    return pattern.test(found) ? found : fail(at, `must be ${wanted}`);
  };
}

export const sha256Hex: Reader<string> = matching(/^[0-9a-f]{64}$/, 'a SHA-256 in hex', 64);
export const packageName: Reader<string> = (value, at) => {
  const found = matching(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'a normalised package name', 200)(value, at);
  return normalizeName(found) === found ? found : fail(at, 'must be a normalised package name');
};
export const packageVersion: Reader<string> = matching(/^[A-Za-z0-9._!+-]+$/, 'a version', 100);
const wheelFileName = matching(
  /^[A-Za-z0-9][A-Za-z0-9._!+-]*\.whl$/,
  'the file name of a wheel, without a folder',
  200,
);
const moduleName = matching(/^[^/\\\0\n]+$/, 'the name of a module', 200);
const line = matching(/^[^\0\n\p{Cs}]+$/u, 'one line of text', 2000);

/** An absolute http(s) URL without credentials. */
export const webUrl: Reader<string> = (value, at) => {
  const found = text(4000)(value, at);
  if (!isUrl(found)) fail(at, 'must be an http: or https: URL');
  const { username, password } = new URL(found);
  return username === '' && password === '' ? found : fail(at, 'must not hold credentials');
};

const source: Reader<WheelSource> = (value, at) => {
  const { kind, url } = object<{ kind: string; url?: string }>({ kind: text(20), url: webUrl }, 'url')(
    value,
    at,
  );
  if (kind === 'index' && url !== undefined) return { kind, url };
  if ((kind === 'distribution' || kind === 'mirror') && url === undefined) return { kind };
  return fail(at, 'must be a distribution, a mirror, or an index with a URL');
};

const readLock = object<Lock>({
  version: (value, at) =>
    value === lockVersion ? lockVersion : fail(at, `must be ${lockVersion}: another version wrote this lock`),
  pyodide: matching(/^[0-9A-Za-z.+-]+$/, 'a version', 50),
  abi: matching(/^[0-9A-Za-z_]+$/, 'an ABI', 50),
  requirements: list(maxNames, line),
  packages: list(
    maxPackages,
    object<LockedPackage>({
      name: packageName,
      version: packageVersion,
      fileName: wheelFileName,
      sha256: sha256Hex,
      source,
      dependencies: list(maxNames, packageName),
      imports: list(maxNames, moduleName),
    }),
  ),
});

/**
 * A lock from a file's text or from parsed JSON, checked in every part. `at` names it in messages. Throws `InstallError`
 * (`bad_lock`).
 */
export function parseLock(input: unknown, at = 'lock'): Lock {
  return readOrInstallError(at, 'bad_lock', () => {
    const lock = readLock(parseJson(input, at), at);
    const names = new Set<string>();
    const files = new Set<string>();
    for (const [index, { name, fileName }] of lock.packages.entries()) {
      if (names.has(name)) fail(`${at}.packages[${index}].name`, `${name} is there twice`);
      if (files.has(fileName)) fail(`${at}.packages[${index}].fileName`, `${fileName} is there twice`);
      names.add(name);
      files.add(fileName);
    }
    for (const { name, dependencies } of lock.packages) {
      const missing = dependencies.find((dependency) => !names.has(dependency));
      if (missing !== undefined) fail(`${at}.packages`, `${name} needs ${missing}, which is not in the lock`);
    }
    return sorted(lock);
  });
}

function parseJson(input: unknown, at: string): unknown {
  if (typeof input !== 'string') return input;
  if (input.length > maxLockChars) fail(at, `${input.length} chars, at most ${maxLockChars}`);
  try {
    return JSON.parse(input);
  } catch {
    return fail(at, 'is not JSON');
  }
}

/** Runs a reader; what it refuses becomes an `InstallError`. */
export function readOrInstallError<T>(
  at: string,
  reason: 'bad_lock' | 'mirror' | 'bad_requirement',
  read: () => T,
  suggestion = 'run `vivarium lock` again',
): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const message = `${at} can't be read: ${error.message}`;
    throw new InstallError(suggestion === '' ? message : `${message}; ${suggestion}`, {
      reason,
      package: '',
      suggestion,
    });
  }
}

/** The same text for equal locks, whatever the order they were put together in. */
export function encodeLock(lock: Lock): string {
  return `${JSON.stringify(sorted(lock), undefined, 2)}\n`;
}

function sorted(lock: Lock): Lock {
  const { version, pyodide, abi, requirements } = lock;
  const packages = lock.packages
    .map(({ name, version, fileName, sha256, source, dependencies, imports }) => ({
      name,
      version,
      fileName,
      sha256,
      source,
      dependencies: [...new Set(dependencies)].sort(),
      imports: [...new Set(imports)].sort(),
    }))
    .sort((a, b) => compare(a.name, b.name));
  return { version, pyodide, abi, requirements: [...requirements], packages };
}

/** By code units: the same order everywhere. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Throws `InstallError` (`bad_lock`) when the lock was made for another Pyodide. */
export function checkLockFits(lock: Lock, pyodide: { version: string; abi: string }, at = 'the lock'): void {
  const different =
    lock.abi !== pyodide.abi
      ? `the ABI ${lock.abi}, not ${pyodide.abi}`
      : lock.pyodide !== pyodide.version
        ? `Pyodide ${lock.pyodide}, not ${pyodide.version}`
        : undefined;
  if (different === undefined) return;
  throw new InstallError(`${at} is for ${different}; run \`vivarium lock\` again`, {
    reason: 'bad_lock',
    package: '',
    suggestion: 'run `vivarium lock` again',
  });
}

/** The packages of these names and all that they need, sorted by name. Throws `InstallError` (`not_found`). */
export function closure(lock: Lock, names: Iterable<string>): LockedPackage[] {
  const byName = new Map(lock.packages.map((one) => [one.name, one]));
  const found = new Map<string, LockedPackage>();
  const open = [...names].map(normalizeName);
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (found.has(name)) continue;
    const one = byName.get(name);
    if (one === undefined) {
      throw new InstallError(`${name} is not in the lock; add it with \`vivarium lock\``, {
        reason: 'not_found',
        package: name,
        suggestion: `run \`vivarium lock ${name}\` with what is locked already`,
      });
    }
    found.set(name, one);
    open.push(...one.dependencies);
  }
  return [...found.values()].sort((a, b) => compare(a.name, b.name));
}

/** What an image of this lock imports unless told otherwise: the public modules of what was asked for, not of what that needs. */
export function defaultImports(lock: Lock): string[] {
  const wanted = new Set(lock.requirements.map(requirementName));
  const modules = lock.packages.filter(({ name }) => wanted.has(name)).flatMap(({ imports }) => imports);
  return [...new Set(modules)].filter((name) => /^[A-Za-z]\w*$/.test(name)).sort();
}

/** What decides what is in an image, beside the interpreter. */
export interface HashedContent {
  packages: readonly Pick<LockedPackage, 'name' | 'version' | 'sha256'>[];
  imports: readonly string[];
  warm: readonly { filename: string; code: string }[];
}

/** SHA-256 in hex; empty when there is nothing beside the standard library. Where wheels come from doesn't matter. */
export function lockHash(content: HashedContent): string {
  const { packages, imports, warm } = content;
  if (packages.length + imports.length + warm.length === 0) return '';
  const canonical = [
    packages
      .map(({ name, version, sha256 }) => [name, version, sha256])
      .sort((a, b) => compare(`${a}`, `${b}`)),
    imports,
    warm.map(({ filename, code }) => [filename, code]),
  ];
  return createHash('sha256').update(JSON.stringify(canonical)).digest('hex');
}
