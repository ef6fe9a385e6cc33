import { describe, expect, it } from 'vitest';
import { host, outcomes, over, resultOf, settled, subject, world } from './subject.ts';

describe.each(['run', 'freeze'] as const)('with durability %s', (durability) => {
  const stored = durability === 'run' ? 2 : 1;
  /** A session at revision 2, of which the store has 2 or 1. */
  async function at2(more: Parameters<typeof host>[2] = {}, options: Parameters<typeof host>[1] = {}) {
    const here = world();
    const one = host(here, options, more);
    const session = await one.runtime.session('a', { durability });
    await session.run('set x 1');
    await session.freeze();
    await session.run('set x 2');
    return { ...here, ...one, here, session };
  }

  it('a run whose worker dies leaves the session at the revision before, and says so', async () => {
    const { runtime, session, told } = await at2();
    const execution = await session.run('set x 3\ncrash');
    expect(execution).toMatchObject({
      status: 'crashed',
      worker: { lost: true },
      session: { id: 'a', revision: stored },
      error: {
        name: 'WorkerCrashed',
        value: expect.stringMatching(`The session is back at revision ${stored}\\.$`),
      },
    });
    expect(() => execution.unwrap()).toThrow(`back at revision ${stored}`);
    expect(session).toMatchObject({ revision: stored, status: 'frozen' });
    expect(told('session:lost')).toMatchObject([{ session: 'a', revision: stored }]);
    expect(await resultOf(session.run('get x'))).toBe(String(stored));
    expect(runtime.stats()).toMatchObject({ crashes: 1 });
  });

  it('so does one that has to be killed', async () => {
    const { session, here } = await at2({}, { killGraceMs: 100 });
    const run = session.run('set x 3\nhang', { timeoutMs: 1000 });
    const execution = await over(here, run.then(), 100);
    expect(execution).toMatchObject({
      status: 'timeout',
      worker: { lost: true },
      session: { revision: stored },
      error: { value: expect.stringMatching(/Timed out after 1000 ms\..* The session is back at revision/) },
    });
    expect(await resultOf(session.run('get x'))).toBe(String(stored));
  });

  it('one that could be interrupted counts', async () => {
    const { session, here } = await at2();
    const execution = await over(here, session.run('set x 3\nsleep 2000', { timeoutMs: 1000 }).then(), 100);
    expect(execution).toMatchObject({ status: 'timeout', worker: { lost: false }, session: { revision: 3 } });
    expect(execution.error?.value).not.toContain('back at');
    expect(await resultOf(session.run('get x'))).toBe('3');
  });

  it('a worker that dies while nobody calls loses what wasn’t promised, and the next call says so', async () => {
    const { session, runtime, told } = await at2();
    runtime.engine.alive[0]?.die();
    await settled();
    expect(session).toMatchObject({ revision: stored, status: 'frozen' });
    if (durability === 'freeze') {
      await expect(session.run('get x')).rejects.toMatchObject({
        code: 'crashed',
        message: expect.stringMatching(/The session is back at revision 1\./),
        details: { revision: 1 },
      });
      expect(told('session:lost')).toHaveLength(1);
    }
    expect(await resultOf(session.run('get x'))).toBe(String(stored));
  });

  it('a kernel that is dirty after a run is lost, too', async () => {
    const { session } = await at2();
    const run = session.run('set x 3\ndirty');
    if (durability === 'run')
      await expect(run).rejects.toMatchObject({ message: expect.stringMatching(/back at revision 2\./) });
    else {
      // It was told as done, which promises nothing.
      expect((await run).status).toBe('ok');
      await settled();
      await expect(session.run('1')).rejects.toMatchObject({
        message: expect.stringMatching(/at revision 1\./),
      });
    }
    expect(await resultOf(session.run('get x'))).toBe(String(stored));
  });

  it('after the end of its host it is at what was promised', async () => {
    const { here, runtime, session } = await at2();
    for (const worker of runtime.engine.alive) worker.die();
    await settled();
    // The host is gone: its lease runs out.
    here.store.out = true;
    here.clock.advance(15_000);
    here.store.out = false;
    expect(session.revision).toBe(stored);
    const next = await host(here).runtime.session('a');
    expect(next.revision).toBe(stored);
    expect(await resultOf(next.run('get x'))).toBe(String(stored));
  });
});

describe('what is promised is stored before it is told', () => {
  it('a worker that dies in a freeze', async () => {
    let dies = false;
    const here = subject({}, { work: ({ what }) => (dies && what === 'freeze' ? { crash: true } : {}) });
    const session = await here.runtime.session('a');
    await session.run('set x 1');
    dies = true;
    await expect(session.run('set x 2')).rejects.toMatchObject({
      code: 'crashed',
      retryable: true,
      message: expect.stringMatching(/The session is back at revision 1\./),
    });
    dies = false;
    expect(session.revision).toBe(1);
    expect(await resultOf(session.run('get x'))).toBe('1');
  });

  it.each([
    [1, 'ok'],
    [9, 'crashed'],
  ])('workers that die in a thaw, %i times', async (times, outcome) => {
    let left = 0;
    const work = ({ what }: { what: string }) => (what === 'thaw' && left-- > 0 ? { crash: true } : {});
    const here = subject({}, { work });
    const session = await here.runtime.session('a');
    await session.run('set x 1');
    await session.freeze();
    left = times;
    expect(await over(here, outcomes([session.run('get x')]))).toEqual([outcome]);
    left = 0;
    expect(session.revision).toBe(1);
    expect(await over(here, resultOf(session.run('get x')))).toBe('1');
  });

  it.each([
    ['early', '1', /The session is back at revision 1\./],
    ['late', '2', /out of reach/],
  ] as const)('a store that fails %s in a save', async (fault, value, message) => {
    const here = subject();
    const session = await here.runtime.session('a');
    await session.run('set x 1');
    here.store.plan.push({ name: 'save', fault });
    await expect(session.run('set x 2')).rejects.toMatchObject({
      code: 'store',
      retryable: true,
      message: expect.stringMatching(message),
    });
    // Whichever it was, the session knows before it goes on.
    expect(await resultOf(session.run('get x'))).toBe(value);
    expect(session.revision).toBe(Number(value));
    expect(await resultOf(session.run('set x 3\nget x'))).toBe('3');
    expect(session.revision).toBe(Number(value) + 1);
  });

  it.each(['early', 'late'] as const)(
    'a store that fails %s as what is frozen later is saved',
    async (fault) => {
      const here = subject();
      const session = await here.runtime.session('a', { durability: 'freeze' });
      await session.run('set x 1');
      here.store.plan.push({ name: 'save', fault });
      await expect(session.freeze()).rejects.toMatchObject({ code: 'store' });
      expect(session).toMatchObject({ revision: 1, status: 'resident' });
      await session.run('set x 2');
      await session.freeze();
      expect(session.revision).toBe(2);
      expect(await resultOf(session.run('get x'))).toBe('2');
    },
  );

  it.each(['early', 'late'] as const)('a store that fails %s in a rollback', async (fault) => {
    const here = subject();
    const session = await here.runtime.session('a', { durability: 'freeze' });
    await session.run('set x 1');
    await session.checkpoint('one');
    await session.run('set x 2');
    here.store.plan.push({ name: 'save', fault });
    await expect(session.rollback('one')).rejects.toMatchObject({ code: 'store' });
    expect(await resultOf(session.run('get x'))).toBe(fault === 'early' ? '2' : '1');
    await session.rollback('one');
    expect(await resultOf(session.run('get x'))).toBe('1');
  });

  it('a store that fails before the state is read', async () => {
    const here = subject();
    const session = await here.runtime.session('a');
    await session.run('set x 1');
    await session.freeze();
    for (const name of ['revision', 'blob'] as const) {
      here.store.plan.push({ name, fault: 'early' });
      await expect(session.run('get x')).rejects.toMatchObject({ code: 'store' });
      expect(here.runtime.stats().residents).toBe(0);
    }
    expect(await resultOf(session.run('get x'))).toBe('1');
  });

  it('a store whose content is damaged', async () => {
    const here = subject();
    const session = await here.runtime.session('a');
    await session.run('set x 1');
    await session.freeze();
    const { blob, revision } = here.store;
    here.store.blob = async (...given) => (await blob(...given)).fill(7, 8);
    await expect(session.run('get x')).rejects.toMatchObject({
      code: 'store',
      message: expect.stringMatching(/can't be read: blob .* is damaged/),
    });
    here.store.blob = async (...given) => (await blob(...given)).subarray(0, 10);
    await expect(session.run('get x')).rejects.toMatchObject({ code: 'store' });
    here.store.blob = blob;
    here.store.revision = async (...given) => {
      const found = await revision(...given);
      return found && { ...found, manifest: found.manifest.subarray(5) };
    };
    await expect(session.run('get x')).rejects.toMatchObject({ code: 'store' });
    here.store.revision = revision;
    expect(await resultOf(session.run('get x'))).toBe('1');
  });
});

describe('a worker that is wanted', () => {
  it('is kept while the store doesn’t take what is in it, and given back when it does', async () => {
    const here = subject({ size: 1 });
    const { runtime, store, told, advance } = here;
    const session = await runtime.session('a', { durability: 'freeze' });
    await session.run('set x 1');
    store.out = true;
    const run = runtime.run('all');
    for (let n = 0; n < 3; n++) await advance(5000);
    expect(session.status).toBe('resident');
    expect(runtime.stats().queued).toBe(1);
    expect(told('warning').length).toBeGreaterThanOrEqual(3);
    expect(told('warning').length).toBeLessThanOrEqual(5);
    store.out = false;
    expect(await over(here, resultOf(run), 1000)).toEqual({});
    expect(session.revision).toBe(1);
    expect(await over(here, resultOf(session.run('get x')))).toBe('1');
  });

  it('is another one’s, when that can be given back', async () => {
    const here = subject({ size: 2 });
    const { runtime, store } = here;
    const loose = await runtime.session('loose', { durability: 'freeze' });
    await loose.run('set x 1');
    here.clock.advance(10);
    const safe = await runtime.session('safe');
    await safe.run('set x 1');
    store.out = true;
    expect(await over(here, resultOf(runtime.run('all')))).toEqual({});
    expect([loose.status, safe.status]).toEqual(['resident', 'frozen']);
    store.out = false;
  });

  it('is given back without what can’t be stored: others don’t starve, and the next call says so', async () => {
    const here = subject({ size: 1 });
    const { runtime, told } = here;
    const session = await runtime.session('a', { durability: 'freeze' });
    await session.run('set x 1');
    await session.freeze();
    await session.run('set x 2\nsocket');
    expect(await over(here, resultOf(runtime.run('all')))).toEqual({});
    expect(told('session:lost')).toMatchObject([{ revision: 1, error: { code: 'not_freezable' } }]);
    await expect(session.run('get x')).rejects.toMatchObject({
      code: 'not_freezable',
      message: expect.stringMatching(/back at revision 1\./),
    });
    expect(await resultOf(session.run('get x'))).toBe('1');
  });
});

it('says once what was lost when it is closed before anything else is called', async () => {
  const here = subject({ size: 1 });
  const { runtime } = here;
  const session = await runtime.session('a', { durability: 'freeze' });
  await session.run('set x 1');
  await session.freeze();
  await session.run('set x 2');
  await settled();
  runtime.engine.workers[0]?.die();
  await settled();
  await expect(session.close()).rejects.toMatchObject({
    code: 'crashed',
    message: expect.stringMatching(/[^.]\. The session is back at revision 1\.$/),
  });
  expect(session.status).toBe('closed');
  await session.close();
  await expect(session.run('get x')).rejects.toMatchObject({ code: 'closed' });
  const again = await runtime.session('a');
  expect(await over(here, resultOf(again.run('get x')))).toBe('1');
  await again.close();
});
