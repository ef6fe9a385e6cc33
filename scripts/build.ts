/** Builds `dist/`: the library by tsc, the single-file workers by esbuild, and the manifest that ties them together. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Output name → source, below the root. */
const workers: Record<string, string> = {
  'deno-supervisor': 'src/engines/deno/supervisor.ts',
  'deno-kernel': 'src/engines/deno/entry.ts',
  'node-kernel': 'src/engines/node/entry.ts',
};

try {
  await main();
} catch (error) {
  console.error(`build: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const missing = Object.values(workers).filter((source) => !existsSync(join(root, source)));
  if (missing.length > 0) throw new Error(`no such worker source: ${missing.join(', ')}`);

  // Built aside and put in place as a whole: a build that fails leaves the last good one.
  const cache = join(root, 'node_modules/.cache');
  const staged = join(cache, `build-${process.pid}`);
  const old = join(cache, `old-${process.pid}`);
  await mkdir(staged, { recursive: true });
  try {
    const scripts = ['recipes', 'probes'].map((name) =>
      cp(join(root, 'python', name), join(staged, name), { recursive: true }),
    );
    await Promise.all([compile(staged), bundle(join(staged, 'workers')), ...scripts]);
    await writeManifest(join(staged, 'workers'));
    if (existsSync(join(root, 'dist'))) await rename(join(root, 'dist'), old);
    await rename(staged, join(root, 'dist'));
  } finally {
    await Promise.all([staged, old].map((folder) => rm(folder, { recursive: true, force: true })));
  }
}

/** Emits only: `npm run typecheck` is what checks types. */
function compile(outDir: string): Promise<void> {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const args = [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', outDir, '--noCheck'];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: 'inherit' });
    child.on('error', reject);
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error('tsc failed'))));
  });
}

async function bundle(outdir: string): Promise<void> {
  await build({
    absWorkingDir: root,
    entryPoints: workers,
    outdir,
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    target: 'es2023',
    external: ['node:*'],
    loader: { '.py': 'text' },
    logLevel: 'error',
  });
}

/** `kernelHash` is part of an image's fingerprint: it covers everything that decides what is in the heap. */
async function writeManifest(folder: string): Promise<void> {
  const pyodide = join(root, 'node_modules/pyodide');
  const { version } = JSON.parse(await readFile(join(pyodide, 'package.json'), 'utf8'));
  const buildId = /BUILD_ID:\s*"([0-9a-f]+)"/.exec(await readFile(join(pyodide, 'pyodide.mjs'), 'utf8'))?.[1];
  if (buildId === undefined) throw new Error('pyodide.mjs holds no BUILD_ID');

  const hash = createHash('sha256');
  for (const file of [...(await kernels(folder)), ...(await pythonSources())]) {
    const name = file.startsWith(folder) ? relative(folder, file) : relative(root, file);
    const bytes = await readFile(file);
    hash.update(`${name}\0${bytes.length}\0`).update(bytes);
  }
  const manifest = { pyodide: version, buildId, kernelHash: hash.digest('hex') };
  await writeFile(join(folder, 'manifest.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

async function kernels(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('-kernel.js'));
  return names.sort().map((name) => join(folder, name));
}

async function pythonSources(): Promise<string[]> {
  const folder = join(root, 'python/vivarium');
  if (!existsSync(folder)) return [];
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.py'));
  return names.sort().map((name) => join(folder, name));
}
