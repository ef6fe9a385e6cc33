import { readFile } from 'node:fs/promises';
import type { Fingerprint } from '../image/header.ts';

/** Where a worker's parts lie in this installation. */
export interface InstalledAssets {
  glueUrl: string;
  wasmUrl: string;
  stdlibUrl: string;
  fingerprint: Fingerprint;
}

/** The folder of the single-file workers: the same place from `src/` and from `dist/`. */
const workersUrl = new URL('../../dist/workers/', import.meta.url);

export function workerUrl(file: string): URL {
  return new URL(file, workersUrl);
}

/** Finds Pyodide and what the build noted about it. Throws when the two don't belong together. */
export async function findAssets(): Promise<InstalledAssets> {
  const manifest = parseManifest(JSON.parse(await readFile(workerUrl('manifest.json'), 'utf8')));
  const installed: unknown = JSON.parse(await readFile(new URL(resolve('package.json')), 'utf8'));
  const version = (installed as { version?: unknown } | null)?.version;
  if (version !== manifest.pyodide) {
    throw new Error(
      `pyodide ${String(version)} is installed, but this build needs exactly ${manifest.pyodide}`,
    );
  }
  return {
    glueUrl: resolve('pyodide.asm.mjs'),
    wasmUrl: resolve('pyodide.asm.wasm'),
    stdlibUrl: resolve('python_stdlib.zip'),
    fingerprint: { ...manifest, lockHash: '' },
  };
}

function resolve(file: string): string {
  return import.meta.resolve(`pyodide/${file}`);
}

function parseManifest(value: unknown): Omit<Fingerprint, 'lockHash'> {
  const { pyodide, buildId, kernelHash } = (value ?? {}) as Record<string, unknown>;
  if (typeof pyodide !== 'string' || typeof buildId !== 'string' || typeof kernelHash !== 'string') {
    throw new Error('the build manifest is damaged: build or install vivarium again');
  }
  return { pyodide, buildId, kernelHash };
}
