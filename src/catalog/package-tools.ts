/** What programs do with packages beside running code. */
import { randomUUID } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { InstallError } from '../errors/errors.ts';
import { installedPyodide } from '../packages/distribution.ts';
import { encodeLock, type Lock, type LockedPackage, parseLock } from '../packages/lock.ts';
import { encodePylock } from '../packages/pylock.ts';
import { checkPython } from '../packages/python-version.ts';
import { readRequirements, scriptMetadata } from '../packages/requirements.ts';
import { mirrorError, resolveSources, type SourceOptions } from '../packages/sources.ts';
import { trace } from '../util/trace.ts';

/** Of a file: see `readRequirements`. A script is checked against this Python. */
export async function requirementsOf(path: string, extras?: readonly string[]): Promise<string[]> {
  const found = await readRequirements(path, extras);
  if (path.endsWith('.py')) await scriptDependencies(await readFile(path, 'utf8'), path);
  return found;
}

/** What the script's PEP 723 block asks for, checked against this Python; undefined when it has none. */
export async function scriptDependencies(source: string, at: string): Promise<string[] | undefined> {
  const found = scriptMetadata(source, at);
  if (found?.requiresPython !== undefined)
    checkPython(found.requiresPython, (await installedPyodide()).python, at);
  return found?.dependencies;
}

export async function readLock(path: string): Promise<Lock> {
  return parseLock(await lockText(path), path);
}

/** Rejects with `InstallError` when there is no such file. */
export async function lockText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const suggestion = 'make it with vivarium lock';
    throw new InstallError(
      `The lock ${path} can't be read: ${error instanceof Error ? error.message : String(error)}; ${suggestion}.`,
      { reason: 'bad_lock', package: '', suggestion },
      error,
    );
  }
}

export async function writeLock(lock: Lock, path: string): Promise<void> {
  await replaceFile(path, encodeLock(lock));
}

/** For other tools, at a path: wheels of a mirror folder are named relative to it. */
export async function writePylock(lock: Lock, path: string, sources: SourceOptions): Promise<void> {
  const { mirror } = resolveSources(sources);
  const { python, cdnUrl } = await installedPyodide();
  const locate = ({ name, source, fileName }: LockedPackage): { url: string } | { path: string } => {
    if (source.kind === 'index') return { url: source.url };
    if (source.kind === 'distribution') return { url: `${cdnUrl}${encodeURIComponent(fileName)}` };
    if (mirror === null)
      throw mirrorError(`${name}: ${fileName} came from a mirror, and none is set`, 'name it by --mirror');
    if (mirror.kind === 'url') return { url: `${mirror.url}${encodeURIComponent(fileName)}` };
    const file = relative(dirname(resolve(path)), join(mirror.path, fileName));
    return { path: file.replaceAll('\\', '/') };
  };
  await replaceFile(path, encodePylock(lock, { python, locate }));
}

async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, text, { flag: 'wx' });
    trace('lock.writing', { temporary, path });
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
