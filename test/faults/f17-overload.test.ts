/** F17: ten times more than there is room for. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { VivariumError } from '../../src/errors/errors.ts';
import { makeFolders } from './folders.ts';
import { type Ending, ends, JudgedPool, type Judgement } from './oracle.ts';
import { once } from './points.ts';

const size = 2;
const maxQueue = 18;
const capacity = size + maxQueue;

const folders = await makeFolders();
let pool: JudgedPool;
beforeAll(async () => {
  pool = await JudgedPool.open(folders, { size, maxQueue });
});
afterAll(() => pool.close());

function orRefused(otherwise: Judgement): Judgement {
  return (ending: Ending) =>
    'error' in ending && (ending.error as VivariumError).code === 'queue_full'
      ? undefined
      : otherwise(ending);
}

it('at once: as many as there is room for end as they must, the rest is refused by type', () =>
  pool.judge(async (oracle) => {
    const runs = Array.from({ length: 10 * capacity }, (_, index) =>
      oracle.run(`print(${index})\n${index} * 3`, {}, { wrong: orRefused(ends('ok', index * 3)) }),
    );
    const { queued, running } = oracle.runtime.stats();
    expect({ queued, running }).toEqual({ queued: maxQueue, running: size });
    const settled = await Promise.allSettled(runs);
    const refused = settled.flatMap((end, index) => (end.status === 'rejected' ? [{ index, ...end }] : []));
    expect(refused.map(({ index }) => index)).toEqual(
      Array.from({ length: 9 * capacity }, (_, index) => capacity + index),
    );
    expect(refused[0]?.reason).toMatchObject({
      code: 'queue_full',
      fault: 'caller',
      retryable: true,
      details: { waiting: maxQueue, running: size, maxQueue, maxWorkers: size },
    });
  }));

it('again and again, by callers that try anew: each gets its own answer in the end', () =>
  pool.judge(async (oracle) => {
    const caller = async (index: number): Promise<void> => {
      for (let attempt = 0; attempt < 1000; attempt++) {
        const freed = once('run.rewound');
        const run = oracle.run(`${index} + 0.5`, {}, { wrong: orRefused(ends('ok', index + 0.5)) });
        const done = await run.then(
          () => true,
          () => false,
        );
        if (done) return;
        // As a caller does that is told to come back: when somebody else is through. All are, at the same moment.
        await freed;
      }
      throw new Error('it was never let in');
    };
    await Promise.all(Array.from({ length: 3 * capacity }, (_, index) => caller(index)));
  }));

it('that all run out of time at once: each is told, and no worker is lost', () =>
  pool.judge(async (oracle) => {
    const before = oracle.pids.toSorted();
    const runs = Array.from({ length: capacity }, () =>
      oracle.run('while True: pass', { timeoutMs: 100 }, { wrong: ends('timeout') }),
    );
    for (const { worker } of await Promise.all(runs)) expect(worker.lost).toBe(false);
    expect(oracle.pids.toSorted()).toEqual(before);
  }));

it('that nobody wants any more: all are taken out at once', () =>
  pool.judge(async (oracle) => {
    const stop = new AbortController();
    for (let index = 0; index < capacity; index++)
      oracle.run('while True: pass', { signal: stop.signal }, { wrong: ends('interrupted') });
    stop.abort();
  }));
