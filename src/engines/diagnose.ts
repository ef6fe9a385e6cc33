import { execFile } from 'node:child_process';
import { access, constants, mkdir, readFile, statfs } from 'node:fs/promises';
import { promisify } from 'node:util';
import { decodeImage, splitImage, verifyImage } from '../image/format.ts';
import type { Fingerprint } from '../image/header.ts';
import type { Diagnosis } from '../runtime.ts';
import { findAssets } from './assets.ts';
import { findDeno } from './deno/binary.ts';
import { diagnoseBounds } from './deno/diagnose-bounds.ts';
import { defaultCacheDir, ImageCache } from './image-cache.ts';

export interface DiagnoseOptions {
  /** Default: where images are kept. */
  cacheDir?: string;
  /** Default: that of this process. */
  nodeVersion?: string;
  /** Default: the binary that the engine would start. */
  denoPath?: string;
}

/** An image of the standard library is about 17 MB; with less there is no room for more than a few. */
const minFreeBytes = 200e6;
const denoTimeoutMs = 10_000;
const run = promisify(execFile);

/** Looks at everything that a runtime needs on this machine. Starts Deno three times, changes nothing but an empty folder. */
export async function diagnose(options: DiagnoseOptions = {}): Promise<Diagnosis[]> {
  const cacheDir = options.cacheDir ?? defaultCacheDir();
  const assets = await findAssets().catch(asError);
  const fingerprint = assets instanceof Error ? assets : assets.fingerprint;
  const bounds = diagnoseBounds(() => options.denoPath ?? findDeno());
  const checks = await Promise.all([
    checkNode(options.nodeVersion ?? process.versions.node),
    checkPyodide(fingerprint),
    checkDeno(options.denoPath),
    checkCache(cacheDir),
    checkImage(cacheDir, fingerprint),
    checkDisk(cacheDir),
  ]);
  return [...checks, ...(await bounds)];
}

function checkNode(version: string): Diagnosis {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const ok = major > 22 || (major === 22 && minor >= 15);
  const fix = 'install Node 22.15 or newer';
  return { name: 'node', ok, detail: ok ? version : `${version} is too old`, ...(!ok && { fix }) };
}

function checkPyodide(fingerprint: Fingerprint | Error): Diagnosis {
  const name = 'pyodide';
  if (fingerprint instanceof Error) {
    return { name, ok: false, detail: fingerprint.message, fix: 'npm install vivarium' };
  }
  return { name, ok: true, detail: fingerprint.pyodide };
}

/** That it starts, and that its sandbox refuses what it wasn't given. */
async function checkDeno(path: string | undefined): Promise<Diagnosis> {
  const name = 'deno';
  const fix = 'npm install --include=optional deno@2.9.5, or set VIVARIUM_DENO to its path';
  try {
    const deno = path ?? findDeno();
    const env = { DENO_NO_UPDATE_CHECK: '1', DENO_DIR: '/dev/null/none' };
    const start = (...args: string[]) => run(deno, args, { env, timeout: denoTimeoutMs });
    const { stdout } = await start('--version');
    const version = /^deno (\S+)/.exec(stdout)?.[1];
    if (version === undefined) return { name, ok: false, detail: `${deno} is no Deno`, fix };
    const probe = 'data:text/javascript,try{Deno.readDirSync("/")}catch(e){console.log(e.name)}';
    const sandbox = await start('run', '--no-prompt', '--no-remote', '--no-npm', '--no-config', probe);
    if (sandbox.stdout.trim() !== 'NotCapable') {
      return { name, ok: false, detail: `${deno} reads files without a permission`, fix };
    }
    return { name, ok: true, detail: `${version} at ${deno}` };
  } catch (error) {
    return { name, ok: false, detail: asError(error).message.split('\n')[0] ?? '', fix };
  }
}

async function checkCache(cacheDir: string): Promise<Diagnosis> {
  const name = 'cache folder';
  try {
    await mkdir(cacheDir, { recursive: true, mode: 0o700 });
    await access(cacheDir, constants.W_OK);
    return { name, ok: true, detail: cacheDir };
  } catch (error) {
    const fix = 'set VIVARIUM_CACHE_DIR to a folder that can be written';
    return { name, ok: false, detail: asError(error).message, fix };
  }
}

/** A missing image is nothing amiss: the first run builds it. */
async function checkImage(cacheDir: string, fingerprint: Fingerprint | Error): Promise<Diagnosis> {
  const name = 'image';
  if (fingerprint instanceof Error) return { name, ok: true, detail: 'not looked at without pyodide' };
  const path = new ImageCache(cacheDir).pathOf(fingerprint);
  try {
    const bytes = await readFile(path);
    const image = splitImage(bytes);
    decodeImage(image, fingerprint);
    await verifyImage(image);
    return { name, ok: true, detail: `${path} (${Math.round(bytes.length / 1e6)} MB)` };
  } catch (error) {
    const { message } = asError(error);
    if (isMissing(error)) return { name, ok: true, detail: 'none yet; the first run builds it' };
    return { name, ok: false, detail: `${path}: ${message}`, fix: `rm ${path}` };
  }
}

async function checkDisk(cacheDir: string): Promise<Diagnosis> {
  const name = 'disk space';
  try {
    const { bavail, bsize } = await statfs(cacheDir);
    const free = bavail * bsize;
    const ok = free >= minFreeBytes;
    const fix = `free ${Math.ceil((minFreeBytes - free) / 1e6)} MB, or set VIVARIUM_CACHE_DIR to another disk`;
    return { name, ok, detail: `${Math.floor(free / 1e6)} MB free`, ...(!ok && { fix }) };
  } catch (error) {
    // The folder's own check says what is wrong with it.
    return { name, ok: true, detail: `unknown: ${asError(error).message}` };
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
