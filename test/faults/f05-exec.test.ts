/** F05: workers that can't be started: Deno is missing, no program, another one, or the host has no descriptors left. */
import { chmodSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { findDeno } from '../../src/engines/deno/binary.ts';
import { ChildHost } from './child-host.ts';
import { makeFolders } from './folders.ts';
import { ends, JudgedPool } from './oracle.ts';
import { descriptorsOf, signal } from './processes.ts';
import { eventually } from './runs.ts';

const deno = findDeno();
const folders = await makeFolders();
let pool: JudgedPool;
/** What `VIVARIUM_DENO` names: the real one, until a test replaces it. */
let path: string;
beforeAll(async () => {
  path = join(folders.own, 'deno');
  symlinkSync(deno, path);
  vi.stubEnv('VIVARIUM_DENO', path);
  pool = await JudgedPool.open(folders, { size: 2 });
});
afterAll(() => pool.close());

/** At once: there is always one of the two. */
function replaceDeno(target: string): void {
  const aside = `${path}.new`;
  symlinkSync(target, aside);
  renameSync(aside, path);
}

function makeFile(name: string, text: string, mode: number): string {
  const file = join(folders.own, name);
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}

describe('Deno is replaced while the pool lives, then mended', () => {
  const faults: [string, string, () => void][] = [
    ['missing', 'which does not exist', () => rmSync(path)],
    ['not executable', 'EACCES|Permission denied', () => replaceDeno(makeFile('plain', 'no program', 0o600))],
    [
      'no program at all',
      'ENOEXEC|error|did not boot|ended',
      () => replaceDeno(makeFile('noise', '\u0000\u0001\u0002', 0o755)),
    ],
    [
      'of a version that doesn’t know our flags',
      "unexpected argument '--node-modules-dir'",
      () =>
        replaceDeno(
          makeFile(
            'old',
            `#!/bin/sh\necho "error: unexpected argument '--node-modules-dir' found" >&2\nexit 1\n`,
            0o755,
          ),
        ),
    ],
  ];

  it.each(faults)(
    '%s: those that have a worker go on, the rest is told why, and it comes back by itself',
    (_, why, fault) =>
      pool.judge(async (oracle) => {
        const [victim = 0, other = 0] = oracle.pids;
        fault();
        try {
          await oracle.kill(victim);
          await eventually(() =>
            expect(oracle.events).toContainEqual(
              expect.objectContaining({
                type: 'worker:boot_failed',
                error: expect.objectContaining({
                  code: 'boot_failed',
                  message: expect.stringMatching(why),
                }),
              }),
            ),
          );
          // The other worker serves as before.
          for (const value of [1, 2, 3]) oracle.run(`${value}`, {}, { wrong: ends('ok', value) });
          expect(await oracle.run('"still"')).toMatchObject({
            value: 'still',
            worker: { pid: other },
          });
        } finally {
          replaceDeno(deno);
        }
      }),
  );

  it('missing, and no worker is left: runs are refused by type, until it’s there again', async () => {
    await using lone = await JudgedPool.open(folders, { size: 1 });
    await lone.judge(async (oracle) => {
      rmSync(path);
      try {
        await oracle.kill(...oracle.pids);
        const refused = oracle.run(
          '1',
          {},
          {
            wrong: (ending) =>
              'error' in ending && (ending.error as { code?: unknown }).code === 'unavailable'
                ? undefined
                : 'it was not refused',
          },
        );
        await expect(refused).rejects.toMatchObject({
          code: 'unavailable',
          retryable: true,
          cause: { message: expect.stringContaining('does not exist') },
        });
        expect(oracle.runtime.status).toBe('degraded');
      } finally {
        replaceDeno(deno);
      }
      await eventually(() => expect(oracle.runtime.status).toBe('ready'));
      oracle.run('6 * 7', {}, { wrong: ends('ok', 42) });
    });
  });
});

describe('a host without descriptors', () => {
  it('is told so, lives on, and goes on when there are some again', async () => {
    await using host = await ChildHost.start({
      runtime: { size: 2, cacheDir: folders.cache },
      under: ['sh', '-c', 'ulimit -n 80; exec "$@"', 'sh'],
    });
    expect(await host.run('1')).toMatchObject({ outcome: 'ok', value: 1 });
    await eventually(() =>
      expect(host.all('point').filter(({ point }) => point === 'worker.ready')).toHaveLength(2),
    );
    const before = descriptorsOf(host.pid).length;
    const victims = host.workers;

    await host.command({ do: 'hoard' });
    for (const pid of victims) signal(pid, 'SIGKILL');
    await eventually(() =>
      expect(host.all('point').filter(({ point }) => point === 'worker.exited')).toHaveLength(2),
    );
    expect(await host.run('1')).toMatchObject({
      outcome: 'unavailable',
      message: expect.stringContaining('too many files are open'),
    });

    await host.command({ do: 'release' });
    await eventually(async () => expect(await host.run('6 * 7')).toMatchObject({ outcome: 'ok', value: 42 }));
    expect(descriptorsOf(host.pid).length).toBeLessThanOrEqual(before);
    expect(host.stderr).toBe('');
  });
});
