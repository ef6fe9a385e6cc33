import { randomUUID } from 'node:crypto';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));

/** The built product, with a kernel that guest code has broken into. */
export interface Possessed extends AsyncDisposable {
  folder: string;
  /** The module `vivarium/node` of this copy. */
  node: typeof import('../../../src/node.ts');
  /** URL of a module of this copy, by its path below `dist`. */
  url(path: string): string;
}

/**
 * A copy of `dist/` in which only the kernel's script (and, when asked, the supervisor's) differs: attacks are compiled
 * in around what was built. Host, arguments, environment and permissions are the product's. It lies below
 * `node_modules`, so that `pyodide` and `deno` are found.
 */
export async function possess({
  kernel = 'kernel.mjs',
  supervisor = false,
}: {
  kernel?: 'kernel.mjs' | 'realm-kernel.mjs';
  supervisor?: boolean;
} = {}): Promise<Possessed> {
  const folder = join(root, `node_modules/.cache/vivarium-possessed-${randomUUID()}`);
  const dist = join(folder, 'dist');
  await mkdir(folder, { recursive: true });
  await cp(join(root, 'dist'), dist, { recursive: true });
  // Its modules are ES modules, and its command line reads its version.
  await cp(join(root, 'package.json'), join(folder, 'package.json'));
  await bundle(kernel, 'deno-kernel.js', dist);
  if (supervisor) await bundle('supervisor.mjs', 'deno-supervisor.js', dist);
  const url = (path: string): string => pathToFileURL(join(dist, path)).href;
  return {
    folder,
    node: await import(url('node.js')),
    url,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

async function bundle(entry: string, product: string, dist: string): Promise<void> {
  const built = join(root, 'dist/workers', product);
  const { outputFiles } = await build({
    entryPoints: [fixture(entry)],
    alias: { product: built },
    bundle: true,
    // The package says that importing its modules does nothing; that of a worker's script does.
    ignoreAnnotations: true,
    format: 'esm',
    platform: 'neutral',
    target: 'esnext',
    external: ['node:*'],
    logLevel: 'error',
    write: false,
  });
  await writeFile(join(dist, 'workers', product), outputFiles[0]?.contents ?? '');
}
