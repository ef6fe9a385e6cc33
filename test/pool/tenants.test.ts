import { describe, expect, it, vi } from 'vitest';
import type { Run, RuntimeEvent, WorkerStats } from '../../src/runtime.ts';
import { createFakeRuntime, fakeImage } from '../../src/testing.ts';
import { outcomes, type Subject, settled, subject, workerOf } from './subject.ts';

const tenants = ({ runtime }: Subject) => runtime.stats().workers.map(({ tenant }) => tenant);
const recycled = ({ events }: Subject) =>
  events.flatMap((event) => (event.type === 'worker:recycle' ? [event.reason] : []));
const as = (tenant: string) => ({ tenant });

async function warmed(...given: Parameters<typeof subject>): Promise<Subject> {
  const made = subject(...given);
  await made.runtime.warm();
  await settled();
  return made;
}

// ---- one worker, one tenant ----------------------------------------------------------------------------------------

it('replaces a worker before another tenant’s code enters it', async () => {
  const it = await warmed({ size: 1 });
  expect(tenants(it)).toEqual([undefined]);
  const a = await workerOf(it.runtime.run('1', as('a')));
  expect(await workerOf(it.runtime.run('1', as('a')))).toBe(a);
  expect(tenants(it)).toEqual(['a']);
  expect(await workerOf(it.runtime.run('1', as('b')))).not.toBe(a);
  expect(tenants(it)).toEqual(['b']);
  expect(recycled(it)).toEqual(['tenant']);
  expect(it.runtime.stats()).toMatchObject({ recycled: 1, restarts: 0 });
  expect(it.runtime.engine.alive).toHaveLength(1);
});

it('takes runs without a tenant for those of one more, the runtime’s own', async () => {
  const it = await warmed({ size: 1 });
  const own = await workerOf(it.runtime.run('1'));
  expect(await workerOf(it.runtime.run('1', { tenant: undefined }))).toBe(own);
  expect(tenants(it)).toEqual(['']);
  expect(await workerOf(it.runtime.run('1', as('a')))).not.toBe(own);
  expect(await workerOf(it.runtime.run('1'))).not.toBe(own);
  expect(recycled(it)).toEqual(['tenant', 'tenant']);
});

it.each(['rewind', 'none'] as const)(
  'never shows one tenant the worker of another under %s',
  async (isolation) => {
    const { runtime } = await warmed({ size: 2, isolation });
    const seen = new Map<string, Set<string>>();
    for (const tenant of ['a', 'b', 'c', 'a', 'c', 'b', 'a']) {
      const worker = await workerOf(runtime.run('1', as(tenant)));
      seen.set(worker, (seen.get(worker) ?? new Set()).add(tenant));
    }
    expect([...seen.values()].every((of) => of.size === 1)).toBe(true);
  },
);

it('keeps the state of isolation none for its tenant', async () => {
  const { runtime } = await warmed({ size: 2, isolation: 'none' });
  const [a, b] = [await workerOf(runtime.run('1', as('a'))), await workerOf(runtime.run('1', as('b')))];
  expect(a).not.toBe(b);
  for (let n = 0; n < 3; n++) {
    expect(await workerOf(runtime.run('1', as('a')))).toBe(a);
    expect(await workerOf(runtime.run('1', as('b')))).toBe(b);
  }
});

it('tells neither the worker nor the caller’s code of tenants, but the operator', async () => {
  const told: RuntimeEvent[] = [];
  const logger = { info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  const it = await warmed({ size: 1, maxQueue: 1, logger });
  it.runtime.subscribe((event) => told.push(event));
  const runs = ['sleep 10', 'crash', '1'].map((code) => it.runtime.run(code, as('secret-name')));
  const ended = Promise.allSettled(runs);
  await it.advance(10);
  await settled();
  await ended;
  const results = (await ended).map((end) => (end.status === 'fulfilled' ? end.value : String(end.reason)));
  expect(results[2]).toContain('The queue is full');
  expect(JSON.stringify([results, it.runtime.engine.runs, told, logger.warn.mock.calls])).not.toContain(
    'secret',
  );
  await it.runtime.run('1', as('secret-name'));
  const { workers } = it.runtime.stats();
  expect(workers.map(({ tenant }: WorkerStats) => tenant)).toEqual(['secret-name']);
});

it.each(['', 'x'.repeat(1025), 3, null])('refuses %j for a tenant', async (tenant) => {
  const { runtime } = subject();
  const run: Promise<unknown> = Reflect.apply(runtime.run, runtime, ['1', { tenant }]);
  await expect(run).rejects.toThrow(/run: tenant must be a name of 1 to 1024 characters/);
});

it('takes any text for a name, and none for another', async () => {
  const { runtime } = await warmed({ size: 3 });
  const names = ['__proto__', 'a","b', 'a', '\0', 'Ä', 'A\u0308', 'x'.repeat(1024)];
  for (const image of [undefined, 'a', 'b","a']) {
    const workers = new Set<string>();
    for (const tenant of names) workers.add(await workerOf(runtime.run('1', { tenant, image })));
    expect(workers.size).toBe(names.length);
  }
});

// ---- churn ---------------------------------------------------------------------------------------------------------

describe('replaces no more workers than it must', () => {
  it('none when there are as many as tenants', async () => {
    const it = await warmed({ size: 2 });
    for (const tenant of ['a', 'a', 'b', 'a', 'b', 'b', 'a']) {
      await it.runtime.run('1', as(tenant));
      await it.runtime.run('slow 5', as(tenant));
      await it.advance(5);
    }
    expect(it.runtime.engine.starts).toHaveLength(2);
  });

  it('one for each change when there is one', async () => {
    const it = await warmed({ size: 1 });
    for (const tenant of ['a', 'b', 'a', 'b']) await it.runtime.run('1', as(tenant));
    expect(recycled(it)).toEqual(['tenant', 'tenant', 'tenant']);
    expect(it.runtime.engine.starts).toHaveLength(4);
  });

  it('the one that was used least recently', async () => {
    const it = await warmed({ size: 3 });
    const of = new Map<string, string>();
    for (const tenant of ['a', 'b', 'c', 'a']) {
      of.set(tenant, await workerOf(it.runtime.run('1', as(tenant))));
      await it.advance(1);
    }
    await it.runtime.run('1', as('d'));
    expect(it.events).toContainEqual(
      expect.objectContaining({ type: 'worker:recycle', worker: of.get('b'), reason: 'tenant' }),
    );
    expect(tenants(it).sort()).toEqual(['a', 'c', 'd']);
  });

  it('grows first where it may', async () => {
    const it = await warmed({ minWorkers: 1, maxWorkers: 2 });
    await it.runtime.run('1', as('a'));
    await it.runtime.run('1', as('b'));
    expect(tenants(it)).toEqual(['a', 'b']);
    expect(recycled(it)).toEqual([]);
  });

  it('leaves a fresh worker to each of those who wait for one', async () => {
    const it = await warmed({ size: 3 }, { boot: ({ attempt }) => ({ delayMs: attempt > 3 ? 100 : 0 }) });
    for (const tenant of ['a', 'b', 'c']) await it.runtime.run('1', as(tenant));
    const long = it.runtime.run('sleep 1000', as('a'));
    const runs = ['d', 'e', 'f'].map((tenant) => it.runtime.run('sleep 1000', as(tenant)));
    await settled();
    // Two idle workers gave way, for two of the three: not one that all of them wait for.
    expect(it.runtime.engine.starts).toHaveLength(5);
    await it.advance(100);
    expect(it.runtime.stats()).toMatchObject({ running: 3, queued: 1 });
    for (let n = 0; n < 3; n++) await it.advance(1000);
    expect(await outcomes([long, ...runs])).toEqual(['ok', 'ok', 'ok', 'ok']);
  });
});

it('keeps the number that is to be kept, whoever the workers serve, and ends what idles beyond', async () => {
  const it = await warmed({ minWorkers: 1, maxWorkers: 3, idleTimeoutMs: 1000 });
  await Promise.all(['a', 'b', 'c'].map((tenant) => it.runtime.run('1', as(tenant))));
  expect(tenants(it)).toEqual(['a', 'b', 'c']);
  await it.advance(1000);
  await it.advance(0);
  expect(tenants(it)).toHaveLength(1);
  await it.advance(60_000);
  expect(tenants(it)).toHaveLength(1);
});

it('has spares stand by for a change of tenant, and boots the next one meanwhile', async () => {
  const it = await warmed(
    { size: 1, spares: 1 },
    { boot: ({ attempt }) => ({ delayMs: attempt > 2 ? 100 : 0 }) },
  );
  await it.runtime.run('1', as('a'));
  for (const tenant of ['b', 'a', 'c']) {
    expect((await it.runtime.run('1', as(tenant))).timings).toMatchObject({ queuedMs: 0, restoreMs: 0 });
    await settled();
    expect(tenants(it)).toEqual([tenant, undefined]);
    await it.advance(100);
  }
});

it('has nothing that a tenant used stand by', async () => {
  const it = await warmed({ size: 1, spares: 1 });
  const used = await workerOf(it.runtime.run('1', as('a')));
  // A spare runs it in the place of the used worker.
  const fresh = it.runtime.run('sleep 100', { isolation: 'process', tenant: 'a' });
  const other = it.runtime.run('1', as('b'));
  await settled();
  expect(tenants(it)).toEqual(['a', undefined]);
  await it.advance(100);
  expect(await workerOf(fresh)).not.toBe(used);
  expect(await workerOf(other)).not.toBe(used);
  await it.advance(0);
  expect(tenants(it)).toEqual(['b', undefined]);
});

it('boots the successor of a worker at its last run for anybody', async () => {
  const it = await warmed({ size: 1, recycle: { maxRequests: 1 } });
  const last = it.runtime.run('sleep 10', as('a'));
  await settled();
  expect(tenants(it)).toEqual(['a', undefined]);
  const next = it.runtime.run('1', as('b'));
  await it.advance(10);
  await last;
  expect((await next).timings.restoreMs).toBe(0);
  expect(recycled(it)).toEqual(['requests', 'requests']);
});

it('gives a worker of another image, too, to a tenant that has none', async () => {
  const it = await warmed({ size: 2 }, { image: fakeImage('own') });
  await it.runtime.run('1', as('a'));
  await it.advance(1);
  await it.runtime.run('1', { tenant: 'a', image: 'data' });
  await it.advance(1);
  await it.runtime.run('1', { tenant: 'b', image: 'data' });
  expect(it.runtime.stats().workers.map(({ image, tenant }) => `${image}:${tenant}`)).toEqual([
    'data:a',
    'data:b',
  ]);
  expect(recycled(it)).toEqual(['image', 'image']);
});

it('rejects a run whose worker can’t be booted, though another tenant has one', async () => {
  let boots = 0;
  const error = new Error('no memory');
  const boot = ({ image }: { image: string }) => (image === 'data' && ++boots > 1 ? { error } : {});
  const it = await warmed({ size: 2 }, { boot, image: fakeImage('own') });
  await it.runtime.run('1', { tenant: 'a', image: 'data' });
  await expect(it.runtime.run('1', { tenant: 'b', image: 'data' })).rejects.toBe(error);
  expect((await it.runtime.run('1', { tenant: 'a', image: 'data' })).status).toBe('ok');
});

it('refuses, during an outage, those only for whom there is no worker', async () => {
  let broken = false;
  const boot = () => (broken ? { error: new Error('no memory') } : {});
  const it = await warmed({ size: 2 }, { boot });
  await it.runtime.run('1', as('a'));
  const busy = it.runtime.run('sleep 4000', as('a'));
  broken = true;
  it.runtime.engine.alive.find(({ runs }) => runs.length === 0)?.die();
  for (let n = 0; n < 10; n++) await it.advance(300);
  expect(it.runtime.status).toBe('degraded');
  await expect(it.runtime.run('1', as('b'))).rejects.toMatchObject({ code: 'unavailable' });
  const waits = it.runtime.run('1', as('a'));
  await it.advance(1000);
  expect(await outcomes([busy, waits])).toEqual(['ok', 'ok']);
});

it('needs no tenants without a pool: each run has a worker of its own', async () => {
  const it = subject({ pool: false, size: 1 });
  const runs = ['a', 'b', 'a'].map((tenant) => it.runtime.run('1', as(tenant)));
  expect(await outcomes(runs)).toEqual(['ok', 'ok', 'ok']);
  await settled();
  expect(it.runtime.engine.workers.map(({ runs }) => runs.length)).toEqual([1, 1, 1]);
});

// ---- turns ---------------------------------------------------------------------------------------------------------

/** The tenants of the runs in the order in which they started. */
function starts() {
  const order: string[] = [];
  const run = ({ code }: { code: string }) => {
    order.push(code);
    return { delayMs: 100 };
  };
  return { order, run };
}

async function until(it: Subject, runs: readonly Run[]): Promise<void> {
  let ended = 0;
  for (const run of runs) run.then(() => ended++);
  for (let n = 0; n < 200 && ended < runs.length; n++) await it.advance(100);
  expect(ended).toBe(runs.length);
}

describe('a flood of one tenant', () => {
  it('is held up by a run of another one, and not the other way round', async () => {
    const { order, run } = starts();
    const it = await warmed({ size: 1 }, { run });
    const flood = Array.from({ length: 10 }, () => it.runtime.run('a', as('a')));
    await settled();
    const one = it.runtime.run('b', as('b'));
    await until(it, [...flood, one]);
    expect(order.slice(0, 3)).toEqual(['a', 'b', 'a']);
    // What the run before it takes, and no more.
    expect((await one).timings.queuedMs).toBe(100);
  });

  it('leaves each of the others one turn in each round', async () => {
    const { order, run } = starts();
    const it = await warmed({ size: 1 }, { run });
    const runs = 'aaaaaaabbbccd'.split('').map((name) => it.runtime.run(name, as(name)));
    await until(it, runs);
    expect(order.join('')).toBe('abcdabcabaaaa');
  });

  it('leaves others their part of workers that are all free', async () => {
    const { order, run } = starts();
    const it = subject({ size: 3 }, { run, boot: () => ({ delayMs: 20 }) });
    const runs = 'aaaabbbb'.split('').map((name) => it.runtime.run(name, as(name)));
    await it.advance(20);
    expect(order.join('')).toBe('aba');
    await until(it, runs);
  });

  it('leaves the order within a tenant as it was, whatever the images', async () => {
    const order: string[] = [];
    const run = ({ code, image }: { code: string; image: string }) => {
      order.push(`${code}:${image}`);
      return { delayMs: 100 };
    };
    const it = await warmed({ size: 1 }, { run, image: fakeImage('own') });
    const runs = [
      it.runtime.run('1', as('a')),
      it.runtime.run('2', as('a')),
      it.runtime.run('3', { tenant: 'a', image: 'data' }),
    ];
    await settled();
    runs.push(it.runtime.run('4', as('a')));
    await until(it, runs);
    expect(order).toEqual(['1:own', '2:own', '3:data', '4:own']);
  });

  it('costs others at most one of its runs each, also when each run has a worker of its own', async () => {
    const { order, run } = starts();
    const it = await warmed({ size: 2, isolation: 'process', spares: 0 }, { run });
    const runs = Array.from({ length: 8 }, () => it.runtime.run('a', as('a')));
    await settled();
    runs.push(it.runtime.run('b', as('b')));
    await until(it, runs);
    expect(order.indexOf('b')).toBe(2);
  });

  it('shares workers evenly after a while', async () => {
    const it = await warmed({ size: 4, maxQueue: 1000 });
    const runs = (name: string) => Array.from({ length: 100 }, () => it.runtime.run('sleep 100', as(name)));
    runs('a');
    await settled();
    runs('b');
    for (let n = 0; n < 15; n++) await it.advance(100);
    expect(tenants(it).sort()).toEqual(['a', 'a', 'b', 'b']);
    const { length } = it.runtime.engine.starts;
    for (let n = 0; n < 20; n++) await it.advance(100);
    expect(it.runtime.engine.starts).toHaveLength(length);
  });

  it('does not fill the queue for others', async () => {
    const it = await warmed({ size: 1, maxQueue: 2 });
    const flood = outcomes(Array.from({ length: 5 }, () => it.runtime.run('sleep 10', as('a'))));
    const others = outcomes(['b', 'c', 'd', 'b'].map((tenant) => it.runtime.run('sleep 10', as(tenant))));
    expect(it.runtime.stats().queued + it.runtime.stats().running).toBe(5);
    for (let n = 0; n < 8; n++) await it.advance(10);
    expect(await flood).toEqual(['ok', 'ok', 'ok', 'queue_full', 'queue_full']);
    expect(await others).toEqual(['ok', 'ok', 'queue_full', 'queue_full']);
  });
});

it('says when a full queue may have moved up', async () => {
  const it = await warmed({ size: 2, maxQueue: 4 });
  const fill = () => Array.from({ length: 6 }, () => it.runtime.run('sleep 30'));
  const first = fill();
  await expect(it.runtime.run('1')).rejects.not.toHaveProperty('details.retryAfterMs');
  await until(it, first);
  const second = fill();
  await expect(it.runtime.run('1')).rejects.toMatchObject({ details: { waiting: 4, retryAfterMs: 60 } });
  await until(it, second);
});

it('stays quick with a thousand tenants', async () => {
  await using runtime = createFakeRuntime({ options: { size: 2, maxQueue: 2000 } });
  const runs = Array.from({ length: 1000 }, (_, n) => runtime.run('1', as(`t${n}`)));
  expect(new Set(await outcomes(runs))).toEqual(new Set(['ok']));
  expect(runtime.engine.workers.every(({ runs: taken }) => taken.length === 1)).toBe(true);
});
