import { expect, it } from 'vitest';
import { evaluate, ok, py, type Subject } from './subject.ts';

export function asyncio(subject: Subject): void {
  it('awaits at the top level', async () => {
    const code = 'import asyncio\nawait asyncio.sleep(0.001)\nx = await asyncio.sleep(0, 41)\nx + 1';
    expect(await evaluate(subject.run(code))).toBe(42);
  });

  it('takes the value of an awaited last expression', async () => {
    expect(await evaluate(subject.run('import asyncio\nawait asyncio.sleep(0, "done")'))).toBe('done');
  });

  it('does async for, async with and async comprehensions at the top level', async () => {
    const value = await evaluate(
      subject.run(py`
        from contextlib import asynccontextmanager

        async def numbers():
            for i in range(3):
                yield i

        @asynccontextmanager
        async def doubled(n):
            yield n * 2

        seen = []
        async for n in numbers():
            async with doubled(n) as d:
                seen.append(d)
        [seen, [n async for n in numbers()]]
      `),
    );
    expect(value).toStrictEqual([
      [0, 2, 4],
      [0, 1, 2],
    ]);
  });

  it('runs asyncio.run from synchronous code', async () => {
    const value = await evaluate(
      subject.run(py`
        import asyncio

        async def work(n):
            await asyncio.sleep(0.001)
            return n * n

        async def main():
            return await asyncio.gather(*(work(n) for n in range(5)))

        first = asyncio.run(main())
        second = asyncio.run(work(9))
        [first, second]
      `),
    );
    expect(value).toStrictEqual([[0, 1, 4, 9, 16], 81]);
  });

  it('runs tasks side by side', async () => {
    const execution = await ok(
      subject.run(py`
        import asyncio

        async def say(text, times):
            for _ in range(times):
                print(text)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(say("a", 2))
            group.create_task(say("b", 2))
      `),
    );
    expect(execution.stdout).toBe('a\nb\na\nb\n');
  });

  it('has timeouts, queues, locks and events', async () => {
    const value = await evaluate(
      subject.run(py`
        import asyncio

        results = []
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(1000)
        except TimeoutError:
            results.append("timeout")
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        except TimeoutError:
            results.append("wait_for")

        queue = asyncio.Queue(1)

        async def produce():
            for i in range(3):
                await queue.put(i)

        producer = asyncio.create_task(produce())
        results += [await queue.get() for _ in range(3)]
        await producer
        results
      `),
    );
    expect(value).toStrictEqual(['timeout', 'wait_for', 0, 1, 2]);
  });

  it('cancels', async () => {
    const value = await evaluate(
      subject.run(py`
        import asyncio

        async def long():
            try:
                await asyncio.sleep(1000)
            finally:
                log.append("cleaned up")

        log = []
        task = asyncio.create_task(long())
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            log.append("cancelled")
        log
      `),
    );
    expect(value).toStrictEqual(['cleaned up', 'cancelled']);
  });

  it('fails a group with all its errors', async () => {
    const execution = await subject.run(py`
      import asyncio

      async def fail():
          raise ValueError("in a task")

      async with asyncio.TaskGroup() as group:
          group.create_task(fail())
    `);
    expect(execution.error?.name).toBe('ExceptionGroup');
    expect(execution.error?.traceback.join('\n')).toContain('ValueError: in a task');
  });

  it('ends when the code ends, not when its background tasks do', async () => {
    const execution = await ok(
      subject.run(py`
        import asyncio

        async def forever():
            while True:
                await asyncio.sleep(0.001)

        task = asyncio.create_task(forever())
        await asyncio.sleep(0.003)
        "over"
      `),
    );
    expect(execution.value).toBe('over');
    expect(await evaluate(subject.run('1 + 1'))).toBe(2);
  });
}
