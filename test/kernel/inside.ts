import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { build } from 'esbuild';

/** What every program inside gets, beside its own data. */
export interface Surroundings {
  glueUrl: string;
  wasm: WebAssembly.Module;
  stdlib: Uint8Array;
}

export interface Inside extends AsyncDisposable {
  /** Runs the program to its end, which is the first message it posts. */
  run<T>(data: object): Promise<T>;
}

/** A program of this folder, bundled, to run in threads of its own: a kernel changes the realm it is in for good. */
export async function loadInside(name: string): Promise<Inside> {
  const folder = await mkdtemp(join(tmpdir(), 'vivarium-inside-'));
  const outfile = join(folder, `${name}.mjs`);
  await build({
    entryPoints: [fileURLToPath(new URL(`${name}.inside.ts`, import.meta.url))],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    external: ['node:*'],
    loader: { '.py': 'text' },
    logLevel: 'error',
  });
  const file = (path: string): string => fileURLToPath(import.meta.resolve(`pyodide/${path}`));
  const surroundings: Surroundings = {
    glueUrl: pathToFileURL(file('pyodide.asm.mjs')).href,
    wasm: await WebAssembly.compile(await readFile(file('pyodide.asm.wasm'))),
    stdlib: await readFile(file('python_stdlib.zip')),
  };
  return {
    async run<T>(data: object): Promise<T> {
      const thread = new Worker(outfile, { workerData: { ...surroundings, ...data }, env: {} });
      try {
        return await new Promise<T>((resolve, reject) => {
          thread.on('message', resolve);
          thread.on('error', reject);
          thread.on('exit', (code) => reject(new Error(`the thread ended with code ${code}`)));
        });
      } finally {
        await thread.terminate();
      }
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
