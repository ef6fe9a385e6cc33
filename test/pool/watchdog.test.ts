import { describe, expect, it } from 'vitest';
import type { FakeScript, Usage } from '../../src/testing.ts';
import { type Subject, settled, subject, usual } from './subject.ts';

const MiB = 2 ** 20;
const maxResidentBytes = 300 * MiB;

/** A pool whose workers use what `usage` says by then, and how often it was asked. */
async function watched(usage: () => Usage | null, script: FakeScript = {}) {
  const asked: string[] = [];
  const made = subject(
    { size: 1, maxResidentBytes, healthCheckIntervalMs: 0, spares: 0 },
    {
      ...script,
      usage: (worker) => {
        asked.push(worker);
        return usage();
      },
    },
  );
  await made.runtime.warm();
  return { ...made, asked };
}

/** In steps as small as the watchdog's. */
async function pass({ advance }: Subject, ms: number): Promise<void> {
  for (let n = 0; n < ms; n += 5) await advance(5);
}

const restarts = ({ events }: Subject) =>
  events.flatMap((event) => (event.type === 'worker:restart' ? [event] : []));

// ---- memory --------------------------------------------------------------------------------------------------------

describe('a worker that holds more memory than it may', () => {
  it('is killed within 25 ms, and its run is out of memory', async () => {
    let residentBytes = 100 * MiB;
    const it = await watched(() => ({ residentBytes, cpuMs: 0 }));
    const run = it.runtime.run('sleep 1000');
    await pass(it, 100);
    expect(it.runtime.stats().running).toBe(1);
    residentBytes = maxResidentBytes;
    await pass(it, 100);
    expect(it.runtime.stats().running).toBe(1);
    residentBytes = 812.5 * MiB;
    await pass(it, 25);
    const execution = await run;
    expect(execution).toMatchObject({ status: 'oom', worker: { lost: true }, timings: { totalMs: 225 } });
    const { error } = execution;
    expect(error?.name).toBe('MemoryLimit');
    for (const part of ['The code', '813 MiB', '300 MiB', 'lost', 'maxResidentBytes'])
      expect(error?.message).toContain(part);
    expect(() => execution.unwrap()).toThrow(expect.objectContaining({ name: 'LimitError', code: 'memory' }));
    expect(restarts(it)).toMatchObject([{ reason: 'memory', error: { code: 'memory' } }]);
    expect(it.runtime.stats()).toMatchObject({ failed: 1, crashes: 0, restarts: 1 });
    residentBytes = 0;
    const next = await it.runtime.run('1');
    expect(next.status).toBe('ok');
    expect(next.worker.id).not.toBe(execution.worker.id);
  });

  it('is killed while it rewinds, too; its run has ended well', async () => {
    let residentBytes = 0;
    const it = await watched(() => ({ residentBytes, cpuMs: 0 }));
    expect((await it.runtime.run('slow 5000')).status).toBe('ok');
    await pass(it, 50);
    residentBytes = 301 * MiB;
    await pass(it, 25);
    expect(restarts(it)).toMatchObject([{ reason: 'memory' }]);
    residentBytes = 0;
    expect((await it.runtime.run('1')).status).toBe('ok');
  });

  it('is found by a health check when it idles', async () => {
    let residentBytes = 0;
    const it = await watched(() => ({ residentBytes, cpuMs: 0 }));
    await it.runtime.run('1');
    expect(await it.runtime.healthCheckAll()).toMatchObject([{ healthy: true }]);
    residentBytes = 301 * MiB;
    expect(await it.runtime.healthCheckAll()).toMatchObject([{ healthy: false }]);
    expect(restarts(it)).toMatchObject([{ reason: 'memory' }]);
    residentBytes = 0;
    await settled();
    expect(it.runtime.engine.alive).toHaveLength(1);
  });
});

it('is replaced after a while only when it held that much before its first run', async () => {
  const it = await watched(() => ({ residentBytes: 301 * MiB, cpuMs: 0 }));
  await it.runtime.healthCheckAll();
  await settled();
  expect(restarts(it)).toMatchObject([{ reason: 'memory' }]);
  await it.advance(99);
  expect(it.runtime.engine.starts).toHaveLength(1);
  await it.advance(1);
  expect(it.runtime.engine.starts).toHaveLength(2);
});

it('is told as one without memory when the system ended it, idle or not', async () => {
  const it = await watched(() => null);
  await it.runtime.run('1');
  it.runtime.engine.alive[0]?.die('too much', { outOfMemory: true });
  await settled();
  expect(restarts(it)).toMatchObject([{ reason: 'memory', error: { code: 'memory', message: 'too much' } }]);
  const run = it.runtime.run('sleep 100');
  await settled();
  it.runtime.engine.alive[0]?.die('too much', { outOfMemory: true });
  expect((await run).status).toBe('oom');
});

// ---- when it looks -------------------------------------------------------------------------------------------------

it('asks nothing of runs that are short, nor of workers that have not run any', async () => {
  const it = await watched(() => ({ residentBytes: 0, cpuMs: 0 }));
  await pass(it, 3000);
  for (let n = 0; n < 5; n++) {
    const run = it.runtime.run('sleep 20');
    await pass(it, 20);
    await run;
    await pass(it, 400);
  }
  expect(it.asked).toEqual([]);
  expect(it.clock.pending).toBe(1);
});

it('asks one after another, and no more when a run has ended', async () => {
  const answers: PromiseWithResolvers<void>[] = [];
  const it = await watched(() => ({ residentBytes: 0, cpuMs: 0 }));
  const [worker] = it.runtime.engine.workers;
  if (!worker) throw new Error('no worker');
  const { usage } = worker;
  worker.usage = async () => {
    const answer = Promise.withResolvers<void>();
    answers.push(answer);
    await answer.promise;
    return usage.call(worker);
  };
  const run = it.runtime.run('sleep 200');
  await pass(it, 100);
  expect(answers).toHaveLength(1);
  answers[0]?.resolve();
  await pass(it, 50);
  expect(answers).toHaveLength(2);
  await pass(it, 50);
  expect((await run).status).toBe('ok');
  answers[1]?.resolve();
  await pass(it, 200);
  expect(answers).toHaveLength(2);
});

it('does without where a place can’t tell, and goes on where it didn’t answer once', async () => {
  const blind = await watched(() => null);
  const run = blind.runtime.run('sleep 500');
  await pass(blind, 500);
  expect((await run).status).toBe('ok');
  expect(blind.asked).toHaveLength(1);

  let left = 3;
  const deaf = await watched(() => {
    if (left-- > 0) throw new Error('no answer');
    return { residentBytes: 301 * MiB, cpuMs: 0 };
  });
  const killed = deaf.runtime.run('sleep 500');
  await pass(deaf, 100);
  expect((await killed).status).toBe('oom');
});

// ---- while it idles ------------------------------------------------------------------------------------------------

describe('a worker that says its run has ended', () => {
  it('is looked at soon, then slowly, without end', async () => {
    const it = await watched(() => ({ residentBytes: 0, cpuMs: 0 }));
    await it.runtime.run('1');
    await pass(it, 495);
    expect(it.asked).toHaveLength(0);
    await pass(it, 5);
    expect(it.asked).toHaveLength(1);
    await pass(it, 15_000);
    expect(it.asked).toHaveLength(11);
    expect(restarts(it)).toEqual([]);
    await it.runtime.close();
    expect(it.clock.pending).toBe(0);
  });

  it('is killed when it goes on', async () => {
    const it = await watched(() => ({ residentBytes: 0, cpuMs: it.clock.now() }));
    await it.runtime.run('1');
    await pass(it, 1995);
    expect(restarts(it)).toEqual([]);
    await pass(it, 5);
    expect(restarts(it)).toMatchObject([{ reason: 'unhealthy', error: { code: 'crashed' } }]);
    expect((await it.runtime.run('1')).status).toBe('ok');
  });

  it('may tidy up, at once and now and then', async () => {
    // 400 ms at once, then a tenth of a processor.
    const it = await watched(() => ({ residentBytes: 0, cpuMs: 400 + it.clock.now() / 10 }));
    await it.runtime.run('1');
    await pass(it, 15_000);
    expect(restarts(it)).toEqual([]);
  });

  it('is killed when it holds too much', async () => {
    let residentBytes = 0;
    const it = await watched(() => ({ residentBytes, cpuMs: 0 }));
    await it.runtime.run('1');
    residentBytes = 301 * MiB;
    await pass(it, 500);
    expect(restarts(it)).toMatchObject([{ reason: 'memory' }]);
  });
});

// ---- processor time ------------------------------------------------------------------------------------------------

/** Uses so many processors from the start of the test on, after what it used before. */
async function busy(processors: number) {
  const it = await watched(() => ({ residentBytes: 0, cpuMs: 7000 + processors * it.clock.now() }), {
    run: (run) => ({ ...usual.run?.(run), forgetsDeadline: true }),
  });
  return it;
}

describe('a worker whose processor time the kernel no longer counts', () => {
  it('is killed when it used twice as much as it may, and a second', async () => {
    const it = await busy(1);
    const run = it.runtime.run('sleep 60000', { cpuMs: 500 });
    await pass(it, 2000);
    expect(it.runtime.stats().running).toBe(1);
    await pass(it, 100);
    const execution = await run;
    expect(execution).toMatchObject({ status: 'timeout', worker: { lost: true } });
    expect(execution.error?.value).toMatch(/^Used more than 500 ms of processor time\. .* was killed\.$/);
    expect(restarts(it)).toMatchObject([{ reason: 'timeout' }]);
  });

  it('is left alone without a limit, and when it has ended', async () => {
    const it = await busy(10);
    const free = it.runtime.run('sleep 5000');
    await pass(it, 5000);
    expect((await free).status).toBe('ok');
    const late = it.runtime.run('slow 5000', { cpuMs: 1 });
    expect((await late).status).toBe('ok');
    await pass(it, 5000);
    expect(restarts(it)).toEqual([]);
  });

  it('may take the time that unpacking what it installed takes', async () => {
    const wheel = new Uint8Array(4096 * 1000);
    const install = async () => ({ packages: [], wheels: [wheel] });
    const question = { kind: 'install' as const, requirements: ['six'] };
    const usage = () => ({ residentBytes: 0, cpuMs: clock.now() });
    const { runtime, clock, ...rest } = subject(
      { size: 1, healthCheckIntervalMs: 0 },
      { usage, run: () => ({ asks: [{ question }], delayMs: 60_000 }), installer: { install } },
    );
    await runtime.warm();
    const run = runtime.run('x', { cpuMs: 500 });
    await pass({ runtime, clock, ...rest }, 4000);
    expect(runtime.stats().running).toBe(1);
    await pass({ runtime, clock, ...rest }, 100);
    expect((await run).status).toBe('timeout');
  });
});
