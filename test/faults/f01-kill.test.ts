/** F01: `kill -9` of a worker, at every point of its life. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeFolders } from './folders.ts';
import { type Ending, ends, JudgedPool, type Oracle, underOracle } from './oracle.ts';
import { at, once } from './points.ts';
import { signal } from './processes.ts';
import { proxiedDeno } from './proxied-deno.ts';
import { printed } from './runs.ts';

const folders = await makeFolders();
let pool: JudgedPool;
beforeAll(async () => {
  pool = await JudgedPool.open(folders, { size: 2 });
});
afterAll(() => pool.close());

const kill = (pid: number): void => signal(pid, 'SIGKILL');

/** Runs beside the victim and behind it, with values that the fault must not touch. */
function others(oracle: Oracle): void {
  for (let index = 1; index <= 4; index++)
    oracle.run(`${index} * 1000`, {}, { wrong: ends('ok', index * 1000) });
}

const crashed = { wrong: ends('crashed') };

it('idle: nobody notices', () =>
  pool.judge(async (oracle) => {
    await oracle.kill(...oracle.pids);
    others(oracle);
  }));

it('idle, and a run comes before that is known: it may be told so, the others are not touched', () =>
  pool.judge(async (oracle) => {
    const [victim] = oracle.pids;
    if (victim !== undefined) kill(victim);
    const wrong = (ending: Ending): string | undefined =>
      'execution' in ending && ending.execution.worker.pid === victim
        ? ends('crashed')(ending)
        : ends('ok', 7)(ending);
    for (let index = 0; index < 4; index++) oracle.run('3 + 4', {}, { wrong });
  }));

it('in its boot, again and again: the runs wait for one that boots', () =>
  pool.judge(async (oracle) => {
    let boots = 0;
    using _killing = at('worker.spawned', ({ pid }) => {
      if (boots++ < 3) kill(pid);
    });
    await oracle.runtime.restart();
    others(oracle);
    expect(await oracle.judge()).toEqual([]);
    expect(boots).toBeGreaterThan(3);
    const failed = oracle.events.filter(({ type }) => type === 'worker:boot_failed');
    expect(failed).toMatchObject(
      failed.map(() => ({ error: { code: 'boot_failed', message: expect.stringContaining('SIGKILL') } })),
    );
    expect(failed.length).toBeGreaterThan(0);
  }));

describe('in a run: that run is told, the others are not touched', () => {
  it('as soon as it was handed over', () =>
    pool.judge(async (oracle) => {
      const struck = once('run.sent', ({ pid }) => kill(pid));
      const run = oracle.run('while True: pass', {}, crashed);
      others(oracle);
      const { pid } = await struck;
      expect(pid).toBe(await oracle.workerOf(run));
      const execution = await run;
      expect(execution).toMatchObject({
        error: { name: 'WorkerCrashed', value: expect.stringContaining('SIGKILL') },
        worker: { pid, lost: true },
      });
      expect(() => execution.unwrap()).toThrow(
        expect.objectContaining({ name: 'WorkerError', code: 'crashed', retryable: true }),
      );
      expect(oracle.events).toContainEqual(
        expect.objectContaining({ type: 'worker:restart', reason: 'crashed', pid }),
      );
    }));

  it('while Python computes: what it printed is kept', () =>
    pool.judge(async (oracle) => {
      const run = oracle.run('print("go")\nwhile True: pass', {}, crashed);
      others(oracle);
      await printed(run);
      kill(await oracle.workerOf(run));
      expect(await run).toMatchObject({ stdout: 'go\n', worker: { lost: true } });
    }));

  it('while it waits for what it asked to install', () =>
    pool.judge(async (oracle) => {
      const struck = once('run.asked', ({ pid }) => kill(pid));
      oracle.run('import micropip\nawait micropip.install("anything")', {}, crashed);
      others(oracle);
      await struck;
    }));

  it('half-way through its result', async () => {
    using _deno = proxiedDeno(folders, 'half a result, then dead');
    await underOracle(folders, { size: 2 }, async (oracle) => {
      const value = 'bytes(3_000_000)';
      const run = oracle.run(`print("now", flush=True)\n${value}`, {}, crashed);
      others(oracle);
      expect((await run).value).toBeUndefined();
    });
  });
});

it('when its result is here: the run is whole, also while it rewinds', () =>
  pool.judge(async (oracle) => {
    const rewound: string[] = [];
    using _rewound = at('run.rewound', ({ run }) => rewound.push(run));
    let struck = false;
    using _killing = at('run.result', (facts) => {
      if (facts.run !== run.id) return;
      struck = true;
      kill(facts.pid);
    });
    // Much to put back: it's not done when the result comes.
    const run = oracle.run(
      'big = bytearray(b"x") * (200 << 20)\nlen(big)',
      {},
      { wrong: ends('ok', 200 << 20) },
    );
    others(oracle);
    expect((await run).worker.lost).toBe(false);
    expect(struck).toBe(true);
    expect(rewound).not.toContain(run.id);
  }));

it('a worker with state: its callers see that it is another one', () =>
  underOracle(folders, { size: 1, isolation: 'none' }, async (oracle) => {
    await oracle.run('open("/tmp/state", "w").write("kept")');
    const read = 'import os\nos.path.exists("/tmp/state")';
    const before = await oracle.run(read, {}, { wrong: ends('ok', true) });
    await oracle.kill(...oracle.pids);
    const after = await oracle.run(read, {}, { wrong: ends('ok', false) });
    expect(after.worker.id).not.toBe(before.worker.id);
    expect([before.executionCount, after.executionCount]).toEqual([2, 1]);
  }));
