import { readFileSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { describe, expect, it, vi } from 'vitest';
import { isRunning } from '../../engines/subject.ts';
import { granted, subject } from './subject.ts';

const maxResidentBytes = 700 * 2 ** 20;

describe('a possessed kernel that stores', () => {
  const s = subject();

  it('T18: what it stores is in no other process, and not on disk', async () => {
    const marker = `marker-${process.pid}`;
    const target = s.canaries.targets.create;
    const stored = await s.find('storeMarker', { marker, target });
    expect(granted(stored)).toStrictEqual({});
    expect(JSON.stringify(await s.find('findMarker', { target }))).not.toContain(marker);
    const other = await s.find('findMarker', { target }, { tenant: 'another' });
    expect(Object.keys(other).length).toBe(6);
    expect(JSON.stringify(other)).not.toContain(marker);
  });

  it('T19: what it fills is no disk', async () => {
    const { status, text, worker } = await s.attack('T19');
    expect(status).toBe('ok');
    const { pid } = worker;
    expect(JSON.parse(text ?? '').found).toMatch(/^Error: Failed to create cache storage directory/);
    const descriptors = await readdir(`/proc/${pid}/fd`);
    const links = await Promise.all(
      descriptors.map((each) => readlink(`/proc/${pid}/fd/${each}`).catch(() => '')),
    );
    const files = links.filter((link) => /^\/(?!dev\/|proc\/|memfd:)/.test(link));
    expect(files).toStrictEqual([]);
    const written = /^write_bytes: (\d+)$/m.exec(await readFile(`/proc/${pid}/io`, 'utf8'))?.[1];
    expect(Number(written)).toBe(0);
  });
});

describe('a possessed kernel that harms its process', () => {
  const s = subject({ maxResidentBytes });
  const within = { timeoutMs: 700 };

  it.each(['wait', 'loop', 'loopOfPromises', 'never'])('T43: goes on without end: %s', async (name) => {
    const execution = await s.attack(name, {}, within);
    expect(execution).toMatchObject({ status: 'timeout', worker: { lost: true } });
    expect(execution.timings.runMs).toBeLessThan(within.timeoutMs + 1200);
  });

  it.each([
    ['loop', /^unhealthy$/],
    // Where pages come slowly its processor time is seen first.
    ['buffers', /^(memory|unhealthy)$/],
  ])('T43, T46: goes on after its end: %s', async (what, reason) => {
    const reasons: string[] = [];
    const unsubscribe = s.runtime.subscribe((event) => {
      if (event.type === 'worker:restart') reasons.push(event.reason);
    });
    const { status, worker } = await s.run('goOn', { what, bytes: 2 * 2 ** 30 });
    expect(status).toBe('ok');
    await vi.waitFor(() => expect(reasons).toStrictEqual([expect.stringMatching(reason)]), 15_000);
    unsubscribe();
    await vi.waitFor(() => expect(isRunning(worker.pid ?? 0)).toBe(false), 5000);
    await s.expectUnharmed();
  });

  it('T44: floods with tasks, and the host is answered meanwhile', async () => {
    const delay = monitorEventLoopDelay({ resolution: 10 });
    delay.enable();
    const flood = s.run('tasks', {}, { timeoutMs: 1500 });
    expect(await s.runtime.healthCheckAll()).toContainEqual(expect.objectContaining({ healthy: true }));
    const { status, worker } = await flood;
    delay.disable();
    expect(['timeout', 'oom']).toContain(status);
    expect(worker.lost).toBe(true);
    // In nanoseconds; generous, for machines that do much else.
    expect(delay.max).toBeLessThan(1e9);
    await s.expectUnharmed();
  });

  it('T45: floods with output, past every limit of the kernel', async () => {
    const execution = await s.attack('output', { bytes: 200 * 2 ** 20 }, { outputBytes: 1 << 20 });
    expect(execution).toMatchObject({ status: 'crashed', worker: { lost: true } });
    // Twice the limit, and the message that went beyond it.
    expect(Buffer.byteLength(execution.stdout)).toBeLessThanOrEqual(3 << 20);
  });

  it('T46: fills JavaScript’s heap', async () => {
    const execution = await s.attack('heap', {}, { timeoutMs: 10_000 });
    expect(['crashed', 'oom', 'timeout']).toContain(execution.status);
    expect(execution.worker.lost).toBe(true);
  });

  it.each(['buffers', 'wasmMemory'])('T46: takes memory outside of every heap: %s', async (name) => {
    const { pid } = (await s.runtime.run('1', { tenant: 'attacker' })).worker;
    let peak = 0;
    const timer = setInterval(() => {
      peak = Math.max(peak, peakOf(pid));
    }, 5);
    const execution = await s.run(name, { bytes: 2 * 2 ** 30 });
    clearInterval(timer);
    expect(execution).toMatchObject({ status: 'oom', worker: { pid, lost: true } });
    expect(peak).toBeGreaterThan(maxResidentBytes / 2);
    expect(peak).toBeLessThan(maxResidentBytes + 256 * 2 ** 20);
    await s.expectUnharmed();
  });

  it('T47: overflows its stack, which it survives', async () => {
    const execution = await s.attack('recursion');
    expect(execution.text ?? execution.error?.message).toContain('Maximum call stack');
  });

  it.each<[string, object]>([
    ['exit', { code: 0 }],
    ['exit', { code: 3 }],
    ['exitProcess', { code: 0 }],
    ['closeThread', {}],
    ['kill', { signal: 'SIGKILL' }],
    ['kill', { signal: 'SIGSTOP' }],
    ['crash', {}],
  ])('T48: ends itself: %s %o', async (name, argument) => {
    const execution = await s.attack(name, argument, within);
    expect(['crashed', 'timeout']).toContain(execution.status);
    expect(execution.worker.lost).toBe(true);
    expect(() => execution.unwrap()).toThrow();
  });
});

/** The most resident memory that a process ever had; 0 when it's gone. */
function peakOf(pid: number | undefined): number {
  try {
    const kibibytes = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Number(kibibytes ?? 0) * 1024;
  } catch {
    return 0;
  }
}
