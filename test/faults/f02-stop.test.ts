/** F02: a worker's process that stands still (SIGSTOP), and may go on later (SIGCONT). */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeFolders } from './folders.ts';
import { ends, JudgedPool, underOracle } from './oracle.ts';
import { once } from './points.ts';
import { isAlive, processOf, signal } from './processes.ts';
import { eventually, printed } from './runs.ts';

const folders = await makeFolders();
let pool: JudgedPool;
beforeAll(async () => {
  pool = await JudgedPool.open(folders, { size: 2, killGraceMs: 500, healthCheckTimeoutMs: 500 });
});
afterAll(() => pool.close());

const stop = (pid: number): void => signal(pid, 'SIGSTOP');
const resume = (pid: number): void => signal(pid, 'SIGCONT');

const endless = 'print("go")\nwhile True: print("more")';

it('in a run: killed at the deadline, what was printed is kept', () =>
  pool.judge(async (oracle) => {
    const run = oracle.run('print("go")\nwhile True: pass', { timeoutMs: 400 }, { wrong: ends('timeout') });
    for (const value of [1, 2, 3]) oracle.run(`${value}`, {}, { wrong: ends('ok', value) });
    await printed(run);
    const pid = await oracle.workerOf(run);
    stop(pid);
    expect(await run).toMatchObject({ stdout: 'go\n', worker: { pid, lost: true } });
    await eventually(() => expect(isAlive(pid)).toBe(false));
  }));

it('that goes on after the deadline and before the kill: it is told to stop, and is kept', () =>
  underOracle(folders, { size: 1, killGraceMs: 20_000 }, async (oracle) => {
    const run = oracle.run(endless, { timeoutMs: 300 }, { wrong: ends('timeout') });
    await printed(run);
    const pid = await oracle.workerOf(run);
    stop(pid);
    const stopped = performance.now();
    // Past the deadline and what the host waits for the kernel to see it itself.
    await eventually(() => expect(performance.now() - stopped).toBeGreaterThan(600));
    resume(pid);
    expect((await run).worker.lost).toBe(false);
    expect(oracle.pids).toEqual([pid]);
  }));

it('whose output is still on its way when it is given up: none of it comes out', () =>
  pool.judge(async (oracle) => {
    const stopping = new AbortController();
    // What it prints before it stands still fills the pipe; the oracle counts what comes after the end.
    const run = oracle.run(endless, { signal: stopping.signal }, { wrong: ends('interrupted') });
    await printed(run);
    const pid = await oracle.workerOf(run);
    stop(pid);
    stopping.abort();
    const { stdout } = await run;
    await oracle.run('1');
    expect((await run).stdout).toBe(stdout);
  }));

it('for a moment: the run goes on', () =>
  pool.judge(async (oracle) => {
    const run = oracle.run(
      'import time\nprint("go")\nfor i in range(200): time.sleep(0.001)\n"done"',
      { timeoutMs: 20_000 },
      { wrong: ends('ok', 'done') },
    );
    await printed(run);
    const pid = await oracle.workerOf(run);
    stop(pid);
    await eventually(() => expect(processOf(pid)?.state).toBe('T'));
    await oracle.run('"beside it"', {}, { wrong: ends('ok', 'beside it') });
    resume(pid);
    expect((await run).worker).toMatchObject({ pid, lost: false });
  }));

it('while it rewinds: it is clean a moment later', () =>
  pool.judge(async (oracle) => {
    const struck = once('run.result', ({ pid }) => stop(pid));
    await oracle.run('len(bytearray(100 << 20))', {}, { wrong: ends('ok', 100 << 20) });
    const { pid } = await struck;
    for (const value of [1, 2, 3]) oracle.run(`${value}`, {}, { wrong: ends('ok', value) });
    resume(pid);
    await eventually(() => expect(oracle.runtime.stats().running).toBe(0));
    expect(oracle.pids).toContain(pid);
  }));

it('idle: found by the health check, and replaced', () =>
  pool.judge(async (oracle) => {
    const [victim = 0] = oracle.pids;
    stop(victim);
    const health = await oracle.runtime.healthCheckAll();
    expect(health).toContainEqual(expect.objectContaining({ pid: victim, healthy: false }));
    expect(oracle.events).toContainEqual(
      expect.objectContaining({ type: 'worker:restart', reason: 'unhealthy', pid: victim }),
    );
    oracle.run('1');
  }));

it('in its boot: the boot is given up in time, another one serves', () =>
  underOracle(folders, { size: 1, bootTimeoutMs: 10_000 }, async (oracle) => {
    const struck = once('worker.spawned', ({ pid }) => stop(pid));
    const restarted = oracle.runtime.restart();
    oracle.run('6 * 7', {}, { wrong: ends('ok', 42) });
    const { pid } = await struck;
    await restarted;
    expect(oracle.events).toContainEqual(
      expect.objectContaining({
        type: 'worker:boot_failed',
        error: expect.objectContaining({ code: 'boot_timeout' }),
      }),
    );
    expect(isAlive(pid)).toBe(false);
  }));

it('is answered while Python computes', () =>
  pool.judge(async (oracle) => {
    const run = oracle.run('print("go")\nwhile True: pass', {}, { wrong: ends('interrupted') });
    await printed(run);
    expect(await oracle.runtime.healthCheckAll()).toMatchObject([{ healthy: true }, { healthy: true }]);
    run.interrupt();
  }));
