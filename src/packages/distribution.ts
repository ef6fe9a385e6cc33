/** Pyodide's own packages: `pyodide-lock.json`, of the installation or of a mirror. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseJson } from '../protocol/json.ts';
import { fail, list, type Reader, record, text } from '../protocol/read.ts';
import type { Asking, Http } from './http.ts';
import {
  closure,
  compare,
  type Lock,
  type LockedPackage,
  lockVersion,
  packageName,
  packageVersion,
  readOrInstallError,
  sha256Hex,
} from './lock.ts';
import { normalizeName } from './names.ts';
import { describeMirror, type Mirror, mirrorError, type Sources } from './sources.ts';

export const pyodideLockFile = 'pyodide-lock.json';
const maxLockBytes = 32 * 1024 * 1024;
/** It goes to micropip as a value, which takes no more than a hundred levels. */
const maxDepth = 50;

export interface InstalledPyodide {
  version: string;
  /** `pyemscripten_2026_0`. */
  abi: string;
  /** `3.14.2`. */
  python: string;
  /** Where its packages are published; ends with `/`. */
  cdnUrl: string;
}

export interface DistributionPackage {
  /** Normalised. */
  name: string;
  version: string;
  fileName: string;
  sha256: string;
  /** Normalised. */
  depends: string[];
  imports: string[];
}

export interface Distribution {
  abi: string;
  python: string;
  /** By normalised name; wheels only. */
  packages: ReadonlyMap<string, DistributionPackage>;
  /** The file as it is, for micropip. */
  json: Record<string, unknown>;
  /** SHA-256 of the file. */
  hash: string;
}

/** What is known of the npm package `pyodide` without running it. */
export async function installedPyodide(): Promise<InstalledPyodide> {
  const [manifest, glue, lock] = await Promise.all(
    ['package.json', 'pyodide.mjs', pyodideLockFile].map(readInstalled),
  );
  const version = (JSON.parse(manifest ?? '') as { version: string }).version;
  // Pyodide's own default, with its version left out: `https://…/v${x}/full/`.
  const template = /https:\/\/[^`"'\s]+\$\{\w+\}\/full\//.exec(glue ?? '')?.[0];
  if (template === undefined) throw new Error(`pyodide ${version} doesn't tell where its packages are`);
  const { abi, python } = parseDistribution(lock ?? '', pyodideLockFile);
  return { version, abi, python, cdnUrl: template.replace(/\$\{\w+\}/, version) };
}

function readInstalled(file: string): Promise<string> {
  return readFile(new URL(import.meta.resolve(`pyodide/${file}`)), 'utf8');
}

/** The distribution that the sources have: the mirror's when there is one. Rejects with `InstallError` (`mirror`, `network`). */
export async function loadDistribution(
  { mirror }: Sources,
  pyodide: InstalledPyodide,
  http: Http,
  asking: Asking = {},
): Promise<Distribution> {
  if (mirror === null) return parseDistribution(await readInstalled(pyodideLockFile), pyodideLockFile);
  const where = describeMirror(mirror);
  const found = parseDistribution(
    await readMirrorLock(mirror, http, asking),
    `${pyodideLockFile} of ${where}`,
  );
  if (found.abi !== pyodide.abi) {
    throw mirrorError(
      `the mirror ${where} is for the ABI ${found.abi}, not ${pyodide.abi}`,
      `use a mirror of the packages of Pyodide ${pyodide.version}`,
    );
  }
  return found;
}

async function readMirrorLock(mirror: Mirror, http: Http, asking: Asking): Promise<string> {
  const suggestion = `a mirror holds ${pyodideLockFile} and the wheels that it names: check --mirror or VIVARIUM_MIRROR`;
  if (mirror.kind === 'folder') {
    const isFolder = await stat(mirror.path).then(
      (found) => found.isDirectory(),
      () => false,
    );
    if (!isFolder) throw mirrorError(`there is no mirror folder ${mirror.path}`, suggestion);
    const path = join(mirror.path, pyodideLockFile);
    try {
      if ((await stat(path)).size > maxLockBytes) throw mirrorError(`${path} is too large`, suggestion);
      return await readFile(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      throw mirrorError(`the mirror ${mirror.path} has no ${pyodideLockFile}`, suggestion);
    }
  }
  const url = `${mirror.url}${pyodideLockFile}`;
  const { status, bytes } = await http.page(url, {}, asking);
  if (status !== 200) throw mirrorError(`the mirror has no ${url} (${status})`, suggestion);
  return new TextDecoder().decode(bytes);
}

/** Throws `InstallError` (`mirror`). What is no wheel for site-packages (tests, shared libraries) is left out. */
export function parseDistribution(lockText: string, at: string): Distribution {
  return readOrInstallError(
    at,
    'mirror',
    () => {
      if (lockText.length > maxLockBytes) fail(at, 'is too large');
      const json = plainObject(parseJson(lockText, at, maxDepth), at);
      const info = plainObject(json.info, `${at}.info`);
      const short = text(100);
      const entries = record(20_000, (value, path) => readPackage(value, path))(
        json.packages,
        `${at}.packages`,
      );
      const packages = Object.values(entries).filter((one) => one !== undefined);
      return {
        abi: `pyemscripten_${short(info.abi_version, `${at}.info.abi_version`)}`,
        python: short(info.python, `${at}.info.python`),
        packages: new Map(packages.sort((a, b) => compare(a.name, b.name)).map((one) => [one.name, one])),
        json,
        hash: createHash('sha256').update(lockText).digest('hex'),
      };
    },
    '',
  );
}

const names = list(2000, text(200));

function readPackage(value: unknown, at: string): DistributionPackage | undefined {
  const entry = plainObject(value, at);
  const fileName = text(4000)(entry.file_name, `${at}.file_name`);
  if (!/^[A-Za-z0-9][A-Za-z0-9._!+-]*\.whl$/.test(fileName)) return undefined;
  return {
    name: packageName(normalizeName(text(200)(entry.name, `${at}.name`)), `${at}.name`),
    version: packageVersion(entry.version, `${at}.version`),
    fileName,
    sha256: sha256Hex(entry.sha256, `${at}.sha256`),
    depends: names(entry.depends ?? [], `${at}.depends`).map(normalizeName),
    imports: names(entry.imports ?? [], `${at}.imports`),
  };
}

export const plainObject: Reader<Record<string, unknown>> = (value, at) =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : fail(at, 'must be an object');

/** Which package provides a module (`sklearn.svm` → `scikit-learn`), for hints and for `--auto`. */
export function providerOf({ packages }: Distribution, importName: string): DistributionPackage | undefined {
  const top = importName.split('.', 1)[0] ?? '';
  const providers = [...packages.values()].filter(({ imports }) => imports.includes(top));
  return providers.find(({ name }) => name === normalizeName(top)) ?? providers[0];
}

/** A lock of these packages of the distribution and all they need, without a resolver. Throws `InstallError` (`not_found`). */
export function lockFromDistribution(
  { abi, packages }: Distribution,
  pyodide: InstalledPyodide,
  requirements: readonly string[],
): Lock {
  const all: LockedPackage[] = [...packages.values()].map(({ depends, ...one }) => ({
    ...one,
    source: { kind: 'distribution' },
    dependencies: depends.filter((name) => packages.has(name)),
  }));
  const lock: Lock = {
    version: lockVersion,
    pyodide: pyodide.version,
    abi,
    requirements: [...requirements],
    packages: all,
  };
  return { ...lock, packages: closure(lock, requirements) };
}

/** Of the resolver's own image. Throws `InstallError` (`mirror`). */
export function micropipLock(distribution: Distribution, pyodide: InstalledPyodide): Lock {
  if (!distribution.packages.has('micropip'))
    throw mirrorError('the mirror has no micropip, which resolves', `add it to its ${pyodideLockFile}`);
  return lockFromDistribution(distribution, pyodide, ['micropip']);
}
