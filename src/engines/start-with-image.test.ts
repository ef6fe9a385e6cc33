import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InstallError, WorkerError } from '../errors/errors.ts';
import { type ImageSource, stdlibImage } from '../packages/image-source.ts';
import type { BuildPackages } from '../protocol/messages.ts';
import type { ChannelWorker } from './channel-worker.ts';
import { buildTimeoutMs, type StartOptions } from './engine.ts';
import { ImageCache } from './image-cache.ts';
import { type BootMode, type StartInMode, startPlainly, startWithImage } from './start-with-image.ts';

const fingerprint = { pyodide: '1', buildId: '2', kernelHash: '3', lockHash: '' };
const damaged = new WorkerError('boot_failed', 'image checksum is wrong', {
  details: { name: 'ImageError' },
});
const packages: BuildPackages = {
  wheels: [{ fileName: 'a-1-py3-none-any.whl', url: 'file:///a-1-py3-none-any.whl' }],
  imports: ['a'],
  warm: [{ filename: 'w.py', code: '1' }],
};
const nothing: BuildPackages = { wheels: [], imports: [], warm: [] };

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vivarium-start-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

interface Attempt {
  modes: string[];
  boots: (BootMode & { bootTimeoutMs: number })[];
  warnings: string[];
  progress: string[];
  kills: string[];
  start(cacheDir?: string, signal?: AbortSignal): Promise<unknown>;
  startPlainly(): Promise<unknown>;
}

/** Restoring fails with each of `failures` first. */
function attempt(...failures: Error[]): Attempt {
  return attemptWith(stdlibImage, ...failures);
}

function attemptWith(source: ImageSource, ...failures: Error[]): Attempt {
  const boots: Attempt['boots'] = [];
  const modes: string[] = [];
  const warnings: string[] = [];
  const progress: string[] = [];
  const kills: string[] = [];
  let cache: ImageCache | undefined;
  const start: StartInMode = async (boot, { bootTimeoutMs }) => {
    boots.push({ ...boot, bootTimeoutMs });
    const { mode, onImage } = boot;
    modes.push(mode);
    const failure = mode === 'restore' ? failures.shift() : undefined;
    if (failure !== undefined) throw failure;
    onImage?.(Uint8Array.of(1));
    onImage?.(Uint8Array.of(2, 3));
    return { mode, kill: () => kills.push(mode) } as unknown as ChannelWorker;
  };
  const optionsOf = (signal?: AbortSignal): StartOptions => ({
    id: 'w',
    init: { maxHeapBytes: 1, warmingRuns: 0, env: {} },
    bootTimeoutMs: 1000,
    onWarning: (message) => warnings.push(message),
    onProgress: ({ message }) => progress.push(message),
    ...(signal === undefined ? {} : { signal }),
  });
  return {
    modes,
    boots,
    warnings,
    progress,
    kills,
    start(cacheDir = dir, signal) {
      cache ??= new ImageCache(cacheDir);
      return startWithImage(cache, source, fingerprint, start, optionsOf(signal));
    },
    startPlainly: () => startPlainly(source, fingerprint, start, optionsOf()),
  };
}

/** A source with packages, and how often they were asked for. */
function sourceOf(load: ImageSource['load'] = async () => packages): ImageSource & { loads(): number } {
  let loads = 0;
  return {
    lockHash: 'l',
    name: 'mine',
    load(options) {
      loads += 1;
      return load(options);
    },
    loads: () => loads,
  };
}

describe('startWithImage', () => {
  it('builds once, and restores', async () => {
    const { modes, warnings, start } = attempt();
    expect(await start()).toMatchObject({ mode: 'restore' });
    expect(await start()).toMatchObject({ mode: 'restore' });
    expect([modes, warnings]).toStrictEqual([['build', 'restore', 'restore'], []]);
  });

  it('builds a damaged image anew, with a warning', async () => {
    const { modes, warnings, start } = attempt();
    await start();
    modes.length = 0;
    const again = attempt(damaged);
    expect(await again.start()).toMatchObject({ mode: 'restore' });
    expect(again.modes).toStrictEqual(['restore', 'build', 'restore']);
    expect(again.warnings).toStrictEqual(['image checksum is wrong; it is built anew']);
    expect(warnings).toStrictEqual([]);
  });

  it('builds it once for all workers that found it damaged', async () => {
    await attempt().start();
    const { modes, warnings, start } = attempt(damaged, damaged, damaged);
    await Promise.all([start(), start(), start()]);
    expect(modes.filter((mode) => mode === 'build')).toStrictEqual(['build']);
    expect(warnings.length).toBe(3);
  });

  it('gives up on an image that is damaged again', async () => {
    await attempt().start();
    await expect(attempt(damaged, damaged).start()).rejects.toBe(damaged);
  });

  it('boots plainly where nothing can be kept, with a warning', async () => {
    await writeFile(join(dir, 'file'), '');
    const { modes, warnings, start } = attempt();
    expect(await start(join(dir, 'file'))).toMatchObject({ mode: 'plain' });
    expect(modes).toStrictEqual(['plain']);
    expect(warnings).toStrictEqual([expect.stringContaining("can't be kept")]);
  });

  it('tells other failures as they are', async () => {
    const failure = new WorkerError('boot_timeout', 'too slow');
    const { modes, warnings, start } = attempt(failure);
    await expect(start()).rejects.toBe(failure);
    expect([modes, warnings]).toStrictEqual([['build', 'restore'], []]);
  });

  it('builds with the packages of its source, patiently, and restores without them', async () => {
    const source = sourceOf();
    const { boots, kills, progress, start } = attemptWith(source);
    await start();
    await start();
    expect(source.loads()).toBe(1);
    expect(boots).toMatchObject([
      { mode: 'build', imagePath: null, packages, fingerprint, bootTimeoutMs: buildTimeoutMs },
      { mode: 'restore', packages: nothing, fingerprint, bootTimeoutMs: 1000 },
      { mode: 'restore', packages: nothing, fingerprint, bootTimeoutMs: 1000 },
    ]);
    expect(boots[1]).not.toHaveProperty('onImage');
    expect(new Uint8Array(await readFile(boots[1]?.imagePath ?? ''))).toStrictEqual(Uint8Array.of(1, 2, 3));
    expect(kills).toStrictEqual(['build']);
    expect(progress).toStrictEqual(['building the image mine']);
  });

  it('hands its signal and its progress to the source', async () => {
    const { signal } = new AbortController();
    const { progress, start } = attemptWith(
      sourceOf(async (options) => {
        expect(options.signal).toBe(signal);
        options.onProgress?.({ stage: 'download', done: 1, total: 2, message: 'half of it' });
        return packages;
      }),
    );
    await start(dir, signal);
    expect(progress).toStrictEqual(['building the image mine', 'half of it']);
  });

  it('tells as it is why packages can’t be had, and keeps nothing', async () => {
    const failure = new InstallError('no such package', {
      reason: 'not_found',
      package: 'a',
      suggestion: 'b',
    });
    const {
      modes,
      warnings,
      start,
      startPlainly: plainly,
    } = attemptWith(sourceOf(() => Promise.reject(failure)));
    await expect(start()).rejects.toBe(failure);
    await expect(plainly()).rejects.toBe(failure);
    expect([modes, warnings]).toStrictEqual([[], []]);
    expect(await readdir(join(dir, 'images'))).toStrictEqual([]);
  });

  it('boots plainly, with the packages and with patience, where nothing can be kept', async () => {
    await writeFile(join(dir, 'file'), '');
    const { boots, warnings, start } = attemptWith(sourceOf());
    await start(join(dir, 'file'));
    expect(boots).toMatchObject([
      { mode: 'plain', imagePath: null, packages, fingerprint, bootTimeoutMs: buildTimeoutMs },
    ]);
    expect(warnings).toStrictEqual([expect.stringContaining("can't be kept")]);
  });

  it('has no more patience for a plain boot without packages', async () => {
    const { boots, startPlainly: plainly } = attempt();
    await plainly();
    expect(boots).toMatchObject([{ mode: 'plain', packages: nothing, bootTimeoutMs: 1000 }]);
  });

  describe('with an image given as a file', () => {
    const given = (path: string): ImageSource & { loads(): number } => Object.assign(sourceOf(), { path });

    it('uses that one, and needs neither cache nor packages', async () => {
      const source = given(join(dir, 'my.image'));
      const { boots, start } = attemptWith(source);
      await start(join(dir, 'not', 'there'));
      expect(boots).toMatchObject([{ mode: 'restore', imagePath: source.path, packages: nothing }]);
      expect(source.loads()).toBe(0);
      expect(await readdir(dir)).toStrictEqual([]);
    });

    it('refuses it with the reason when it doesn’t fit, and neither removes nor rebuilds it', async () => {
      const path = join(dir, 'my.image');
      await writeFile(path, 'mine');
      const source = given(path);
      const { modes, warnings, start } = attemptWith(source, damaged);
      await expect(start()).rejects.toMatchObject({
        name: 'InstallError',
        reason: 'bad_lock',
        cause: damaged,
      });
      expect([modes, warnings, source.loads()]).toStrictEqual([['restore'], [], 0]);
      expect(await readFile(path, 'utf8')).toBe('mine');
    });
  });
});
