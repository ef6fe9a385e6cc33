import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRuntime } from '../../src/node.ts';
import type { Execution, ExecutionStatus, RunOptions, Runtime } from '../../src/runtime.ts';
import { attacks } from './attacks.ts';

/** What a caller may see of an attack, and nothing else. */
function outcome(execution: Execution): ExecutionStatus | string {
  return execution.status === 'error' ? (execution.error?.name ?? 'error') : execution.status;
}

describe('bad input on the deno engine', () => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await createRuntime({ engine: 'deno', size: 1, maxQueue: 10, killGraceMs: 500 });
    await runtime.warm();
  });
  afterAll(() => runtime.close());

  async function attack(code: string, options: RunOptions = {}): Promise<Execution> {
    const execution = await runtime.run(code, { timeoutMs: 10_000, ...options });
    // Whatever it did: the next run on the pool is clean and works.
    const next = await runtime.run('print("alive")\n[1, "leak" in globals()]');
    expect(next).toMatchObject({ status: 'ok', stdout: 'alive\n', value: [1, false] });
    return execution;
  }

  it.each(attacks)('$row: $name ends in $ends', async ({ code, ends, lost, options }) => {
    const execution = await attack(code, options);
    expect(ends).toContain(outcome(execution));
    if (lost !== undefined) expect(execution.worker.lost).toBe(lost);
    if (execution.status !== 'ok') expect(execution.error?.message).toBeTruthy();
  });

  it('T49: a syntax error: says where', async () => {
    const { error } = await attack('x = 1\nprint("a" "b"\ny = 2');
    expect(error).toMatchObject({ name: 'SyntaxError', line: 2, column: 6 });
    expect(error?.traceback.join('\n')).toContain('^');
  });

  it.each([0, 3])('T48: os._exit(%d): an exit code is not a success', async (code) => {
    const execution = await attack(`import os\nprint("before", flush=True)\nos._exit(${code})`);
    expect(execution).toMatchObject({ status: 'crashed', stdout: 'before\n', worker: { lost: true } });
    expect(execution.error?.message).toBeTruthy();
    expect(() => execution.unwrap()).toThrow(expect.objectContaining({ code: 'crashed', retryable: true }));
  });

  it('T45: one gigabyte of output: bounded, marked, and the run ends well', async () => {
    const code = 'line = "x" * (1 << 20)\nfor _ in range(1024):\n    print(line)\n"done"';
    const execution = await attack(code, { timeoutMs: 30_000, outputBytes: 1 << 20 });
    expect(execution).toMatchObject({ status: 'ok', value: 'done', truncated: { stdout: true } });
    expect(Buffer.byteLength(execution.stdout)).toBeLessThanOrEqual(1 << 20);
  });

  it('T46: a million files: no more than the cap comes back', async () => {
    const code = 'for i in range(1_000_000):\n    open(f"f{i}", "w").close()';
    const execution = await attack(code, { timeoutMs: 5_000, fileCount: 100 });
    expect(execution.files.length).toBeLessThanOrEqual(100);
    expect(['ok', 'error', 'timeout', 'oom', 'crashed']).toContain(execution.status);
    expect(execution.truncated.files || execution.status !== 'ok').toBe(true);
  });

  it('T33: a value nested 100,000 deep: cut and marked', async () => {
    const execution = await attack('x = []\nfor _ in range(100_000):\n    x = [x]\nx');
    expect(execution.status).toBe('ok');
    expect(JSON.stringify(execution.value).length).toBeLessThan(100_000);
  });

  it('T48: a storm of runs that crash: each is told, none hangs', async () => {
    const runs = Array.from({ length: 4 }, (_, i) =>
      i % 2 === 0 ? runtime.run('import os\nos._exit(1)') : runtime.run(`${i}`),
    );
    expect((await Promise.all(runs)).map((execution) => execution.status)).toStrictEqual([
      'crashed',
      'ok',
      'crashed',
      'ok',
    ]);
    expect(runtime.status).toBe('ready');
  });
});
