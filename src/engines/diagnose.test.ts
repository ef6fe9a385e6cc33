import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { findAssets } from './assets.ts';
import { findBubblewrap } from './deno/bubblewrap.ts';
import { diagnose } from './diagnose.ts';
import { ImageCache } from './image-cache.ts';

let cacheDir = '';
beforeEach(() => {
  cacheDir = mkdtempSync(join(tmpdir(), 'vivarium-doctor-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(cacheDir, { recursive: true, force: true });
});

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

test.skipIf(findBubblewrap() === undefined)('tries the sandbox of the operating system', async () => {
  const detail = expect.stringMatching(/^bubblewrap \d.* namespaces and a filter/);
  expect(await find('os sandbox')).toMatchObject({ ok: true, detail });
});

test('misses the sandbox of the operating system only where it is required', async () => {
  vi.stubEnv('PATH', cacheDir);
  const missing = { ok: true, detail: expect.stringMatching(/not at hand: .*(bubblewrap|Linux)/) };
  expect(await find('os sandbox')).toMatchObject(missing);
  vi.stubEnv('VIVARIUM_SANDBOX', 'os');
  expect(await find('os sandbox')).toMatchObject({ ok: false, fix: expect.stringContaining('apt install') });
});

test.runIf(process.platform === 'linux')('tells why the kernel refuses the sandbox', async () => {
  const path = join(cacheDir, 'bwrap');
  writeFileSync(
    path,
    '#!/bin/sh\n[ "$1" = --version ] && exit\necho "bwrap: No permissions to create" >&2\nexit 1\n',
  );
  chmodSync(path, 0o700);
  vi.stubEnv('PATH', `${cacheDir}:${process.env.PATH}`);
  vi.stubEnv('VIVARIUM_SANDBOX', 'os');
  expect(await find('os sandbox')).toMatchObject({
    ok: false,
    detail: expect.stringContaining('No permissions to create'),
  });
});

test('says what else bounds a worker, and that a named cgroup is none', async () => {
  expect(await find('process limits')).toMatchObject({ ok: true });
  expect(await find('memory limit')).toMatchObject({ ok: true, detail: expect.stringContaining('watched') });
  vi.stubEnv('VIVARIUM_CGROUP', cacheDir);
  expect(await find('memory limit')).toMatchObject({
    ok: false,
    fix: expect.stringContaining('VIVARIUM_CGROUP'),
  });
});
