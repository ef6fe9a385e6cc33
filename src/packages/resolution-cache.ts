/**
 * What was resolved before: `locks/<key>.json` in the cache folder. The key covers all that decides the answer but what an index
 * holds by now, so a resolution stays as it is until it is asked for anew. Removed when unused for 30 days, or for a thousand
 * others: code that runs can ask too.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDiskError } from '../util/disk-error.ts';
import { trace } from '../util/trace.ts';
import type { Distribution, InstalledPyodide } from './distribution.ts';
import { encodeLock, type Lock, parseLock } from './lock.ts';
import type { LocalWheel } from './resolver-access.ts';
import { describeMirror, type Sources } from './sources.ts';

const keepMs = 30 * 24 * 3_600_000;
const maxKept = 1000;

export function resolutionKey(question: {
  requirements: readonly string[];
  pyodide: InstalledPyodide;
  distribution: Distribution;
  local: readonly LocalWheel[];
  sources: Sources;
}): string {
  const { requirements, pyodide, distribution, local, sources } = question;
  const where = [
    distribution.hash,
    sources.mirror === null ? '' : describeMirror(sources.mirror),
    local.map(({ fileName, sha256 }) => [fileName, sha256]),
    sources.indexUrls,
  ];
  return `${questionOf(requirements, pyodide)}-${hashOf(where)}`;
}

function questionOf(requirements: readonly string[], { version, abi }: InstalledPyodide): string {
  return hashOf([requirements, version, abi]);
}

function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 32);
}

/** The last used answer to a question, whatever the sources were. */
export async function latestResolution(
  cacheDir: string,
  requirements: readonly string[],
  pyodide: InstalledPyodide,
): Promise<Lock | undefined> {
  const question = questionOf(requirements, pyodide);
  const isAnswer = (file: string): boolean => file.startsWith(`${question}-`) && file.endsWith('.json');
  const found = (await keptIn(join(cacheDir, 'locks'))).find(({ file }) => isAnswer(file));
  return found && findResolution(cacheDir, found.file.replace(/\.json$/, ''));
}

export async function findResolution(cacheDir: string, key: string): Promise<Lock | undefined> {
  const path = join(cacheDir, 'locks', `${key}.json`);
  try {
    const lock = parseLock(await readFile(path, 'utf8'), path);
    const now = new Date();
    // Somebody else's cache may be read-only.
    await utimes(path, now, now).catch(() => undefined);
    return lock;
  } catch {
    // Missing or damaged: it is made again.
    return undefined;
  }
}

/** A cache that can't be written to is no reason to fail. */
export async function keepResolution(cacheDir: string, key: string, lock: Lock): Promise<void> {
  const dir = join(cacheDir, 'locks');
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const temporary = join(dir, `${key}.${randomUUID()}.tmp`);
    try {
      await writeFile(temporary, encodeLock(lock), { mode: 0o600 });
      const path = join(dir, `${key}.json`);
      trace('lock.writing', { temporary, path });
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
    for (const [index, { file, mtimeMs }] of (await keptIn(dir)).entries()) {
      if (index >= maxKept || Date.now() - mtimeMs > keepMs) await rm(join(dir, file), { force: true });
    }
  } catch (error) {
    if (!isDiskError(error)) throw error;
  }
}

/** The last used first. */
async function keptIn(dir: string): Promise<{ file: string; mtimeMs: number }[]> {
  const files = await readdir(dir).catch(() => []);
  const found = await Promise.all(
    files.map(async (file) => {
      const { mtimeMs } = await stat(join(dir, file)).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
      return { file, mtimeMs };
    }),
  );
  return found.sort((a, b) => b.mtimeMs - a.mtimeMs);
}
