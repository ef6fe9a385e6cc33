import { describe, expect, it } from 'vitest';
import { evaluate, interruptAfter, ok, py, type Subject } from './subject.ts';

const MIB = 1024 * 1024;

export function limits(subject: Subject): void {
  describe('time', () => {
    it.each([
      ['a busy loop', 'while True:\n    pass'],
      ['a huge power', 'x = 10**10**8'],
      ['a catastrophic regex', 'import re\nre.match(r"(a+)+$", "a" * 50 + "b")'],
      ['a sleep', 'import time\ntime.sleep(1000)'],
      ['an await', 'import asyncio\nawait asyncio.sleep(1000)'],
      ['a busy loop after an await', 'import asyncio\nawait asyncio.sleep(0)\nwhile True:\n    pass'],
      [
        'a busy loop in a task',
        'import asyncio\nasync def f():\n    while True:\n        pass\nasyncio.run(f())',
      ],
      ['asyncio.run of a wait', 'import asyncio\nasyncio.run(asyncio.sleep(1000))'],
      ['a loop in C', 'sum(range(10**12))'],
    ])('ends %s', async (_, code) => {
      const execution = await subject.run(code, { timeoutMs: 150 });
      expect(execution.status).toBe('timeout');
      expect(execution.error?.message).toMatch(/time/i);
      expect(await evaluate(subject.run('1 + 1'))).toBe(2);
    });

    it('ends a wait that nothing can end, or says so at once', async () => {
      const execution = await subject.run('import asyncio\nawait asyncio.Event().wait()', { timeoutMs: 150 });
      expect(['timeout', 'error']).toContain(execution.status);
      expect(await evaluate(subject.run('1 + 1'))).toBe(2);
    });

    it('keeps the worker that gave way to the interrupt', async () => {
      const before = (await ok(subject.run('1'))).worker;
      const stopped = await subject.run('while True:\n    pass', { timeoutMs: 100 });
      expect(stopped).toMatchObject({ status: 'timeout', worker: { id: before.id, lost: false } });
      expect((await ok(subject.run('1'))).worker.id).toBe(before.id);
    });

    it.each([
      [
        'catches everything',
        'while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass',
      ],
      [
        'ignores the signal',
        'import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    pass',
      ],
    ])('kills the worker of code that %s', async (_, code) => {
      const before = (await ok(subject.run('1'))).worker;
      const execution = await subject.run(code, { timeoutMs: 100 });
      expect(execution).toMatchObject({ status: 'timeout', worker: { id: before.id, lost: true } });
      const next = await ok(subject.run('1 + 1'));
      expect(next.value).toBe(2);
      expect(next.worker).toMatchObject({ lost: false });
      if (before.pid !== undefined && next.worker.pid !== undefined && subject.engine === 'deno') {
        expect(next.worker.pid).not.toBe(before.pid);
      }
    });

    it('is a timeout whatever Python made of the interrupt', async () => {
      const code = 'try:\n    while True:\n        pass\nexcept KeyboardInterrupt:\n    x = "caught"\nx';
      expect((await subject.run(code, { timeoutMs: 100 })).status).toBe('timeout');
    });

    it('keeps the output and files of a run that was cut', async () => {
      const code = 'print("so far")\nopen("part.txt", "w").write("x")\nwhile True:\n    pass';
      const execution = await subject.run(code, { timeoutMs: 150 });
      expect(execution).toMatchObject({
        status: 'timeout',
        stdout: 'so far\n',
        files: [{ path: 'part.txt' }],
      });
    });

    it('counts processor time apart', async () => {
      const busy = await subject.run('while True:\n    pass', { cpuMs: 100 });
      expect(busy.status).toBe('timeout');
      const waits = await subject.run('import asyncio\nawait asyncio.sleep(0.3)\n"rested"', { cpuMs: 150 });
      expect(waits).toMatchObject({ status: 'ok', value: 'rested' });
    });
  });

  describe('interrupts', () => {
    it.each([
      ['a busy loop', 'print("go")\nwhile True:\n    pass'],
      ['an await', 'import asyncio\nprint("go")\nawait asyncio.sleep(1000)'],
      ['a sleep', 'import time\nprint("go", flush=True)\ntime.sleep(1000)'],
    ])('end %s and keep the worker', async (_, code) => {
      const run = subject.run(code);
      await interruptAfter(run, 'go\n');
      expect(await run).toMatchObject({ status: 'interrupted', stdout: 'go\n', worker: { lost: false } });
      expect(await evaluate(subject.run('1 + 1'))).toBe(2);
    });

    it('come by AbortSignal', async () => {
      const stop = new AbortController();
      const execution = await subject.run('print("go")\nwhile True:\n    pass', {
        signal: stop.signal,
        onStdout: (text) => text.endsWith('\n') && stop.abort(),
      });
      expect(execution.status).toBe('interrupted');
    });

    it('before the start leave Python untouched', async () => {
      const execution = await subject.run('print("never")', { signal: AbortSignal.abort() });
      expect(execution).toMatchObject({ status: 'interrupted', stdout: '' });
    });

    it('reach a run in the queue without touching the one before it', async () => {
      const first = subject.run('print("go")\nwhile True:\n    pass');
      const queued = subject.run('print("never")');
      queued.interrupt();
      expect(await queued).toMatchObject({ status: 'interrupted', stdout: '' });
      await interruptAfter(first, 'go\n');
      expect(await first).toMatchObject({ status: 'interrupted', stdout: 'go\n' });
    });

    it('after the end change nothing', async () => {
      const run = subject.run('1');
      const execution = await run;
      run.interrupt();
      expect(execution.status).toBe('ok');
      expect(await evaluate(subject.run('x = 0\nfor i in range(100_000):\n    x += 1\nx'))).toBe(100_000);
    });
  });

  describe('memory', () => {
    const memoryBytes = 128 * MIB;

    it('raises MemoryError at the cap, and the worker lives on', async () => {
      const before = (await ok(subject.run('1'))).worker;
      const execution = await subject.run('x = []\nwhile True:\n    x.append(bytearray(1 << 20))', {
        memoryBytes,
      });
      expect(execution).toMatchObject({
        status: 'oom',
        error: { name: 'MemoryError' },
        worker: { lost: false },
      });
      expect(execution.memory.heapBytes).toBeLessThanOrEqual(memoryBytes);
      expect((await ok(subject.run('1'))).worker.id).toBe(before.id);
    });

    it('takes no class of the run for it', async () => {
      const execution = await subject.run('class MemoryError(Exception): pass\nraise MemoryError("mine")');
      expect(execution).toMatchObject({ status: 'error', error: { message: '__main__.MemoryError: mine' } });
    });

    it('may be less than Python itself takes', async () => {
      const limits = { memoryBytes: MIB };
      await using runtime = await subject.make({ size: 1, limits, maxLimits: limits });
      expect(await evaluate(runtime.run('1 + 1'))).toBe(2);
      expect(await runtime.run('bytearray(64 << 20)')).toMatchObject({
        status: 'oom',
        worker: { lost: false },
      });
    });

    it('lets Python handle it', async () => {
      const code = 'try:\n    bytearray(1 << 30)\nexcept MemoryError:\n    x = "handled"\nx';
      expect(await evaluate(subject.run(code, { memoryBytes }))).toBe('handled');
    });

    it('gives a later run its own cap', async () => {
      await subject.run('bytearray(1 << 30)', { memoryBytes });
      expect(await evaluate(subject.run('len(bytearray(200 << 20))', { memoryBytes: 400 * MIB }))).toBe(
        200 * MIB,
      );
      expect((await subject.run('bytearray(200 << 20)', { memoryBytes })).status).toBe('oom');
    });
  });

  describe('sizes', () => {
    it('cuts output at its cap and marks it', async () => {
      const execution = await ok(
        subject.run('for _ in range(1000):\n    print("x" * 999)', { outputBytes: 10_000 }),
      );
      expect(execution.truncated).toMatchObject({ stdout: true, stderr: false });
      expect(execution.stdout.length).toBeGreaterThan(5_000);
      expect(execution.stdout.length).toBeLessThanOrEqual(10_000);
      expect(execution.stdout.startsWith('x'.repeat(999))).toBe(true);
    });

    it('counts stderr and displays, too', async () => {
      const errors = await ok(
        subject.run('import sys\nsys.stderr.write("e" * 50_000)\nNone', { outputBytes: 10_000 }),
      );
      expect(errors.truncated.stderr).toBe(true);
      expect(errors.stderr.length).toBeLessThanOrEqual(10_000);
      const shows = await ok(
        subject.run('for _ in range(100):\n    display("d" * 1000)', { outputBytes: 10_000 }),
      );
      expect(shows.truncated.results).toBe(true);
      expect(shows.results.length).toBeLessThanOrEqual(10);
    });

    it('cuts files by count and by size, and marks it', async () => {
      const many = await ok(
        subject.run('for i in range(50):\n    open(f"{i:02}.txt", "w").write("x")', { fileCount: 10 }),
      );
      expect(many.files).toHaveLength(10);
      expect(many.truncated.files).toBe(true);
      const large = await ok(
        subject.run('for n in "ab":\n    open(n, "wb").write(bytes(60_000))', { fileBytes: 100_000 }),
      );
      expect(large.files).toHaveLength(1);
      expect(large.truncated.files).toBe(true);
    });

    it('turns a value beyond its cap into a marked repr', async () => {
      const execution = await ok(subject.run('["x" * 1000] * 1000', { valueBytes: 10_000 }));
      expect(execution.truncated.value).toBe(true);
      expect(JSON.stringify(execution.value).length).toBeLessThanOrEqual(20_000);
      const bytes = await ok(subject.run('bytes(100_000)', { valueBytes: 10_000 }));
      expect(bytes.value).toMatchObject({ type: 'bytes', why: 'size' });
      expect(bytes.truncated.value).toBe(true);
    });

    it('bounds the text of a value, too', async () => {
      const execution = await ok(subject.run('"x" * 50_000_000'));
      expect(execution.text?.length ?? 0).toBeLessThan(50_000_000);
    });

    it('marks nothing within the caps', async () => {
      const execution = await ok(
        subject.run(py`
          import sys
          print("out")
          print("err", file=sys.stderr)
          open("f", "w").write("x")
          [1]
        `),
      );
      expect(execution.truncated).toStrictEqual({
        stdout: false,
        stderr: false,
        value: false,
        results: false,
        files: false,
      });
    });
  });
}
