import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, vi } from 'vitest';
import { findAssets } from '../../src/engines/assets.ts';
import { createDenoEngine } from '../../src/engines/deno/host.ts';
import { defaultCacheDir, ImageCache, imagesDir } from '../../src/engines/image-cache.ts';
import { startOptions } from '../engines/subject.ts';

export interface Folders {
  /** Holds the standard library's image and nothing else. */
  cache: string;
  /** Where temporary files of this process and its children go. */
  temporary: string;
  /** For the test's own files. */
  own: string;
}

// Each of these tests starts processes, some build images: a busy machine is no failure.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

/** Of a test file, gone with it. */
export async function makeFolders(): Promise<Folders> {
  const root = mkdtempSync(join(tmpdir(), 'vivarium-faults-'));
  afterAll(() => {
    vi.unstubAllEnvs();
    rmSync(root, { recursive: true, force: true });
  });
  const [temporary, own] = [join(root, 'tmp'), join(root, 'own')];
  for (const folder of [temporary, own]) mkdirSync(folder);
  const cache = await makeCache(join(root, 'cache'));
  vi.stubEnv('TMPDIR', temporary);
  return { cache, temporary, own };
}

/** A cache folder with the standard library's image, which the user's cache has from then on. */
export async function makeCache(cache: string): Promise<string> {
  const image = await imageIn(defaultCacheDir());
  if (!existsSync(image)) {
    await using engine = createDenoEngine({ image: true });
    const worker = await engine.start(startOptions());
    worker.kill();
    await worker.exited;
  }
  mkdirSync(imagesDir(cache), { recursive: true });
  await copyFile(image, join(imagesDir(cache), basename(image)));
  return cache;
}

/** Where the standard library's image lies in a cache folder. */
export async function imageIn(cache: string): Promise<string> {
  return new ImageCache(cache).pathOf((await findAssets()).fingerprint);
}

/** What isn't meant to stay, in any folder below. */
export function leftovers(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return files.filter((file) => /\.(tmp|part|lock)$/.test(file));
}
