import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { InstallError, WorkerError } from '../../src/errors/errors.ts';
import type { Run } from '../../src/runtime.ts';
import { createFakeRuntime, fakeImage, type ImageFinder } from '../../src/testing.ts';
import { outcomes, type Subject, settled, subject, workerOf } from './subject.ts';

const noWheel = new InstallError('there is no wheel of xyz', {
  reason: 'no_wheel',
  package: 'xyz',
  suggestion: '',
});
const images = ({ runtime }: Subject) => runtime.stats().workers.map(({ image }) => image);

/** The runtime's own image is `own`. */
function warmed(options: Parameters<typeof subject>[0], script: Parameters<typeof subject>[1] = {}): Subject {
  return subject(options, { image: fakeImage('own'), ...script });
}

// ---- workers -------------------------------------------------------------------------------------------------------

it('boots workers of the image of the runtime, and of what a run asks for', async () => {
  const it = warmed({ maxWorkers: 3 });
  const [own, data] = [it.runtime.run('1'), it.runtime.run('1', { image: 'data' })];
  expect((await own).worker).toMatchObject({ image: 'own', backend: 'fake' });
  expect((await data).worker).toMatchObject({ image: 'data' });
  expect(images(it)).toEqual(['own', 'data']);
  const { workers } = it.runtime.engine;
  expect(workers.map(({ image }) => image.name)).toEqual(['own', 'data']);
  expect(await workerOf(it.runtime.run('1', { image: 'data' }))).toBe((await data).worker.id);
  expect(await workerOf(it.runtime.run('1'))).toBe((await own).worker.id);
});

it('takes images for one by their lock, or by their file', async () => {
  const found = [
    { ...fakeImage('a'), lockHash: 'same' },
    { ...fakeImage('b'), lockHash: 'same' },
    { ...fakeImage('c'), lockHash: 'same', path: '/c.image' },
  ];
  const find: ImageFinder['find'] = () => Promise.resolve(found.shift() ?? fakeImage('none'));
  const { runtime } = subject({ maxWorkers: 3 }, { images: { find } });
  const [a, b, c] = [
    await workerOf(runtime.run('1', { image: 'a' })),
    await workerOf(runtime.run('1', { image: 'b' })),
    await workerOf(runtime.run('1', { image: 'c' })),
  ];
  expect(b).toBe(a);
  expect(c).not.toBe(a);
});

it('has an idle worker of another image give way when all places are taken, the least recently used first', async () => {
  const it = warmed({ size: 2 });
  await it.runtime.warm();
  await settled();
  const [first, second] = [await workerOf(it.runtime.run('1')), await workerOf(it.runtime.run('1'))];
  await it.advance(10);
  // The second is used last by its time.
  expect(await workerOf(it.runtime.run('1'))).toBe(first);
  await it.runtime.run('1', { image: 'data' });
  expect(it.events.filter(({ type }) => type === 'worker:recycle')).toMatchObject([
    { worker: second, reason: 'image' },
  ]);
  expect(images(it)).toEqual(['own', 'data']);
  expect(it.runtime.stats()).toMatchObject({ recycled: 1, restarts: 0 });
});

it('keeps workers that runs wait for, and those with state, as long as others can go', async () => {
  const it = warmed({ maxWorkers: 3 });
  const { runtime } = it;
  const stateful = await workerOf(runtime.run('1', { image: 'a', isolation: 'none' }));
  await it.advance(1);
  await runtime.run('1', { image: 'b' });
  await it.advance(1);
  await runtime.run('1', { image: 'c' });
  await runtime.run('1', { image: 'd' });
  expect(images(it)).toEqual(['a', 'c', 'd']);
  expect(await workerOf(runtime.run('1', { image: 'a', isolation: 'none' }))).toBe(stateful);
});

it('lets a run whose image is not ready block nobody', async () => {
  const boot = ({ image }: { image: string }) => ({ delayMs: image === 'slow' ? 1000 : 0 });
  const { runtime, advance } = warmed({ size: 2 }, { boot });
  await runtime.warm();
  await settled();
  const slow = runtime.run('1', { image: 'slow' });
  const others = [1, 2, 3, 4].map(() => runtime.run('1'));
  expect(await outcomes(others)).toEqual(['ok', 'ok', 'ok', 'ok']);
  await advance(1000);
  expect((await slow).timings).toMatchObject({ queuedMs: 0, restoreMs: 1000 });
});

it('gives the next place to the run that waits longest, though others could go on', async () => {
  const order: string[] = [];
  const run = ({ code, image }: { code: string; image: string }) => {
    order.push(`${code}:${image}`);
    return { delayMs: 100 };
  };
  const { runtime, advance } = warmed({ size: 1 }, { run });
  await runtime.warm();
  await settled();
  const runs = ['1', '2', '3'].map((code) => runtime.run(code));
  runs.push(runtime.run('4', { image: 'data' }));
  // Its place is the one that it has when its image has been found.
  await settled();
  runs.push(...['5', '6', '7'].map((code) => runtime.run(code)));
  for (let n = 0; n < 7; n++) await advance(100);
  await Promise.all(runs);
  expect(order).toEqual(['1:own', '2:own', '3:own', '4:data', '5:own', '6:own', '7:own']);
});

it('has idle workers of another image help out after a while', async () => {
  const it = warmed({ size: 2 });
  const { runtime, advance } = it;
  await runtime.warm();
  await settled();
  await runtime.run('1', { image: 'data' });
  const long = runtime.run('sleep 50000');
  const waiting = runtime.run('1');
  await advance(499);
  expect(images(it)).toEqual(['own', 'data']);
  await advance(1);
  expect((await waiting).timings).toMatchObject({ totalMs: 500 });
  expect(images(it)).toEqual(['own', 'own']);
  await advance(50_000);
  await long;
});

it('has one at a time help out, and none that runs wait for', async () => {
  const boot = ({ image, attempt }: { image: string; attempt: number }) => ({
    delayMs: image === 'data' && attempt > 4 ? 1000 : 0,
  });
  const it = warmed({ size: 3, maxQueue: 10 }, { boot });
  const { runtime, advance } = it;
  await runtime.warm();
  await settled();
  await runtime.run('1', { image: 'data' });
  // All are busy, and runs of both images wait.
  const runs = [runtime.run('sleep 50000', { image: 'data' }), runtime.run('1', { image: 'data' })];
  await settled();
  runs.push(...[1, 2, 3, 4].map(() => runtime.run('sleep 1000')));
  await settled();
  await advance(1000);
  expect(images(it)).toEqual(['own', 'own', 'data']);
  await advance(1000);
  expect(images(it)).toEqual(['own', 'data', 'data']);
  runs.push(runtime.run('1'));
  await settled();
  await advance(500);
  expect(images(it)).toEqual(['own', 'data', 'data']);
  await advance(500);
  await advance(50_000);
  expect(await outcomes(runs)).toEqual(runs.map(() => 'ok'));
});

it('ends workers of other images that idle, and fills up with its own', async () => {
  const it = warmed({ size: 2, idleTimeoutMs: 1000 });
  await it.runtime.warm();
  await it.runtime.run('1', { image: 'data' });
  expect(images(it)).toEqual(['own', 'data']);
  await it.advance(999);
  expect(images(it)).toEqual(['own', 'data']);
  await it.advance(1);
  expect(images(it)).toEqual(['own', 'own']);
  await it.advance(5000);
  expect(it.runtime.engine.starts).toHaveLength(4);
});

it('warms up workers of its own image, also in the place of others', async () => {
  const it = warmed({ minWorkers: 0, maxWorkers: 1 });
  await it.runtime.run('1', { image: 'data' });
  await it.runtime.warm();
  expect(images(it)).toEqual(['own']);
  const spare = warmed({ size: 1, spares: 1 });
  await spare.runtime.run('1', { image: 'data' });
  await settled();
  expect(images(spare)).toEqual(['data', 'own']);
  expect((await spare.runtime.run('1')).timings.restoreMs).toBe(0);
});

it('boots the first image that is wanted alone, whichever it is', async () => {
  const it = warmed({ size: 3 }, { boot: () => ({ delayMs: 10 }) });
  const run = it.runtime.run('1', { image: 'data' });
  await settled();
  expect(images(it)).toEqual(['data']);
  await it.advance(10);
  await run;
  expect(images(it)).toEqual(['data', 'own', 'own']);
});

it('without a pool boots what each run asks for', async () => {
  const { runtime } = warmed(
    { pool: false, size: 1 },
    { boot: ({ image }) => (image === 'x' ? { error: noWheel } : {}) },
  );
  const runs = ['a', 'x', 'x', 'b'].map((image) => runtime.run('1', { image }));
  expect(await outcomes(runs)).toEqual(['ok', 'install', 'install', 'ok']);
});

it('tells a run of the boots of its image only', async () => {
  const boot = ({ image }: { image: string }) => ({ delayMs: image === 'own' ? 10 : 20 });
  const { runtime, advance } = warmed({ size: 2 }, { boot });
  const told = vi.fn();
  const own = runtime.run('1');
  const data = runtime.run('1', { image: 'data', onProgress: told });
  await settled();
  expect(runtime.engine.starts).toHaveLength(2);
  expect(told).toHaveBeenCalledTimes(1);
  await advance(20);
  expect(await outcomes([own, data])).toEqual(['ok', 'ok']);
});

// ---- boots that fail -----------------------------------------------------------------------------------------------

it.each([noWheel, new WorkerError('boot_failed', 'it cannot be imported')])(
  'rejects with %s what waits for an image that does not boot, and nothing else',
  async (error) => {
    const boot = ({ image }: { image: string }) => (image === 'bad' ? { delayMs: 10, error } : {});
    const { runtime, advance, events } = warmed({ size: 2 }, { boot });
    await runtime.warm();
    const bad = [runtime.run('1', { image: 'bad' }), runtime.run('1', { image: 'bad' })];
    const good = [runtime.run('sleep 100'), runtime.run('sleep 100')];
    const ended = Promise.all([outcomes(bad), outcomes(good)]);
    for (let n = 0; n < 4; n++) await advance(100);
    expect(await ended).toEqual([
      [error.code, error.code],
      ['ok', 'ok'],
    ]);
    await expect(bad[0]).rejects.toBe(error);
    for (let n = 0; n < 6; n++) {
      const again = runtime.run('1', { image: 'bad' });
      const refused = outcomes([again]);
      await settled();
      await advance(10);
      expect(await refused).toEqual([error.code]);
    }
    expect(runtime.status).toBe('ready');
    expect(events.filter(({ type }) => type === 'circuit')).toEqual([]);
    expect((await runtime.run('1')).status).toBe('ok');
  },
);

it('goes on with the workers of an image while no other boots, and tries that seldom', async () => {
  let boots = 0;
  const boot = ({ image }: { image: string }) => (image === 'data' && ++boots > 1 ? { error: noWheel } : {});
  const { runtime, advance } = warmed({ minWorkers: 0, maxWorkers: 3 }, { boot });
  await runtime.run('1', { image: 'data' });
  const runs = [1, 2, 3, 4].map(() => runtime.run('sleep 3000', { image: 'data' }));
  const ended = outcomes(runs);
  await settled();
  expect(boots).toBe(3);
  await advance(3000);
  expect(boots).toBe(3);
  for (let n = 0; n < 3; n++) await advance(3000);
  expect(await ended).toEqual(runs.map(() => 'ok'));
  expect(boots).toBeGreaterThan(3);
  expect(boots).toBeLessThan(8);
});

it('rejects at once with what is wrong with the packages of its own image', async () => {
  const { runtime } = warmed(
    { size: 2 },
    { boot: ({ image }) => (image === 'own' ? { error: noWheel } : {}) },
  );
  await expect(runtime.run('1')).rejects.toBe(noWheel);
  await expect(runtime.warm()).rejects.toBe(noWheel);
  expect(runtime.engine.starts.length).toBeLessThanOrEqual(2);
  expect(runtime.status).toBe('degraded');
  expect((await runtime.run('1', { image: 'data' })).status).toBe('ok');
});

// ---- finding -------------------------------------------------------------------------------------------------------

it('finds the image before the run waits for a worker, with progress, charged to nothing', async () => {
  const found = Promise.withResolvers<void>();
  const find = vi.fn<ImageFinder['find']>(async (_, { onProgress }) => {
    onProgress({ stage: 'packages', done: 1, total: 2, message: 'numpy' });
    await found.promise;
    return fakeImage('numpy');
  });
  const { runtime, advance } = subject({}, { images: { find } });
  const stages: string[] = [];
  const run = runtime.run('sleep 10', {
    packages: ['numpy'],
    timeoutMs: 100,
    onProgress: ({ stage }) => stages.push(stage),
  });
  await advance(5000);
  expect(runtime.stats()).toMatchObject({ queued: 1, running: 0, workers: [] });
  expect(find.mock.calls[0]?.[0]).toEqual({ packages: ['numpy'] });
  found.resolve();
  await settled();
  await advance(10);
  expect(await run).toMatchObject({
    status: 'ok',
    worker: { image: 'numpy' },
    timings: { queuedMs: 5000, runMs: 10 },
  });
  expect(stages).toEqual(['packages', 'ready']);
});

it('stops finding for a run that is interrupted or was closed', async () => {
  const signals: AbortSignal[] = [];
  const find: ImageFinder['find'] = (_, { signal }) => {
    signals.push(signal);
    return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  };
  const { runtime } = subject({}, { images: { find } });
  const runs = [runtime.run('1', { image: 'a' }), runtime.run('1', { image: 'a' })];
  const ended = outcomes(runs);
  runs[0]?.interrupt();
  expect((await runs[0])?.status).toBe('interrupted');
  await runtime.close();
  expect(await ended).toEqual(['interrupted', 'closed']);
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
});

it('rejects with what finding rejects with', async () => {
  const { runtime } = subject({}, { images: { find: () => Promise.reject(noWheel) } });
  await expect(runtime.run('1', { packages: ['xyz'] })).rejects.toBe(noWheel);
  expect(runtime.stats()).toMatchObject({ queued: 0, rejected: 1, workers: [] });
});

it.each([
  [{ image: 'a', packages: ['b'] }, 'exclude one another'],
  [{ packages: Array.from({ length: 201 }, () => 'x') }, 'more than 200 packages'],
])('refuses %j', async (options, message) => {
  const run = subject().runtime.run('1', options);
  await expect(run).rejects.toThrow(message);
  await expect(run).rejects.toMatchObject({ code: 'usage' });
});

it('refuses ill-typed images and packages, each by its name', async () => {
  const wrong = { image: '', packages: ['a', ' ', 'x'.repeat(1025), 3], figures: 'gif' };
  const run: Promise<unknown> = Reflect.apply(subject().runtime.run, subject().runtime, ['1', wrong]);
  const error = await run.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(TypeError);
  for (const name of ['image must', 'packages[1]', 'packages[2]', 'packages[3]', 'figures must'])
    expect(String(error)).toContain(name);
});

it('takes no packages for the image of the runtime', async () => {
  expect((await warmed({}).runtime.run('1', { packages: [] })).worker.image).toBe('own');
});

it('sends how figures come back', async () => {
  const { runtime } = subject();
  await runtime.run('1');
  await runtime.run('1', { figures: 'svg' });
  expect(runtime.engine.runs.map(({ figures }) => figures)).toEqual(['png', 'svg']);
});

it('has hints added to what Python raised', async () => {
  await using runtime = createFakeRuntime({
    run: ({ code }) => ({ error: { name: code, value: "No module named 'numpy'" } }),
    hint: ({ name, value }, { name: image }) =>
      name === 'ModuleNotFoundError' ? `${value}: not in ${image}` : undefined,
  });
  const missing = await runtime.run('ModuleNotFoundError');
  expect(missing.error?.hint).toBe("No module named 'numpy': not in stdlib");
  expect((await runtime.run('ValueError')).error).not.toHaveProperty('hint');
});

// ---- schedules -----------------------------------------------------------------------------------------------------

const names = ['own', 'a', 'b', 'c'];

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('run' as const),
      code: fc.constantFrom('1', '1', 'sleep 30', 'sleep 150', 'crash', 'hang', 'dirty', 'slow 40'),
      image: fc.constantFrom(...names),
      isolation: fc.constantFrom('rewind' as const, 'rewind' as const, 'process' as const, 'none' as const),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.nat(300) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('interrupt' as const), index: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), index: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('restart' as const, 'warm' as const) }) },
);

const shape = fc.record({
  minWorkers: fc.nat(1),
  maxWorkers: fc.integer({ min: 1, max: 3 }),
  spares: fc.nat(1),
  pool: fc.constantFrom(true, true, true, false),
  boots: fc.array(fc.boolean(), { maxLength: 6 }),
  bootMs: fc.constantFrom(0, 30),
});

it('runs everything on its image, within its places, whatever comes', async () => {
  await fc.assert(
    fc.asyncProperty(shape, fc.array(step, { maxLength: 40 }), async (options, steps) => {
      const { boots, bootMs, ...rest } = options;
      const error = new WorkerError('boot_failed', 'no luck');
      const { runtime, clock, advance } = warmed(
        { ...rest, killGraceMs: 100, healthCheckIntervalMs: 0, idleTimeoutMs: 5000 },
        { boot: ({ attempt }) => ({ delayMs: bootMs, ...(boots[attempt - 1] ? { error } : {}) }) },
      );
      const places = rest.maxWorkers + (rest.pool ? rest.spares : 0);
      const wanted = new Map<string, string>();
      const runs: Run[] = [];
      let ends = 0;
      for (const taken of steps) {
        if (taken.do === 'run') {
          const { code, image, isolation } = taken;
          const run = runtime.run(code, { isolation, timeoutMs: 200, ...(image !== 'own' && { image }) });
          wanted.set(run.id, image);
          run.then(
            () => ends++,
            () => ends++,
          );
          runs.push(run);
        } else if (taken.do === 'advance') await advance(taken.ms);
        else if (taken.do === 'interrupt') runs[taken.index]?.interrupt();
        else if (taken.do === 'die') runtime.engine.alive[taken.index % 4]?.die();
        else runtime[taken.do]().catch(() => undefined);
        await settled();
        expect(runtime.stats().workers.length).toBeLessThanOrEqual(places);
        expect(runtime.stats().running).toBeLessThanOrEqual(rest.maxWorkers);
      }

      // Nothing starves: none of it takes longer than 200 ms and a kill, a backoff and some boots.
      for (let n = 0; n < 40 * 10 && ends < runs.length; n++) await advance(100);
      expect(ends).toBe(runs.length);
      for (const worker of runtime.engine.workers)
        for (const { id } of worker.runs) expect(wanted.get(id)).toBe(worker.image.name);
      const known = ['ok', 'timeout', 'interrupted', 'crashed', 'unavailable', 'boot_failed'];
      for (const outcome of await outcomes(runs)) expect(known).toContain(outcome);

      // Other images are gone when they have idled; its own are back.
      for (let n = 0; n < 12; n++) await advance(10_000);
      const started = runtime.engine.starts.length > 0 && rest.pool;
      const left = runtime.stats().workers.map(({ image }) => image);
      expect(left.every((image) => image === 'own')).toBe(true);
      if (started) expect(left.length).toBeGreaterThanOrEqual(Math.min(rest.minWorkers, rest.maxWorkers));

      const closing = runtime.close();
      await advance(0);
      await closing;
      expect(runtime.engine.alive).toHaveLength(0);
      await advance(20_000);
      expect(clock.pending).toBe(0);
    }),
    { numRuns: 100 },
  );
});

it('lets no image starve another one that keeps all workers busy', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 6 }),
      async (size, late) => {
        const { runtime, advance } = warmed({ size, maxQueue: 1000 }, { boot: () => ({ delayMs: 20 }) });
        runtime.warm();
        await advance(20);
        await advance(20);
        // A flood of the runtime's own runs never ends.
        const flood = () => runtime.run('sleep 50');
        for (let n = 0; n < 2 * size; n++) flood();
        const runs = late.map((image) => runtime.run('sleep 50', { image }));
        const ended = outcomes(runs);
        const ends = new Set<string>();
        for (const run of runs) run.then(() => ends.add(run.id));
        for (let n = 0; n < 200 && ends.size < runs.length; n++) {
          for (let more = 0; more < size; more++) flood();
          await advance(10);
        }
        expect(await ended).toEqual(late.map(() => 'ok'));
        expect(runtime.stats().queued).toBeGreaterThan(0);
      },
    ),
    { numRuns: 30 },
  );
});
