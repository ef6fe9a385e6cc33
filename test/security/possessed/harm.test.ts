import { readdir, readFile, readlink } from 'node:fs/promises';
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
    expect((await s.find('T19')).found).toMatch(/Error/);
    const { pid } = (await s.runtime.run('1')).worker;
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
    const flood = s.attack('tasks', {}, { timeoutMs: 1500 });
    expect(await s.runtime.healthCheckAll()).toContainEqual(expect.objectContaining({ healthy: true }));
    expect(['timeout', 'oom', 'crashed']).toContain((await flood).status);
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
    const execution = await s.attack(name, { bytes: 2 * 2 ** 30 });
    expect(['oom', 'crashed']).toContain(execution.status);
    expect(execution.worker.lost).toBe(true);
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
