import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { createRuntime } from '../../src/node.ts';

const MiB = 2 ** 20;
const maxResidentBytes = 300 * MiB;

/** The most that a process ever held; 0 when it's gone. */
function peakOf(pid: number): number {
  try {
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return Number(kibibytes ?? 0) * 1024;
  } catch {
    return 0;
  }
}

it.runIf(process.platform === 'linux').each([
  ['its heap', 'x = []\nwhile True: x.append(bytearray(1 << 20))'],
  [
    'files',
    'import itertools\nfor n in itertools.count():\n    with open(f"f{n}", "wb") as f: f.write(b"x" * (1 << 20))',
  ],
])('T46: kills a worker that goes beyond its memory by %s', async (_, code) => {
  await using runtime = await createRuntime({ size: 1, maxResidentBytes });
  const { pid = 0 } = (await runtime.run('1')).worker;
  let peak = 0;
  const watch = setInterval(() => {
    peak = Math.max(peak, peakOf(pid));
  }, 2);
  // Without the watchdog Python raises MemoryError at 512 MiB of heap, and the worker lives on.
  const execution = await runtime.run(code, { timeoutMs: 20_000 });
  clearInterval(watch);
  expect(execution).toMatchObject({
    status: 'oom',
    error: { name: 'MemoryLimit' },
    worker: { lost: true, pid },
  });
  // Half as much again: on a busy machine the host looks later. Without it the heap alone would be more.
  expect(peak).toBeGreaterThan(200 * MiB);
  expect(peak).toBeLessThan(1.5 * maxResidentBytes);
  const next = await runtime.run('1');
  expect(next).toMatchObject({ status: 'ok' });
  expect(next.worker.pid).not.toBe(pid);
});

it('leaves a worker alone that stays below', async () => {
  await using runtime = await createRuntime({ size: 1 });
  const code = 'x = bytearray(300 << 20)\nimport time\ntime.sleep(0.2)\nlen(x)';
  const { pid } = (await runtime.run('1')).worker;
  expect(await runtime.run(code)).toMatchObject({ status: 'ok', value: 300 * MiB, worker: { pid } });
});
