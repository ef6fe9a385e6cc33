import { expect, it } from 'vitest';
import { ok, type Subject } from './subject.ts';

/** The `Execution` itself: its facts, and that it can be stored. */
export function record(subject: Subject): void {
  it('says where and how long it ran', async () => {
    const execution = await ok(subject.run('sum(range(100_000))'));
    const { timings, memory, worker } = execution;
    for (const ms of Object.values(timings)) expect(ms).toBeGreaterThanOrEqual(0);
    expect(timings.runMs).toBeGreaterThan(0);
    expect(timings.totalMs).toBeGreaterThanOrEqual(timings.runMs);
    expect(memory.heapBytes).toBeGreaterThan(1 << 20);
    expect(memory.peakBytes).toBeGreaterThan(0);
    expect(memory.peakBytes).toBeLessThanOrEqual(memory.heapBytes);
    expect(worker).toMatchObject({ backend: subject.engine, pyodide: '314.0.7', lost: false });
    expect(worker.id).not.toBe('');
    expect(execution.executionCount).toBeGreaterThanOrEqual(1);
  });

  it('sees a run that takes memory', async () => {
    const small = await ok(subject.run('1'));
    const large = await ok(subject.run('len(bytearray(40 << 20))'));
    expect(large.memory.peakBytes - small.memory.peakBytes).toBeGreaterThan(30 << 20);
  });

  it('has an id of its own', async () => {
    const runs = [subject.run('1'), subject.run('1')];
    const executions = await Promise.all(runs);
    expect(executions.map((execution) => execution.id)).toStrictEqual(runs.map((run) => run.id));
    expect(runs[0]?.id).not.toBe(runs[1]?.id);
  });

  it('is plain data but for its value and the bytes of files', async () => {
    const execution = await ok(subject.run('print("a")\nopen("f.txt", "w").write("x")\n[1, {"a": 2}]'));
    const stored = JSON.parse(JSON.stringify(execution));
    expect(stored).toMatchObject({ status: 'ok', text: "[1, {'a': 2}]", value: [1, { a: 2 }] });
    expect(stored.worker).toStrictEqual(JSON.parse(JSON.stringify(execution.worker)));
  });

  it('is counted by the runtime', async () => {
    const before = subject.runtime.stats();
    await subject.run('1');
    await subject.run('1/0');
    const after = subject.runtime.stats();
    expect(after.started - before.started).toBe(2);
    expect(after.completed - before.completed).toBe(2);
    expect(after.failed - before.failed).toBe(1);
    expect(after.running).toBe(0);
  });
}
