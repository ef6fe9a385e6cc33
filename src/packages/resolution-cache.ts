/**
 * What was resolved before: `locks/<key>.json` in the cache folder. The key covers all that decides the answer but what an index
 * holds by now, so a resolution stays as it is until it is asked for anew. Removed when unused for 30 days.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Distribution, InstalledPyodide } from './distribution.ts';
import { encodeLock, type Lock, parseLock } from './lock.ts';
import type { LocalWheel } from './resolver-access.ts';
import { describeMirror, type Sources } from './sources.ts';

const keepMs = 30 * 24 * 3_600_000;

export function resolutionKey(question: {
  requirements: readonly string[];
  pyodide: InstalledPyodide;
  distribution: Distribution;
  local: readonly LocalWheel[];
  sources: Sources;
}): string {
  const { requirements, pyodide, distribution, local, sources } = question;
  const canonical = [
    requirements,
    pyodide.version,
    distribution.hash,
    sources.mirror === null ? '' : describeMirror(sources.mirror),
    local.map(({ fileName, sha256 }) => [fileName, sha256]),
    sources.indexUrls,
  ];
  return createHash('sha256').update(JSON.stringify(canonical)).digest('hex').slice(0, 32);
}

export async function findResolution(cacheDir: string, key: string): Promise<Lock | undefined> {
  const path = join(cacheDir, 'locks', `${key}.json`);
  try {
    const lock = parseLock(await readFile(path, 'utf8'), path);
    const now = new Date();
    await utimes(path, now, now);
    return lock;
  } catch {
    // Missing or damaged: it is made again.
    return undefined;
  }
}

export async function keepResolution(cacheDir: string, key: string, lock: Lock): Promise<void> {
  const dir = join(cacheDir, 'locks');
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const temporary = join(dir, `${key}.${randomUUID()}.tmp`);
  await writeFile(temporary, encodeLock(lock), { mode: 0o600 });
  await rename(temporary, join(dir, `${key}.json`));
  for (const file of await readdir(dir)) {
    const path = join(dir, file);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (Date.now() - mtimeMs > keepMs) await rm(path, { force: true });
  }
}
