/** F06: what a worker's process sends in the middle of a run is spoilt. In its boot: `f06-boot.test.ts`. */
import { beforeAll, describe, expect, it } from 'vitest';
import { type Folders, makeFolders } from './folders.ts';
import { ends, type Oracle, underOracle } from './oracle.ts';
import { proxiedDeno } from './proxied-deno.ts';
import type { Corruption } from './proxy.inside.ts';

let folders: Folders;
beforeAll(async () => {
  folders = await makeFolders();
});

const code = 'print("now")\n"x" * 5000';

/** On one worker: those behind it get another one, or the same if that is fine. */
async function spoilt(corruption: Corruption, test: (oracle: Oracle) => Promise<void>): Promise<void> {
  using _deno = proxiedDeno(folders, corruption);
  // No health check that would find it later.
  const options = { size: 1, killGraceMs: 300, healthCheckIntervalMs: 0 };
  await underOracle(folders, options, async (oracle) => {
    await test(oracle);
    for (const value of [1, 2, 3]) oracle.run(`${value}`, {}, { wrong: ends('ok', value) });
  });
}

describe('ends the worker, and its run is told', () => {
  it.each<Corruption>([
    'half a result, then its end',
    'a result of another run',
    'another token',
    'no token',
    'no JSON',
    'a length of four gigabytes',
    'zeros',
    'text between frames',
    'flipped bits',
  ])('%s', (corruption) =>
    spoilt(corruption, async (oracle) => {
      const execution = await oracle.run(code, {}, { wrong: ends('crashed') });
      expect(execution).toMatchObject({ stdout: 'now\n', worker: { lost: true } });
      expect(execution.value).toBeUndefined();
      expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    }),
  );
});

it('half a result, then silence: ended by its time limit', () =>
  spoilt('half a result, then silence', async (oracle) => {
    const run = oracle.run(code, { timeoutMs: 500 }, { wrong: ends('timeout') });
    expect(await run).toMatchObject({ stdout: 'now\n', worker: { lost: true } });
  }));

it('a result twice: the first one counts, the worker doesn’t', () =>
  spoilt('a result twice', async (oracle) => {
    const { worker } = await oracle.run(code, {}, { wrong: ends('ok', 'x'.repeat(5000)) });
    const next = await oracle.run('1', {}, { wrong: ends('ok', 1) });
    expect(next.worker.pid).not.toBe(worker.pid);
  }));

it('a result byte by byte is a result', () =>
  spoilt('a result byte by byte', async (oracle) => {
    const { worker } = await oracle.run(code, {}, { wrong: ends('ok', 'x'.repeat(5000)) });
    const next = await oracle.run('1', {}, { wrong: ends('ok', 1) });
    expect(next.worker.pid).toBe(worker.pid);
  }));
