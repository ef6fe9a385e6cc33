import { readFile } from 'node:fs/promises';

/** What this installation consists of. */
export interface Versions {
  readonly vivarium: string;
  /** `3.14.2`. */
  readonly python: string;
  readonly pyodide: string;
}

export async function readVersions(): Promise<Versions> {
  const [own, pyodide, lock] = await Promise.all([
    readJson<{ version: string }>(new URL('../../package.json', import.meta.url).href),
    readJson<{ version: string }>(import.meta.resolve('pyodide/package.json')),
    readJson<{ info: { python: string } }>(import.meta.resolve('pyodide/pyodide-lock.json')),
  ]);
  return { vivarium: own.version, python: lock.info.python, pyodide: pyodide.version };
}

/** Of a file that is part of the installation. */
async function readJson<T>(url: string): Promise<T> {
  return JSON.parse(await readFile(new URL(url), 'utf8'));
}
