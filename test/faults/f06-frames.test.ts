/** F06: what a worker's process sends in the middle of a run is spoilt. In its boot: `f06-boot.test.ts`. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { makeFolders } from './folders.ts';
import { ends, JudgedPool, type Oracle } from './oracle.ts';
import { makeProxiedDeno } from './proxied-deno.ts';
import type { Corruption } from './proxy.inside.ts';

const folders = await makeFolders();
let pool: JudgedPool;
beforeAll(async () => {
  vi.stubEnv('VIVARIUM_DENO', makeProxiedDeno(folders, 'no token'));
  // No health check that would find it later.
  pool = await JudgedPool.open(folders, { size: 1, killGraceMs: 300, healthCheckIntervalMs: 0 });
});
afterAll(() => pool.close());

/** A run that has its result spoilt. */
const spoiltBy = (corruption: Corruption): string => `print("now ${corruption}")\n"x" * 5000`;
const value = 'x'.repeat(5000);

/** Those behind it get another worker, or the same if that is fine. */
function others(oracle: Oracle): void {
  for (const value of [1, 2, 3]) oracle.run(`${value}`, {}, { wrong: ends('ok', value) });
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
    pool.judge(async (oracle) => {
      const run = oracle.run(spoiltBy(corruption), {}, { wrong: ends('crashed') });
      others(oracle);
      const execution = await run;
      expect(execution).toMatchObject({ stdout: `now ${corruption}\n`, worker: { lost: true } });
      expect(execution.value).toBeUndefined();
      expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    }),
  );
});

it('half a result, then silence: ended by its time limit', () =>
  pool.judge(async (oracle) => {
    const code = spoiltBy('half a result, then silence');
    const run = oracle.run(code, { timeoutMs: 500 }, { wrong: ends('timeout') });
    others(oracle);
    expect((await run).worker.lost).toBe(true);
  }));

it('a result twice: the first one counts, the worker doesn’t', () =>
  pool.judge(async (oracle) => {
    const { worker } = await oracle.run(spoiltBy('a result twice'), {}, { wrong: ends('ok', value) });
    const next = await oracle.run('1', {}, { wrong: ends('ok', 1) });
    expect(next.worker.pid).not.toBe(worker.pid);
  }));

it('a result byte by byte is a result', () =>
  pool.judge(async (oracle) => {
    const code = spoiltBy('a result byte by byte');
    const { worker } = await oracle.run(code, {}, { wrong: ends('ok', value) });
    const next = await oracle.run('1', {}, { wrong: ends('ok', 1) });
    expect(next.worker.pid).toBe(worker.pid);
  }));
