/** F14: the end of a host under load: in order within its grace period, at once when asked again. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ChildHost } from './child-host.ts';
import { leftovers, makeFolders } from './folders.ts';
import { childrenOf, relativesOf } from './processes.ts';
import { eventually } from './runs.ts';

const folders = await makeFolders();

/** Two of these run, the rest waits. */
const load = 10;
const slow = 'import time\ntime.sleep(0.5)\n"slow"';
const endless = 'while True: pass';

async function loaded(code: string): Promise<{ host: ChildHost; ids: string[] }> {
  const host = await ChildHost.start({ runtime: { size: 2, cacheDir: folders.cache } });
  const ids = Array.from({ length: load }, () => host.submit(code));
  await eventually(() =>
    expect(host.all('point').filter(({ point }) => point === 'run.sent').length).toBeGreaterThanOrEqual(2),
  );
  return { host, ids };
}

async function expectNothingLeft(host: ChildHost): Promise<void> {
  await eventually(() => expect(host.workers.flatMap(relativesOf)).toEqual([]));
  expect(leftovers(folders.cache)).toEqual([]);
  expect(leftovers(folders.temporary)).toEqual([]);
  expect(host.stderr).toBe('');
}

function outcomes(host: ChildHost): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { outcome } of host.all('end')) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

describe('a service', () => {
  it('SIGTERM: runs under way end as they must, those that wait are told, once each', async () => {
    const { host, ids } = await loaded(slow);
    await using _ = host;
    host.kill('SIGTERM');
    expect(await host.ended).toBe(0);
    expect(host.all('closed')).toHaveLength(1);
    expect(
      host
        .all('end')
        .map(({ id }) => id)
        .toSorted(),
    ).toEqual(ids.toSorted());
    const { ok = 0, closed = 0, ...others } = outcomes(host);
    expect(others).toEqual({});
    expect(ok).toBeGreaterThanOrEqual(2);
    expect(closed).toBe(load - ok);
    for (const end of host.all('end')) if (end.outcome === 'ok') expect(end.value).toBe('slow');
    await expectNothingLeft(host);
  });

  it('a second SIGTERM: what still runs is ended at once, and told', async () => {
    const { host } = await loaded(endless);
    await using _ = host;
    host.kill('SIGTERM');
    await eventually(() => expect(outcomes(host)).toEqual({ closed: load - 2 }));
    host.kill('SIGTERM');
    expect(await host.ended).toBe(0);
    expect(outcomes(host)).toEqual({ closed: load - 2, interrupted: 2 });
    await expectNothingLeft(host);
  });

  it('a grace period that runs out', async () => {
    const { host } = await loaded(endless);
    await using _ = host;
    host.send({ do: 'close', graceMs: 300 });
    expect(await host.ended).toBe(0);
    expect(outcomes(host)).toEqual({ closed: load - 2, interrupted: 2 });
    await expectNothingLeft(host);
  });

  it('while its workers boot', async () => {
    await using host = await ChildHost.start({ runtime: { size: 2, cacheDir: folders.cache } });
    host.submit('1');
    await host.first('point', ({ point }) => point === 'worker.spawned');
    host.kill('SIGTERM');
    expect(await host.ended).toBe(0);
    expect(outcomes(host)).toEqual({ closed: 1 });
    await expectNothingLeft(host);
  });
});

describe('the command line', () => {
  const launcher = fileURLToPath(new URL('../../bin/vivarium.js', import.meta.url));

  it('SIGTERM in a run: it ends, and its worker with it', async () => {
    const child = spawn(
      process.execPath,
      [launcher, 'run', '-c', 'print("go", flush=True)\nwhile True: pass'],
      {
        env: { ...process.env, VIVARIUM_CACHE_DIR: folders.cache },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    const ended = new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
      child.on('close', (code, signal) => resolve([code, signal])),
    );
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const workers = childrenOf(child.pid ?? 0);
    expect(workers).toHaveLength(1);
    child.kill('SIGTERM');
    expect(await ended).toEqual([143, null]);
    await eventually(() => expect(workers.flatMap(relativesOf)).toEqual([]));
    expect(leftovers(folders.cache)).toEqual([]);
  });
});
