import fc from 'fast-check';
import { expect, it } from 'vitest';
import { WorkerError } from '../../src/errors/errors.ts';
import type { Run } from '../../src/runtime.ts';
import { fakeImage } from '../../src/testing.ts';
import { outcomes, settled, subject } from './subject.ts';

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('run' as const),
      code: fc.constantFrom('1', '1', 'sleep 30', 'sleep 150', 'crash', 'hang', 'dirty', 'slow 40', 'raise'),
      tenant: fc.constantFrom(undefined, 'a', 'a', 'b', 'c', 'd'),
      image: fc.constantFrom('own', 'own', 'own', 'data'),
      isolation: fc.constantFrom('rewind' as const, 'rewind' as const, 'process' as const, 'none' as const),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.nat(300) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('interrupt' as const), index: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), index: fc.nat(40) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('restart' as const, 'warm' as const, 'check' as const) }),
  },
);

const shape = fc.record({
  minWorkers: fc.nat(1),
  maxWorkers: fc.integer({ min: 1, max: 3 }),
  spares: fc.nat(2),
  maxRequests: fc.constantFrom(2, 1000),
  pool: fc.constantFrom(true, true, true, true, false),
  /** Which boots fail, in turn. */
  boots: fc.array(fc.boolean(), { maxLength: 6 }),
  bootMs: fc.constantFrom(0, 30),
});

it('lets no worker see two tenants, and every run end, whatever comes', async () => {
  await fc.assert(
    fc.asyncProperty(shape, fc.array(step, { maxLength: 50 }), async (options, steps) => {
      const { boots, bootMs, maxRequests, ...rest } = options;
      const error = new WorkerError('boot_failed', 'no luck');
      const { runtime, clock, advance } = subject(
        {
          ...rest,
          recycle: { maxRequests },
          killGraceMs: 100,
          healthCheckIntervalMs: 0,
          idleTimeoutMs: 5000,
        },
        {
          image: fakeImage('own'),
          boot: ({ attempt }) => ({ delayMs: bootMs, ...(boots[attempt - 1] ? { error } : {}) }),
        },
      );
      const tenantOf = new Map<string, string | undefined>();
      const runs: Run[] = [];
      const ends: number[] = [];
      for (const taken of steps) {
        if (taken.do === 'run') {
          const { code, tenant, image, isolation } = taken;
          const index = runs.length;
          const own = image === 'own' ? undefined : image;
          const run = runtime.run(code, { tenant, isolation, timeoutMs: 200, image: own });
          tenantOf.set(run.id, tenant);
          const ended = () => {
            ends[index] = (ends[index] ?? 0) + 1;
          };
          run.then(ended, ended);
          runs.push(run);
        } else if (taken.do === 'advance') await advance(taken.ms);
        else if (taken.do === 'interrupt') runs[taken.index]?.interrupt();
        else if (taken.do === 'die') runtime.engine.alive[taken.index % 4]?.die();
        else if (taken.do === 'check') void runtime.healthCheckAll();
        else runtime[taken.do]().catch(() => undefined);
        await settled();
        const { workers, running } = runtime.stats();
        expect(workers.length).toBeLessThanOrEqual(rest.maxWorkers + (rest.pool ? rest.spares + 1 : 0));
        expect(running).toBeLessThanOrEqual(rest.maxWorkers);
      }

      // Nobody starves: nothing takes longer than 200 ms and a kill, a backoff and some boots.
      for (let n = 0; n < 50 * 10 && ends.filter(Boolean).length < runs.length; n++) await advance(100);
      expect(ends).toEqual(runs.map(() => 1));
      const known = ['ok', 'error', 'timeout', 'interrupted', 'crashed', 'unavailable', 'boot_failed'];
      for (const outcome of await outcomes(runs)) expect(known).toContain(outcome);
      for (const end of await Promise.allSettled(runs))
        if (end.status === 'fulfilled') expect(end.value.error?.value ?? '').not.toContain("isn't ready");

      for (const worker of runtime.engine.workers) {
        const tenants = new Set(worker.runs.map(({ id }) => tenantOf.get(id)));
        expect(tenants.size).toBeLessThanOrEqual(1);
        const stateful = worker.runs.findIndex(({ after }) => after === 'none');
        if (stateful >= 0)
          expect(worker.runs.slice(stateful).every(({ after }) => after !== 'rewind')).toBe(true);
      }

      // What idles is gone, what is to be kept is back.
      for (let n = 0; n < 12; n++) await advance(10_000);
      const { workers, status } = runtime.stats();
      const members = workers.filter(({ state }) => !state.startsWith('spare'));
      expect(members.every(({ image }) => image === 'own')).toBe(true);
      const kept = status !== 'idle' && rest.pool ? rest.minWorkers : 0;
      expect(members.length).toBeGreaterThanOrEqual(kept);

      const closing = runtime.close();
      await advance(0);
      await closing;
      expect(runtime.engine.alive).toHaveLength(0);
      await advance(20_000);
      expect(clock.pending).toBe(0);
    }),
    { numRuns: 150 },
  );
});

it('has a run wait for one run of each other tenant at most, whoever floods the pool', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        size: fc.integer({ min: 1, max: 3 }),
        spares: fc.nat(1),
        isolation: fc.constantFrom('rewind' as const, 'process' as const, 'none' as const),
      }),
      fc
        .array(fc.constantFrom('b', 'c', 'd'), { minLength: 1, maxLength: 3 })
        .map((names) => [...new Set(names)]),
      async (options, late) => {
        const order: string[] = [];
        const run = ({ code }: { code: string }) => {
          order.push(code);
          return { delayMs: 50 };
        };
        const boot = () => ({ delayMs: 20 });
        const { runtime, advance } = subject({ ...options, maxQueue: 1000 }, { run, boot });
        runtime.warm();
        for (let n = 0; n < 3; n++) await advance(20);
        // A flood that never ends.
        const flood = () => void runtime.run('a', { tenant: 'a' });
        for (let n = 0; n < 10; n++) flood();
        await settled();
        await advance(10);
        const { size } = options;
        const before = order.length;
        const runs = late.map((tenant) => runtime.run(tenant, { tenant }));
        let ended = 0;
        for (const each of runs) each.then(() => ended++);
        for (let n = 0; n < 100 && ended < runs.length; n++) {
          for (let more = 0; more < size; more++) flood();
          await advance(10);
        }
        expect(ended).toBe(runs.length);
        expect(await outcomes(runs)).toEqual(late.map(() => 'ok'));
        for (const run of runs) {
          // At most the runs that were under way, each other tenant's, and the boots of the workers.
          const { queuedMs, restoreMs } = (await run).timings;
          expect(queuedMs + restoreMs).toBeLessThanOrEqual(
            Math.ceil(late.length / size) * (50 + 20) + 3 * 10,
          );
        }
        // Of the flood no more begins meanwhile than places that nobody else was first in row for.
        const last = Math.max(...late.map((tenant) => order.indexOf(tenant)));
        expect(last - before).toBeLessThanOrEqual(late.length + late.length * size);
        expect(runtime.stats().queued).toBeGreaterThan(0);
      },
    ),
    { numRuns: 60 },
  );
});
