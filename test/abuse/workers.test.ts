import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRuntime } from '../../src/node.ts';
import type { Run, Runtime, RuntimeEvent } from '../../src/runtime.ts';

/** Waits until a run has printed its line, and returns without stopping it. */
async function printed(run: Run): Promise<void> {
  for await (const event of run) if (event.type === 'stdout' && event.text.endsWith('\n')) return;
}

describe('workers that are killed or stopped', () => {
  let runtime: Runtime;
  const events: RuntimeEvent[] = [];
  beforeAll(async () => {
    runtime = await createRuntime({ engine: 'deno', size: 1, maxQueue: 10, healthCheckTimeoutMs: 500 });
    runtime.subscribe((event) => events.push(event));
    await runtime.warm();
  });
  afterAll(() => runtime.close());

  /** The process of the only worker: one that this test has started. */
  async function pid(): Promise<number> {
    const { pid } = (await runtime.run('1')).worker;
    expect(runtime.stats().workers.map((worker) => worker.pid)).toContain(pid);
    if (pid === undefined) throw new Error('a deno worker has a process');
    return pid;
  }

  async function expectNextRunWorks(gone: number): Promise<void> {
    const next = await runtime.run('6 * 7');
    expect(next).toMatchObject({ status: 'ok', value: 42, worker: { lost: false } });
    expect(next.worker.pid).not.toBe(gone);
    expect(() => process.kill(gone, 0)).toThrow(expect.objectContaining({ code: 'ESRCH' }));
  }

  it('kill -9 in the middle of a run: that run is told, the next works', async () => {
    const victim = await pid();
    const run = runtime.run('print("go")\nwhile True:\n    pass');
    const queued = runtime.run('"queued"');
    await printed(run);
    process.kill(victim, 'SIGKILL');
    expect(await run).toMatchObject({ status: 'crashed', stdout: 'go\n', worker: { lost: true } });
    expect(await queued).toMatchObject({ status: 'ok', value: 'queued' });
    await expectNextRunWorks(victim);
    expect(events).toContainEqual(expect.objectContaining({ type: 'worker:restart', reason: 'crashed' }));
  });

  it('kill -9 while idle: nobody notices', async () => {
    const victim = await pid();
    const exited = new Promise<void>((resolve) => {
      const stop = runtime.subscribe((event) => {
        if (event.type !== 'worker:exit') return;
        stop();
        resolve();
      });
    });
    process.kill(victim, 'SIGKILL');
    await exited;
    await expectNextRunWorks(victim);
  });

  it('SIGSTOP in the middle of a run: ended by the time limit', async () => {
    const victim = await pid();
    const run = runtime.run('print("go")\nwhile True:\n    pass', { timeoutMs: 300 });
    await printed(run);
    process.kill(victim, 'SIGSTOP');
    expect(await run).toMatchObject({ status: 'timeout', stdout: 'go\n', worker: { lost: true } });
    await expectNextRunWorks(victim);
  });

  it('SIGSTOP while idle: found by the health check and replaced', async () => {
    const victim = await pid();
    process.kill(victim, 'SIGSTOP');
    const health = await runtime.healthCheckAll();
    expect(health).toContainEqual(expect.objectContaining({ pid: victim, healthy: false }));
    await expectNextRunWorks(victim);
  });

  it('is answered while Python computes', async () => {
    const run = runtime.run('print("go")\nwhile True:\n    pass');
    await printed(run);
    expect(await runtime.healthCheckAll()).toMatchObject([{ healthy: true }]);
    run.interrupt();
    expect((await run).status).toBe('interrupted');
  });
});

describe('a program that ends', () => {
  it('leaves no process behind', async () => {
    const runtime = await createRuntime({ engine: 'deno', size: 2 });
    await runtime.warm();
    await Promise.all([runtime.run('1'), runtime.run('1')]);
    const pids = runtime.stats().workers.flatMap((worker) => worker.pid ?? []);
    expect(pids.length).toBeGreaterThan(0);
    await runtime.close();
    for (const pid of pids) {
      expect(() => process.kill(pid, 0)).toThrow(expect.objectContaining({ code: 'ESRCH' }));
    }
  });
});
