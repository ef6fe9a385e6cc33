import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Execution } from '../../src/runtime.ts';
import { poisons } from './poisons.ts';
import { evaluate, ok, py, type Subject } from './subject.ts';

const probe = readFileSync(new URL('probe.py', import.meta.url), 'utf8');

/** What must not differ. The streams are looked at as well: a finalizer that prints is a leak. */
function evidence(execution: Execution): unknown {
  const { status, value, stdout, stderr, error, truncated } = execution;
  return { status, value, stdout, stderr, error: error?.traceback, truncated };
}

export function rewind(subject: Subject): void {
  let clean: unknown;
  beforeAll(async () => {
    const execution = await ok(subject.run(probe));
    expect(execution).toMatchObject({ stdout: 'probe é\n', stderr: 'probe ü\n' });
    clean = evidence(execution);
  });

  it('probes the same twice', async () => {
    expect(evidence(await subject.run(probe))).toStrictEqual(clean);
  });

  describe.each(poisons)('$name', ({ code, shows }) => {
    if (shows === 'seen') {
      it('is seen by the probe in its own run', async () => {
        expect(evidence(await subject.run(`${code}\n${probe}`))).not.toStrictEqual(clean);
      });
    }

    it('is gone in the next run', async () => {
      const poisoned = await subject.run(code);
      if (shows !== 'any') expect(poisoned.status).toBe('ok');
      expect(evidence(await subject.run(probe))).toStrictEqual(clean);
    });
  });

  it('drops timers and tasks for good, also when a later run waits', async () => {
    await ok(
      subject.run(py`
        import asyncio

        async def later():
            while True:
                await asyncio.sleep(0.001)
                print("LEAK")

        task = asyncio.ensure_future(later())
        asyncio.get_running_loop().call_later(0.005, print, "LEAK")
        await asyncio.sleep(0)
      `),
    );
    const waits = await ok(subject.run('import asyncio\nawait asyncio.sleep(0.02)\n"waited"'));
    expect(waits).toMatchObject({ value: 'waited', stdout: '', stderr: '' });
  });

  it('is clean after a run that failed, was cut, or ran out of memory', async () => {
    const leave = 'import builtins\nbuiltins.leak = 1\nleaked = 1\n';
    await subject.run(`${leave}1/0`);
    expect(evidence(await subject.run(probe))).toStrictEqual(clean);
    await subject.run(`${leave}while True:\n    pass`, { timeoutMs: 100 });
    expect(evidence(await subject.run(probe))).toStrictEqual(clean);
    await subject.run(`${leave}bytearray(1 << 30)`, { memoryBytes: 128 << 20 });
    expect(evidence(await subject.run(probe))).toStrictEqual(clean);
    await subject.run(`${leave}import sys\nsys.exit(1)`);
    expect(evidence(await subject.run(probe))).toStrictEqual(clean);
  });

  it('gives memory back', async () => {
    const before = await ok(subject.run('1'));
    await ok(subject.run('len(bytearray(150 << 20))'));
    const after = await ok(subject.run('1'));
    expect(after.memory.peakBytes).toBe(before.memory.peakBytes);
  });

  it('does not show what an earlier run left in memory', async () => {
    await ok(subject.run('marker = bytearray(b"left by an earlier run " * 400_000)\nlen(marker)'));
    const found = await evaluate(
      subject
        .run(py`
        import ctypes

        # Memory as malloc gives it, not cleared: what an earlier run wrote there must be gone.
        libc = ctypes.pythonapi
        libc.PyMem_RawMalloc.restype = ctypes.c_void_p
        address = libc.PyMem_RawMalloc(9_000_000)
        b"left by an " + b"earlier run" in ctypes.string_at(address, 9_000_000)
      `)
        .then((execution) => execution),
    ).catch((error: unknown) => {
      // Without ctypes there's no way to look.
      if (error instanceof Error && /ctypes/.test(error.message)) return false;
      throw error;
    });
    expect(found).toBe(false);
  });
}
