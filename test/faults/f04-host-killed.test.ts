/** F04: `kill -9` of the host: its workers end by themselves, and the next host finds nothing that harms it. */
import { readdirSync, utimesSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { imagesDir } from '../../src/engines/image-cache.ts';
import { ChildHost } from './child-host.ts';
import { leftovers, makeFolders } from './folders.ts';
import { relativesOf } from './processes.ts';

const goneMs = 2000;

const folders = await makeFolders();

/** All of them, with whatever they have started, within the time that is promised. */
async function expectGone(workers: readonly number[], since: number): Promise<void> {
  expect(workers.length).toBeGreaterThan(0);
  await vi.waitFor(() => expect(workers.flatMap(relativesOf)).toEqual([]), { timeout: 10_000, interval: 10 });
  expect(performance.now() - since).toBeLessThan(goneMs);
}

async function killedWith(host: ChildHost): Promise<void> {
  const { workers } = host;
  host.kill('SIGKILL');
  const since = performance.now();
  await host.ended;
  await expectGone(workers, since);
}

async function expectNextHostWorks(cacheDir: string): Promise<void> {
  await using next = await ChildHost.start({ runtime: { size: 1, cacheDir } });
  expect(await next.run('6 * 7')).toMatchObject({ outcome: 'ok', value: 42 });
  expect(next.all('warning')).toEqual([]);
}

describe('its workers are gone within 2 s', () => {
  it('in the middle of a hundred runs', async () => {
    await using host = await ChildHost.start({ runtime: { size: 2, cacheDir: folders.cache } });
    const runs = Array.from({ length: 100 }, (_, index) => host.submit(`sum(range(${index} * 10_000))`));
    await host.end(runs[20] ?? '');
    await killedWith(host);
    expect(host.all('end').length).toBeLessThan(100);
    for (const { outcome } of host.all('end')) expect(outcome).toBe('ok');
    expect(leftovers(folders.cache)).toEqual([]);
    await expectNextHostWorks(folders.cache);
  });

  it.each([
    ['that compute', 'while True: pass'],
    ['that print without end', 'while True: print("x" * 1000)'],
    ['that sleep', 'import time\ntime.sleep(1000)'],
    ['that wait', 'import asyncio\nawait asyncio.sleep(1000)'],
  ])('%s', async (_, code) => {
    await using host = await ChildHost.start({ runtime: { size: 1, cacheDir: folders.cache } });
    host.submit(code);
    await host.first('point', ({ point }) => point === 'run.sent');
    await killedWith(host);
  });

  it('that boot', async () => {
    await using host = await ChildHost.start({ runtime: { size: 2, cacheDir: folders.cache } });
    host.submit('1');
    await host.first('point', ({ point }) => point === 'worker.spawned');
    await killedWith(host);
  });

  it('that send a result of which nobody takes the rest', async () => {
    await using host = await ChildHost.start({ runtime: { size: 1, cacheDir: folders.cache } });
    host.submit('print("go", flush=True)\nbytes(9_000_000)');
    await host.first('point', ({ point }) => point === 'run.sent');
    // It takes nothing any more: the worker's pipe is full when the host dies.
    host.kill('SIGSTOP');
    await killedWith(host);
  });
});

describe('while it writes', () => {
  it('an image: there is none, and the next host builds it', async () => {
    const cacheDir = join(folders.own, 'half-built');
    await mkdir(cacheDir);
    const left = (): string[] => leftovers(cacheDir);
    await using host = await ChildHost.start({ runtime: { size: 1, cacheDir } });
    host.send({ do: 'at', point: 'image.writing', signal: 'SIGKILL' });
    host.submit('1');
    expect(await host.ended).toBe('SIGKILL');
    await expectGone(host.workers, performance.now());
    expect(readdirSync(imagesDir(cacheDir)).filter((name) => name.endsWith('.image'))).toEqual([]);
    expect(left().length).toBe(1);
    // Later, when nobody can still be at work on it.
    const then = Date.now() / 1000 - 3600;
    for (const file of left()) utimesSync(join(cacheDir, file), then, then);
    await expectNextHostWorks(cacheDir);
    expect(left()).toEqual([]);
  });

  it('while it builds one: nothing of it is there', async () => {
    const cacheDir = join(folders.own, 'not-built');
    await using host = await ChildHost.start({ runtime: { size: 1, cacheDir } });
    host.submit('1');
    await host.first('point', ({ point }) => point === 'worker.spawned');
    await killedWith(host);
    expect(leftovers(folders.own)).toEqual([]);
  });
});
