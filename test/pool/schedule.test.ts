import fc from 'fast-check';
import { expect, it } from 'vitest';
import { WorkerError } from '../../src/errors/errors.ts';
import type { Isolation, Run } from '../../src/runtime.ts';
import { outcomes, settled, subject } from './subject.ts';

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('run' as const),
      code: fc.constantFrom(
        '1',
        'raise',
        'sleep 30',
        'sleep 3000',
        'crash',
        'crash 20',
        'hang',
        'loop',
        'dirty',
        'slow 40',
        'slow 20000',
        'heap 600000000',
      ),
      isolation: fc.constantFrom<Isolation[]>('rewind', 'rewind', 'process', 'none'),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.nat(400) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('interrupt' as const), index: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), index: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('restart' as const, 'check' as const) }) },
);

const shape = fc.record({
  size: fc.integer({ min: 1, max: 3 }),
  spares: fc.nat(2),
  maxRequests: fc.constantFrom(2, 1000),
  maxQueue: fc.constantFrom(2, 100),
  pool: fc.constantFrom(true, true, true, false),
  /** Which boots fail, in turn. */
  boots: fc.array(fc.boolean(), { maxLength: 12 }),
  bootMs: fc.constantFrom(0, 30),
});

it('ends every run in exactly one way and comes back to its size, whatever happens', async () => {
  await fc.assert(
    fc.asyncProperty(shape, fc.array(step, { maxLength: 40 }), async (options, steps) => {
      const { size, spares, maxRequests, maxQueue, pool, boots, bootMs } = options;
      const error = new WorkerError('boot_failed', 'no luck');
      const { runtime, clock, advance } = subject(
        {
          size,
          spares,
          maxQueue,
          pool,
          recycle: { maxRequests },
          killGraceMs: 100,
          healthCheckIntervalMs: 500,
        },
        { boot: ({ attempt }) => ({ delayMs: bootMs, ...(boots[attempt - 1] ? { error } : {}) }) },
      );
      const runs: Run[] = [];
      const ends: number[] = [];
      for (const taken of steps) {
        if (taken.do === 'run') {
          const index = runs.length;
          const run = runtime.run(taken.code, { isolation: taken.isolation, timeoutMs: 200 });
          const ended = () => {
            ends[index] = (ends[index] ?? 0) + 1;
          };
          run.then(ended, ended);
          runs.push(run);
        } else if (taken.do === 'advance') await advance(taken.ms);
        else if (taken.do === 'interrupt') runs[taken.index]?.interrupt();
        else if (taken.do === 'die') runtime.engine.alive[taken.index % 4]?.die();
        else if (taken.do === 'restart') runtime.restart().catch(() => undefined);
        else void runtime.healthCheckAll();
        const { running, workers } = runtime.stats();
        expect(running).toBeLessThanOrEqual(size);
        expect(workers.length).toBeLessThanOrEqual(size + spares + size);
      }

      for (let n = 0; n < 400 && (runtime.stats().running > 0 || runtime.stats().queued > 0); n++)
        await advance(100);
      await settled();
      expect(ends).toEqual(runs.map(() => 1));
      const known = [
        'ok',
        'error',
        'timeout',
        'interrupted',
        'crashed',
        'queue_full',
        'unavailable',
        'boot_failed',
      ];
      for (const outcome of await outcomes(runs)) expect(known).toContain(outcome);
      for (const end of await Promise.allSettled(runs))
        if (end.status === 'fulfilled') expect(end.value.error?.value ?? '').not.toContain("isn't ready");

      // A run that wants a clean interpreter never comes after one that leaves its state.
      for (const worker of runtime.engine.workers) {
        const stateful = worker.runs.findIndex(({ after }) => after === 'none');
        if (stateful >= 0)
          expect(worker.runs.slice(stateful).every(({ after }) => after !== 'rewind')).toBe(true);
      }

      // Backoffs, late rewinds and idle times go by.
      for (let n = 0; n < 12; n++) await advance(10_000);
      const started = runtime.engine.starts.length > 0;
      expect(runtime.engine.alive).toHaveLength(started && pool ? size + spares : 0);
      const { completed, rejected, running, queued } = runtime.stats();
      expect({ ended: completed + rejected, running, queued }).toEqual({
        ended: runs.length,
        running: 0,
        queued: 0,
      });

      const closing = runtime.close();
      await advance(0);
      await closing;
      expect(runtime.engine.alive).toHaveLength(0);
      await advance(20_000);
      expect(clock.pending).toBe(0);
    }),
    { numRuns: 60 },
  );
});
