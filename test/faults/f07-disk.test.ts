/**
 * F07: a disk that is full, read-only or failing, for a host in a process of its own. The disk is a real file system of a few
 * megabytes that only this process sees: bubblewrap mounts it.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { resolveSources } from '../../src/packages/sources.ts';
import { WheelCache } from '../../src/packages/wheel-cache.ts';
import { makeWheel, wanted } from '../packages/make-wheel.ts';
import { ChildHost } from './child-host.ts';
import { makeFolders } from './folders.ts';
import { signal } from './processes.ts';
import { eventually } from './runs.ts';

const everything = ['--dev-bind', '/', '/', '--die-with-parent'];
const canMount =
  spawnSync('bwrap', [...everything, '--size', '1000000', '--tmpfs', '/mnt', 'true']).status === 0;

const folders = await makeFolders();

function emptyFolder(name: string): string {
  const folder = join(folders.own, name);
  mkdirSync(folder);
  return folder;
}

/** A host whose cache folder is a disk of so many bytes. */
function hostOnDisk(cacheDir: string, bytes: number): Promise<ChildHost> {
  const mount = ['--size', String(bytes), '--tmpfs', cacheDir];
  return ChildHost.start({ runtime: { size: 1, cacheDir }, under: ['bwrap', ...everything, ...mount] });
}

/** As the host sees it. */
async function seenBy(host: ChildHost, path: string): Promise<string> {
  const { pid } = await host.first('up');
  return `/proc/${pid}/root${path}`;
}

/** Ends its worker; the next run gets another one. */
async function replaceWorker(host: ChildHost): Promise<void> {
  const exits = () => host.all('point').filter(({ point }) => point === 'worker.exited').length;
  const before = exits();
  signal(host.workers.at(-1) ?? 0, 'SIGKILL');
  await eventually(() => expect(exits()).toBe(before + 1));
}

describe.skipIf(!canMount)('a disk that is full', () => {
  it('no image can be kept: workers boot plainly, with a warning; with room again the next one keeps it', async () => {
    const cacheDir = emptyFolder('filled');
    await using host = await hostOnDisk(cacheDir, 64_000_000);
    const disk = await seenBy(host, cacheDir);
    const filler = join(disk, 'filler');
    await writeFile(filler, new Uint8Array(62_000_000));
    expect(await host.run('6 * 7')).toMatchObject({ outcome: 'ok', value: 42 });
    expect(host.all('warning').map(({ message }) => message)).toEqual([
      expect.stringMatching(/^the image can't be kept, so workers boot slowly: .*ENOSPC/),
    ]);
    expect(readdirSync(join(disk, 'images'))).toEqual([]);

    await rm(filler);
    await replaceWorker(host);
    expect(await host.run('2')).toMatchObject({ outcome: 'ok', value: 2 });
    expect(host.all('warning')).toHaveLength(1);
    expect(readdirSync(join(disk, 'images'))).toEqual([expect.stringMatching(/^stdlib-\w+\.image$/)]);
    expect(host.stderr).toBe('');
  });
});

describe.skipIf(!canMount)('a disk that is read-only', () => {
  const readOnly = (cacheDir: string): Promise<ChildHost> =>
    ChildHost.start({
      runtime: { size: 1, cacheDir },
      under: ['bwrap', ...everything, '--ro-bind', cacheDir, cacheDir],
    });

  it('the image that it holds is used', async () => {
    await using host = await readOnly(folders.cache);
    expect(await host.run('6 * 7')).toMatchObject({ outcome: 'ok', value: 42 });
    expect(host.all('warning')).toEqual([]);
  });

  it('without an image: workers boot plainly, with a warning, and none is built for nothing', async () => {
    const cacheDir = emptyFolder('read-only');
    mkdirSync(join(cacheDir, 'images'));
    await using host = await readOnly(cacheDir);
    expect(await host.run('6 * 7')).toMatchObject({ outcome: 'ok', value: 42 });
    expect(host.all('warning').map(({ message }) => message)).toEqual([expect.stringMatching(/EROFS/)]);
    expect(host.workers).toHaveLength(1);
  });
});

it('a cached wheel that can’t be read (EIO) is fetched again', async () => {
  const cacheDir = emptyFolder('failing');
  const mirror = emptyFolder('mirror');
  const wheel = makeWheel('a');
  writeFileSync(join(mirror, wheel.fileName), wheel.bytes);
  const cache = new WheelCache({ cacheDir, sources: resolveSources({ mirror }, {}) });
  const path = cache.pathOf(wheel);
  mkdirSync(dirname(path), { recursive: true });
  // Its first page is mapped nowhere: Linux answers with EIO.
  symlinkSync('/proc/self/mem', path);
  const [fetched] = await cache.fetch([wanted(wheel)]);
  expect(fetched?.bytes).toEqual(Buffer.from(wheel.bytes));
  expect(await cache.find(wanted(wheel))).toEqual(Buffer.from(wheel.bytes));
});
