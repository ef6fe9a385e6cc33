/** Wheels of Pyodide's distribution, for tests only: the product must not know where they are. */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unzipSync } from 'fflate';
import { defaultCacheDir } from '../src/engines/image-cache.ts';
import {
  type Distribution,
  loadDistribution,
  lockFromDistribution,
  parseDistribution,
  pyodideLockFile,
} from '../src/packages/distribution.ts';
import type { LockedPackage } from '../src/packages/lock.ts';
import { resolveSources } from '../src/packages/sources.ts';
import { WheelCache } from '../src/packages/wheel-cache.ts';

/** What was downloaded for tests before. */
const cached = join(defaultCacheDir(), 'test-wheels');
const candidates: string[] = [
  process.env.VIVARIUM_TEST_WHEELS,
  fileURLToPath(new URL('../../shared/wheels', import.meta.url)),
  cached,
].filter((path): path is string => Boolean(path) && existsSync(join(path as string, pyodideLockFile)));

/** The first folder with wheels, or undefined where there is none. */
export const wheelFolder: string | undefined = candidates[0];

/** A mirror for tests, or the names of the wheels that are nowhere to be had: such tests are skipped by those names. */
export type TestMirror = { folder: string; missing: [] } | { folder: undefined; missing: string[] };

/**
 * A mirror folder that holds these packages and all they need: one of the candidates, else the user's cache, filled from
 * Pyodide's own place.
 */
export async function mirrorForTests(names: readonly string[]): Promise<TestMirror> {
  let fewest = [...names];
  for (const folder of candidates) {
    const text = await readFile(join(folder, pyodideLockFile), 'utf8');
    const missing = absent(parseDistribution(text, folder), names, new Set(await readdir(folder)));
    if (missing.length === 0) return { folder: folder, missing: [] };
    if (missing.length < fewest.length) fewest = missing;
  }
  try {
    await downloadForTests(names);
    return { folder: cached, missing: [] };
  } catch (error) {
    console.warn(`no wheels of ${fewest.join(', ')} for tests: ${(error as Error).message}`);
    return { folder: undefined, missing: fewest };
  }
}

/** Names that the folder's lock doesn't have, or whose wheels (with what they need) aren't all there. */
function absent(distribution: Distribution, names: readonly string[], files: ReadonlySet<string>): string[] {
  return names.filter((name) => {
    if (!distribution.packages.has(name)) return true;
    return needed(distribution, [name], 'any').some(({ fileName }) => !files.has(fileName));
  });
}

function needed(distribution: Distribution, names: readonly string[], version: string): LockedPackage[] {
  const { abi, python } = distribution;
  return lockFromDistribution(distribution, { version, abi, python, cdnUrl: '' }, names).packages;
}

async function downloadForTests(names: readonly string[]): Promise<void> {
  const sources = resolveSources({}, {});
  const wheels = new WheelCache({ cacheDir: defaultCacheDir(), sources });
  const pyodide = await wheels.pyodide();
  const distribution = await loadDistribution(sources, pyodide, wheels.http);
  const found = await wheels.fetch(needed(distribution, names, pyodide.version));
  await mkdir(cached, { recursive: true });
  // Beside and moved, since several test files may do this at once.
  for (const wheel of found) {
    const aside = join(cached, `${wheel.package.fileName}.${process.pid}.tmp`);
    await copyFile(wheel.path, aside);
    await rename(aside, join(cached, wheel.package.fileName));
  }
  const aside = join(cached, `${pyodideLockFile}.${process.pid}.tmp`);
  await writeFile(aside, JSON.stringify(distribution.json));
  await rename(aside, join(cached, pyodideLockFile));
}

/** The files of a package, without its tests, by path under `site-packages`. */
export async function wheelFiles(name: string): Promise<Map<string, Uint8Array>> {
  const file = (await readdir(wheelFolder ?? '')).find((one) => one.startsWith(`${name}-`));
  if (file === undefined) throw new Error(`no wheel of ${name} in ${wheelFolder}`);
  const unzipped = unzipSync(await readFile(`${wheelFolder}/${file}`));
  return new Map(
    Object.entries(unzipped).filter(([path]) => !path.endsWith('/') && !/(^|\/)tests\//.test(path)),
  );
}
