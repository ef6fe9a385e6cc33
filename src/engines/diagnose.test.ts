import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findAssets } from './assets.ts';
import { diagnose } from './diagnose.ts';
import { ImageCache } from './image-cache.ts';

let cacheDir = '';
beforeEach(() => {
  cacheDir = mkdtempSync(join(tmpdir(), 'vivarium-doctor-'));
});
afterEach(() => rmSync(cacheDir, { recursive: true, force: true }));

const find = async (name: string, options = {}) =>
  (await diagnose({ cacheDir, ...options })).find((diagnosis) => diagnosis.name === name);

test('all is well in a clone', async () => {
  const diagnoses = await diagnose({ cacheDir });
  expect(diagnoses.filter(({ ok }) => !ok)).toEqual([]);
  expect(diagnoses.find(({ name }) => name === 'image')?.detail).toContain('none yet');
});

test('names an old Node, a Deno that is missing or is none, and what mends it', async () => {
  expect(await find('node', { nodeVersion: '22.14.0' })).toMatchObject({
    ok: false,
    fix: expect.any(String),
  });
  expect(await find('node', { nodeVersion: '22.15.0' })).toMatchObject({ ok: true });
  const missing = { denoPath: join(cacheDir, 'deno') };
  expect(await find('deno', missing)).toMatchObject({
    ok: false,
    fix: expect.stringContaining('VIVARIUM_DENO'),
  });
  const other = { denoPath: process.execPath };
  expect(await find('deno', other)).toMatchObject({
    ok: false,
    detail: expect.stringContaining('is no Deno'),
  });
});

test('names a cache that cannot be, and a damaged image', async () => {
  const file = join(cacheDir, 'file');
  writeFileSync(file, '');
  expect(await find('cache folder', { cacheDir: join(file, 'x') })).toMatchObject({ ok: false });

  const image = new ImageCache(cacheDir).pathOf((await findAssets()).fingerprint);
  mkdirSync(dirname(image), { recursive: true });
  writeFileSync(image, 'VIVIMAGE and then nothing of use');
  expect(await find('image')).toMatchObject({ ok: false, fix: `rm ${image}` });
});
