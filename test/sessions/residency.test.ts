import { expect, it, vi } from 'vitest';
import type { Session } from '../../src/session.ts';
import type { FakeRuntime } from '../../src/testing.ts';
import { host, outcomes, over, resultOf, settled, subject, workerOf, world } from './subject.ts';

/** Ids of the sessions that have a worker. */
function residents(sessions: readonly Session[]): string[] {
  return sessions.filter(({ status }) => status === 'resident').map(({ id }) => id);
}

function open(runtime: FakeRuntime, ids: string, tenant?: string): Promise<Session[]> {
  return Promise.all([...ids].map((id) => runtime.session(id, { tenant })));
}

it('runs a resident session where it lies', async () => {
  const { runtime } = subject({ size: 3 });
  const sessions = await open(runtime, 'abc');
  const homes = await Promise.all(sessions.map((session) => workerOf(session.run('set x 1'))));
  expect(new Set(homes).size).toBe(3);
  for (const index of [2, 0, 1, 1, 2, 0])
    expect(await workerOf(sessions[index]?.run('get x') ?? runtime.run('1'))).toBe(homes[index]);
  expect(runtime.stats()).toMatchObject({ thaws: 3, freezes: 0, residents: 3 });
});

it('takes the worker of the one that was used least recently', async () => {
  const { runtime, clock, told } = subject({ size: 3 });
  const sessions = await open(runtime, 'abcde');
  const use = async (id: string) => {
    clock.advance(10);
    await sessions.find((session) => session.id === id)?.run(`set x ${id}`);
  };
  for (const id of 'abca') await use(id);
  await use('d');
  expect(residents(sessions)).toEqual(['a', 'c', 'd']);
  await use('e');
  expect(residents(sessions)).toEqual(['a', 'd', 'e']);
  expect(told('session:freeze')).toMatchObject([
    { session: 'b', reason: 'wanted' },
    { session: 'c', reason: 'wanted' },
  ]);
  for (const id of 'abcde') {
    const session = sessions.find((one) => one.id === id);
    expect(await resultOf(session?.run('get x') ?? runtime.run('1'))).toBe(id);
  }
});

it('takes none as long as there is another worker, or room for one', async () => {
  const { runtime } = subject({ minWorkers: 1, maxWorkers: 3 });
  const sessions = await open(runtime, 'ab');
  for (const session of sessions) await session.run('set x 1');
  for (let n = 0; n < 3; n++) expect((await runtime.run('1')).status).toBe('ok');
  expect(residents(sessions)).toEqual(['a', 'b']);
  expect(runtime.engine.alive).toHaveLength(3);
});

it('gives way to a run, and has its worker back when it needs it', async () => {
  const { runtime, told } = subject({ size: 1 });
  const session = await runtime.session('a');
  const home = await workerOf(session.run('set x 1'));
  const run = await runtime.run('all');
  expect(run).toMatchObject({ value: {}, worker: { id: home } });
  expect(session.status).toBe('frozen');
  expect(await resultOf(session.run('get x'))).toBe('1');
  expect(told('session:thaw')).toHaveLength(2);
  // A worker that was rewound, not another one.
  expect(runtime.engine.starts).toHaveLength(1);
});

it('is never asked in the middle of a call', async () => {
  const here = subject({ size: 1 });
  const { runtime, advance } = here;
  const session = await runtime.session('a');
  const slow = session.run('set x 1\nsleep 100');
  await settled();
  const other = runtime.run('all');
  await advance(50);
  expect(runtime.stats()).toMatchObject({ running: 1, queued: 1 });
  await advance(50);
  expect((await slow).status).toBe('ok');
  expect(await over(here, resultOf(other))).toEqual({});
  expect(await resultOf(session.run('get x'))).toBe('1');
});

it('lets a run that came first go before calls that came later, and not before earlier ones', async () => {
  const order: string[] = [];
  const here = subject(
    { size: 1 },
    {
      run: ({ code }) => {
        order.push(code);
        return { delayMs: 10 };
      },
    },
  );
  const { runtime, clock } = here;
  const session = await runtime.session('a');
  const runs = [session.run('s1')];
  await settled();
  clock.advance(1);
  runs.push(session.run('s2'));
  clock.advance(1);
  runs.push(runtime.run('r1'));
  await settled();
  clock.advance(1);
  runs.push(session.run('s3'), session.run('s4'));
  await over(here, Promise.all(runs));
  expect(order).toEqual(['s1', 's2', 'r1', 's3', 's4']);
});

it('has sessions that share a worker take turns', async () => {
  const here = subject({ size: 1 });
  const sessions = await open(here.runtime, 'abc');
  const order: string[] = [];
  const runs = [];
  for (let round = 0; round < 3; round++)
    for (const session of sessions) {
      here.clock.advance(1);
      runs.push(session.run(`set x ${round}`).then(() => order.push(session.id)));
    }
  await over(here, Promise.all(runs), 1);
  expect(order.join('')).toBe('abcabcabc');
  for (const session of sessions) expect(await resultOf(session.run('get x'))).toBe('2');
});

it('has a tenant wait for no more than one run of another one’s session, however many of them wait', async () => {
  const order: string[] = [];
  const here = subject(
    { size: 1 },
    {
      run: ({ code }) => {
        order.push(code);
        return { delayMs: 10 };
      },
    },
  );
  const { runtime } = here;
  const flood = await runtime.session('flood', { tenant: 'a' });
  const runs = Array.from({ length: 8 }, () => flood.run('a'));
  await settled();
  const other = runtime.run('b', { tenant: 'b' });
  await over(here, other);
  expect(order.indexOf('b')).toBeLessThanOrEqual(2);
  await over(here, Promise.all(runs));
  expect(order.filter((code) => code === 'a')).toHaveLength(8);
});

it('waits in the same lines as runs, with the same limits', async () => {
  const here = subject({ size: 1, maxQueue: 2 });
  const { runtime, advance } = here;
  await runtime.warm();
  const session = await runtime.session('a');
  const first = runtime.run('sleep 100');
  const waiting = session.run('set x 1');
  const also = session.run('set x 2');
  expect(runtime.stats()).toMatchObject({ running: 1, queued: 2 });
  expect(await outcomes([session.run('1'), runtime.run('1')])).toEqual(['queue_full', 'queue_full']);
  await advance(100);
  expect(await over(here, outcomes([first, waiting, also]))).toEqual(['ok', 'ok', 'ok']);
  // A call that is no run counts likewise.
  await session.freeze();
  const more = [runtime.run('sleep 100'), runtime.run('1'), runtime.run('1')];
  await expect(session.files.write('f', 'x')).rejects.toMatchObject({ code: 'queue_full' });
  await advance(100);
  await over(here, Promise.all(more));
  await session.files.write('f', 'x');
});

it('counts its calls among those that run and wait', async () => {
  const { runtime, advance } = subject({ size: 2 });
  const session = await runtime.session('a');
  const runs = [session.run('sleep 100'), session.run('sleep 100')];
  await settled();
  expect(runtime.stats()).toMatchObject({ running: 1, queued: 1, residents: 1, started: 1 });
  await advance(100);
  expect(runtime.stats()).toMatchObject({ started: 1 });
  await vi.waitFor(() => expect(runtime.stats().started).toBe(2));
  await advance(100);
  await Promise.all(runs);
  expect(runtime.stats()).toMatchObject({ running: 0, queued: 0, completed: 2 });
});

it('is replaced for another image only when nothing else will do', async () => {
  const here = subject({ size: 1 });
  const { runtime } = here;
  const session = await runtime.session('a');
  await session.run('set x 1');
  const other = await over(here, runtime.run('all', { image: 'data' }));
  expect(other).toMatchObject({ value: {}, worker: { image: 'data' } });
  expect(session.status).toBe('frozen');
  expect(await over(here, resultOf(session.run('get x')))).toBe('1');
});

it('gives its worker back when nobody has used it for some time', async () => {
  const here = subject({ size: 1, sessions: { idleTimeoutMs: 1000 } });
  const { runtime, advance, told } = here;
  const session = await runtime.session('a', { durability: 'freeze' });
  await session.run('set x 1');
  await settled();
  await advance(900);
  await session.run('set y 1');
  await settled();
  await advance(900);
  expect(session.status).toBe('resident');
  await advance(100);
  await vi.waitFor(() => expect(session.status).toBe('frozen'));
  expect(told('session:freeze')).toMatchObject([{ reason: 'idle' }]);
  expect(session.revision).toBe(2);
  expect(await resultOf(session.run('all'))).toEqual({ x: '1', y: '1' });
});

it.each([
  { obstacle: 'task one', code: 'not_freezable' },
  { obstacle: `set k ${randomText(3000)}`, code: 'session_limit' },
])(
  'keeps a worker that only idles, as long as what is in it can’t be stored ($code)',
  async ({ obstacle, code }) => {
    const here = world({ limits: { maxSessionBytes: 1000 } });
    const { runtime, told } = host(here, { size: 2, sessions: { idleTimeoutMs: 10_000 } });
    const session = await runtime.session('a', { durability: 'freeze', tasks: 'refuse' });
    await session.run('set x 1');
    await session.run(obstacle);
    await settled();
    for (let n = 1; n <= 3; n++) {
      await here.advance(10_000);
      await vi.waitFor(() => expect(told('warning')).toHaveLength(n));
      await settled();
    }
    // Not before it has idled again.
    await here.advance(9999);
    expect(told('warning')).toHaveLength(3);
    expect(session).toMatchObject({ status: 'resident', revision: 2 });
    expect(await resultOf(session.run('get x'))).toBe('1');
    expect(told('session:lost')).toEqual([]);
    await expect(session.freeze()).rejects.toMatchObject({ code });
  },
);

it('moves to a new worker when all are replaced', async () => {
  const here = subject({ size: 2 });
  const { runtime, events } = here;
  const sessions = await open(runtime, 'ab');
  const before = await Promise.all(sessions.map((session) => workerOf(session.run(`set x ${session.id}`))));
  const running = sessions[0]?.run('sleep 50\nset y 1');
  await settled();
  await over(here, runtime.restart());
  expect((await running)?.status).toBe('ok');
  expect(events.filter((event) => event.type === 'worker:restart')).toMatchObject([
    { reason: 'restart' },
    { reason: 'restart' },
  ]);
  const after = await Promise.all(sessions.map((session) => workerOf(session.run('get x'))));
  expect(after.filter((worker) => before.includes(worker))).toEqual([]);
  expect(await resultOf(sessions[0]?.run('all') ?? runtime.run('1'))).toEqual({ x: 'a', y: '1' });
});

it('moves when its worker has run enough', async () => {
  const { runtime, events } = subject({ size: 1, recycle: { maxRequests: 3 } });
  const session = await runtime.session('a');
  const workers: string[] = [];
  for (let n = 0; n < 8; n++) workers.push(await workerOf(session.run(`set x ${n}`)));
  expect(new Set(workers).size).toBe(3);
  expect(await resultOf(session.run('get x'))).toBe('7');
  expect(events.filter((event) => event.type === 'worker:recycle')).toMatchObject([
    { reason: 'requests' },
    { reason: 'requests' },
  ]);
});

it.each([{ isolation: 'process' as const }, { pool: false }])(
  'has a worker of its own with %j',
  async (options) => {
    const here = subject({ size: 1, ...options });
    const { runtime } = here;
    const session = await runtime.session('a');
    const first = await workerOf(session.run('set x 1'));
    expect(await workerOf(session.run('set y 1'))).toBe(first);
    await over(here, runtime.run('1'));
    const second = await over(here, session.run('all'));
    expect(second).toMatchObject({ value: { x: '1', y: '1' } });
    expect(second.worker.id).not.toBe(first);
    for (const { runs } of runtime.engine.workers)
      expect(new Set(runs.map(({ after }) => after === 'hold')).size).toBeLessThanOrEqual(1);
  },
);

it('is watched while it idles: a worker that doesn’t answer is lost, and nothing that was told', async () => {
  const silent = new Set<string>();
  const here = subject({ size: 1, healthCheckIntervalMs: 0 }, { ping: (worker) => !silent.has(worker) });
  const { runtime } = here;
  const session = await runtime.session('a');
  const worker = await workerOf(session.run('set x 1'));
  silent.add(worker);
  expect(await over(here, runtime.healthCheckAll())).toMatchObject([{ worker, healthy: false }]);
  expect(session).toMatchObject({ status: 'frozen', revision: 1 });
  expect(await resultOf(session.run('get x'))).toBe('1');
});

it('is watched while it is frozen and thawed: what hangs is ended', async () => {
  let hangs: 'freeze' | 'thaw' | undefined = 'freeze';
  const work = ({ what }: { what: string }) => (what === hangs ? { delayMs: Infinity } : {});
  const here = subject({ size: 1, healthCheckIntervalMs: 0 }, { work });
  const { runtime } = here;
  const session = await runtime.session('a');
  await expect(over(here, session.run('set x 1').then(), 5000)).rejects.toMatchObject({
    code: 'crashed',
    message: expect.stringMatching(/Freezing a session took .* killed.* back at revision 0\./),
  });
  hangs = undefined;
  await session.run('set x 1');
  await session.freeze();
  hangs = 'thaw';
  await expect(over(here, session.run('get x').then(), 5000)).rejects.toMatchObject({ code: 'crashed' });
  hangs = undefined;
  expect(await resultOf(session.run('get x'))).toBe('1');
});

it('is ended when it can’t be rewound', async () => {
  const here = subject(
    { size: 1 },
    { work: ({ what }) => (what === 'rewind' ? { error: new Error('a library was loaded') } : {}) },
  );
  const { runtime, events } = here;
  const session = await runtime.session('a');
  const first = await workerOf(session.run('set x 1'));
  await session.freeze();
  expect(await workerOf(runtime.run('1'))).not.toBe(first);
  expect(events.filter((event) => event.type === 'worker:restart')).toMatchObject([{ reason: 'dirty' }]);
});

function randomText(length: number): string {
  return Array.from({ length }, () => String.fromCharCode(33 + Math.floor(Math.random() * 90))).join('');
}
