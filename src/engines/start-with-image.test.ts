import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WorkerError } from '../errors/errors.ts';
import type { ChannelWorker } from './channel-worker.ts';
import type { StartOptions } from './engine.ts';
import { ImageCache } from './image-cache.ts';
import { type StartInMode, startWithImage } from './start-with-image.ts';

const fingerprint = { pyodide: '1', buildId: '2', kernelHash: '3', lockHash: '' };
const damaged = new WorkerError('boot_failed', 'image checksum is wrong', {
  details: { name: 'ImageError' },
});

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vivarium-start-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

interface Attempt {
  modes: string[];
  warnings: string[];
  start(cacheDir?: string, signal?: AbortSignal): Promise<unknown>;
}

/** Restoring fails with each of `failures` first. */
function attempt(...failures: Error[]): Attempt {
  const modes: string[] = [];
  const warnings: string[] = [];
  let cache: ImageCache | undefined;
  const start: StartInMode = async (mode) => {
    modes.push(mode);
    const failure = mode === 'restore' ? failures.shift() : undefined;
    if (failure !== undefined) throw failure;
    const worker = { mode, kill() {} } as unknown as ChannelWorker;
    return { worker, parts: mode === 'build' ? [Uint8Array.of(1)] : [] };
  };
  return {
    modes,
    warnings,
    start(cacheDir = dir, signal) {
      cache ??= new ImageCache(cacheDir);
      const options: StartOptions = {
        id: 'w',
        init: { maxHeapBytes: 1, warmingRuns: 0, env: {} },
        bootTimeoutMs: 1000,
        onWarning: (message) => warnings.push(message),
        ...(signal === undefined ? {} : { signal }),
      };
      return startWithImage(cache, fingerprint, start, options);
    },
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
});
