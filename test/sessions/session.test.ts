import { expect, it, vi } from 'vitest';
import { fakeImage } from '../../src/testing.ts';
import { host, outcomes, resultOf, settled, subject, workerOf, world } from './subject.ts';

it('keeps what a run left, in one worker', async () => {
  const { runtime, told } = subject({ size: 2 });
  const session = await runtime.session('a');
  expect(session).toMatchObject({ id: 'a', tenant: '', image: 'stdlib', revision: 0, status: 'frozen' });
  const first = await session.run('set x 42');
  expect(first).toMatchObject({ status: 'ok', session: { id: 'a', revision: 1 } });
  expect(session).toMatchObject({ revision: 1, status: 'resident' });
  expect(await resultOf(session.run('get x'))).toBe('42');
  expect(await workerOf(session.run('get x'))).toBe(first.worker.id);
  expect(told('session:thaw')).toHaveLength(1);
  // Nothing changed.
  expect(session.revision).toBe(1);
  expect(runtime.stats()).toMatchObject({ residents: 1, thaws: 1, freezes: 0, running: 0, queued: 0 });
});

it('comes back frozen, on another worker, on another host', async () => {
  const here = world();
  const one = host(here);
  const session = await one.runtime.session('a');
  await session.run('set x 42\nwrite notes/a.txt hello');
  await session.freeze();
  await session.freeze();
  expect(session.status).toBe('frozen');
  expect(one.runtime.stats()).toMatchObject({ residents: 0, freezes: 1 });
  expect(one.told('session:freeze')).toMatchObject([{ session: 'a', tenant: '', reason: 'call' }]);
  expect(await resultOf(session.run('get x'))).toBe('42');
  await one.runtime.close();
  const two = host(here);
  const again = await two.runtime.session('a');
  expect(again.revision).toBe(1);
  expect(await resultOf(again.run('get x'))).toBe('42');
  expect(new TextDecoder().decode(await again.files.read('notes/a.txt'))).toBe('hello');
  await two.runtime.close();
});

it('leaves nothing of itself for others', async () => {
  const { runtime } = subject();
  const [a, b] = [await runtime.session('a'), await runtime.session('b')];
  await a.run('set x 1');
  expect(await resultOf(b.run('get x'))).toBeNull();
  expect(await resultOf(runtime.run('get x'))).toBeNull();
  expect(await resultOf(a.run('get x'))).toBe('1');
});

it('counts a run that Python raised in, and tells Python’s error', async () => {
  const { runtime } = subject();
  const session = await runtime.session('a');
  expect(await session.run('set x 1\nraise')).toMatchObject({
    status: 'error',
    error: { name: 'ValueError', value: 'bad' },
    session: { revision: 1 },
  });
  expect(await resultOf(session.run('get x'))).toBe('1');
});

it('runs one thing after another, in the order of the calls', async () => {
  const { runtime, advance } = subject({ size: 3 });
  const session = await runtime.session('a');
  await runtime.warm();
  const order: string[] = [];
  const run = (name: string, code: string) => session.run(code).then(() => order.push(name));
  const runs = [run('slow', 'sleep 100\nset x 1'), run('next', 'set x 2'), run('last', 'set x 3')];
  const files = session.files.write('f', 'text').then(() => order.push('file'));
  await vi.waitFor(async () => {
    await advance(100);
    expect(order).toEqual(['slow', 'next', 'last', 'file']);
  });
  await Promise.all([...runs, files]);
  expect(session.revision).toBe(4);
  expect(Math.max(...runtime.engine.workers.map((worker) => worker.runs.length))).toBe(3);
});

it('rejects a second call as busy when asked to', async () => {
  const { runtime, advance } = subject({ size: 2 });
  const session = await runtime.session('a');
  const strict = await runtime.session('a', { whenBusy: 'reject' });
  const first = session.run('sleep 100\nset x 1');
  await settled();
  const refused = [strict.run('1'), strict.run('1')];
  expect(await outcomes(refused)).toEqual(['session_busy', 'session_busy']);
  await expect(strict.files.list()).rejects.toMatchObject({ code: 'session_busy', retryable: true });
  await advance(100);
  expect((await first).status).toBe('ok');
  expect(await resultOf(strict.run('get x'))).toBe('1');
  expect(runtime.stats().rejected).toBe(2);
});

it('is one session for all that open it here, and closed with the last of them', async () => {
  const { runtime } = subject();
  const [one, two] = await Promise.all([runtime.session('a'), runtime.session('a')]);
  await one.run('set x 1');
  expect([two.revision, two.status]).toEqual([1, 'resident']);
  await one.close();
  await one.close();
  expect([one.status, two.status]).toEqual(['closed', 'resident']);
  await expect(one.run('1')).rejects.toMatchObject({ code: 'closed' });
  await expect(one.freeze()).rejects.toMatchObject({ code: 'closed' });
  expect(await resultOf(two.run('get x'))).toBe('1');
  await two[Symbol.asyncDispose]();
  expect(runtime.stats().residents).toBe(0);
  const three = await runtime.session('a', { create: false });
  expect(await resultOf(three.run('get x'))).toBe('1');
});

it('opens one that is being closed when that is over', async () => {
  const { runtime } = subject();
  const session = await runtime.session('a');
  await session.run('set x 1');
  const [, again] = await Promise.all([session.close(), runtime.session('a')]);
  expect(await resultOf(again.run('get x'))).toBe('1');
});

it('begins none when it must be there', async () => {
  const { runtime } = subject();
  await expect(runtime.session('a', { create: false })).rejects.toMatchObject({ code: 'session_not_found' });
  expect(await runtime.sessions()).toEqual([]);
  const opened = await Promise.allSettled([runtime.session('b', { create: false }), runtime.session('b')]);
  expect(opened.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
});

it.each<[unknown, unknown, RegExp]>([
  ['', {}, /an id must be a text/],
  ['a\nb', {}, /an id must be a text/],
  ['é'.repeat(300), {}, /an id must be a text/],
  [7, {}, /an id must be a text/],
  ['a', { tenant: '' }, /tenant must be a name/],
  ['a', { durability: 'always' }, /durability must be one of/],
  ['a', { wenBusy: 'queue' }, /did you mean 'whenBusy'/],
  ['a', { bytes: 'x' }, /bytes must be bytes/],
  ['a', { bytes: new Uint8Array(), create: false }, /bytes begin a session/],
  ['a', { image: 'a', packages: ['b'] }, /exclude one another/],
])('refuses the id %j with %j', async (id, options, message) => {
  const { runtime } = subject();
  const opening: Promise<unknown> = Reflect.apply(runtime.session, runtime, [id, options]);
  await expect(opening).rejects.toThrow(message);
});

it('refuses what runs of a session can’t have', async () => {
  const { runtime } = subject();
  const session = await runtime.session('a');
  for (const options of [{ tenant: 'b' }, { isolation: 'none' }, { image: 'numpy' }, { timeoutMs: 'x' }]) {
    const run: Promise<unknown> = Reflect.apply(session.run, session, ['1', options]);
    await expect(run).rejects.toThrow(TypeError);
  }
  await expect(session.run('1', { memoryBytes: 2 ** 31 })).rejects.toMatchObject({ code: 'usage' });
  expect(session.revision).toBe(0);
});

it('passes limits, files and callbacks on', async () => {
  const { runtime } = subject({}, { run: ({ message }) => ({ stdout: message.filename, displays: [] }) });
  const session = await runtime.session('a');
  const said: string[] = [];
  const files = { 'in.txt': 'text', 'in/two.txt': streamed('streamed') };
  await session.run('1', { filename: 'cell 1', files, onStdout: (text) => said.push(text) });
  expect(said).toEqual(['cell 1']);
  expect((await session.files.list()).map(({ path }) => path)).toEqual(['in.txt', 'in/two.txt']);
  const events = [];
  for await (const event of session.run('1')) events.push(event.type);
  expect(events.at(-1)).toBe('done');
});

async function* streamed(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}

it('stores what a callback interrupted, and rejects with what that threw', async () => {
  const { runtime } = subject();
  const session = await runtime.session('a');
  const onStdout = () => {
    throw new Error('enough');
  };
  await expect(session.run('set x 1\nprint a', { onStdout })).rejects.toThrow('enough');
  expect(session.revision).toBe(1);
});

it('interrupts a run, and takes one that waits out of the queue', async () => {
  const { runtime, advance } = subject();
  const session = await runtime.session('a');
  const running = session.run('set x 1\nsleep 1000');
  const waiting = session.run('set x 2');
  await settled();
  waiting.interrupt();
  expect(await waiting).toMatchObject({ status: 'interrupted' });
  running.interrupt();
  await advance(0);
  expect(await running).toMatchObject({
    status: 'interrupted',
    session: { revision: 1 },
    worker: { lost: false },
  });
  expect(await resultOf(session.run('get x'))).toBe('1');
});

it('goes no further than to wait for a worker with a run that was interrupted', async () => {
  const { runtime, advance } = subject();
  await runtime.warm();
  const other = runtime.run('sleep 100');
  const session = await runtime.session('a');
  const run = session.run('set x 1');
  await settled();
  expect(runtime.stats()).toMatchObject({ queued: 1, running: 1 });
  run.interrupt();
  expect((await run).status).toBe('interrupted');
  expect(runtime.stats().queued).toBe(0);
  await advance(100);
  await other;
  await settled();
  expect(runtime.stats().residents).toBe(0);
  expect(await resultOf(session.run('get x'))).toBeNull();
});

it('forks', async () => {
  const { runtime } = subject({ size: 2 });
  const session = await runtime.session('a');
  await session.run('set x 1');
  const fork = await session.fork('b');
  expect(fork).toMatchObject({ id: 'b', revision: 1, status: 'frozen', image: 'stdlib' });
  await Promise.all([session.run('set x 2'), fork.run('set y 3')]);
  expect(await resultOf(session.run('all'))).toEqual({ x: '2' });
  expect(await resultOf(fork.run('all'))).toEqual({ x: '1', y: '3' });
  await expect(session.fork('b')).rejects.toMatchObject({ code: 'session_exists' });
  await expect(session.fork('')).rejects.toThrow(TypeError);
  const early = await (await runtime.session('c')).fork('d');
  expect(early.revision).toBe(0);
  expect(await resultOf(early.run('all'))).toEqual({});
});

it('goes back to checkpoints, as new revisions', async () => {
  const { runtime, clock } = subject();
  const session = await runtime.session('a');
  clock.advance(5);
  expect(await session.checkpoint('start')).toEqual({ name: 'start', revision: 0, createdAt: 5 });
  await session.run('set x 1');
  expect(await session.checkpoint()).toEqual({ name: 'r1', revision: 1, createdAt: 5 });
  await session.run('set x 2');
  await expect(session.checkpoint('r1')).rejects.toMatchObject({ code: 'usage' });
  await session.rollback('r1');
  expect(session).toMatchObject({ revision: 3, status: 'frozen' });
  expect(await resultOf(session.run('get x'))).toBe('1');
  await session.run('set x 4');
  await session.rollback(1);
  expect(await resultOf(session.run('get x'))).toBe('1');
  await session.rollback('start');
  expect(await resultOf(session.run('all'))).toEqual({});
  expect((await session.checkpoints()).map(({ name }) => name)).toEqual(['start', 'r1']);
  await expect(session.rollback('r2')).rejects.toMatchObject({ code: 'usage' });
  await expect(session.rollback(2)).rejects.toMatchObject({ code: 'usage' });
  expect(await resultOf(session.run('all'))).toEqual({});
});

it('is reset to its image; its checkpoints stay', async () => {
  const { runtime } = subject();
  const session = await runtime.session('a');
  await session.run('set x 1\nwrite f text');
  await session.checkpoint('before');
  await session.reset();
  expect(session.revision).toBe(2);
  expect(await session.files.list()).toEqual([]);
  expect(await resultOf(session.run('all'))).toEqual({});
  await session.rollback('before');
  expect(await resultOf(session.run('get x'))).toBe('1');
});

it('is removed for good', async () => {
  const { runtime } = subject({ size: 1 });
  const session = await runtime.session('a');
  const other = await runtime.session('a');
  await session.run('set x 1');
  await session.remove();
  expect(session.status).toBe('closed');
  await expect(other.run('1')).rejects.toMatchObject({ code: 'session_not_found' });
  await other.close();
  expect(await runtime.sessions()).toEqual([]);
  expect(runtime.stats().residents).toBe(0);
  const next = await runtime.session('a');
  expect(await resultOf(next.run('all'))).toEqual({});
});

it('tells what there is', async () => {
  const here = world();
  const { runtime } = host(here, { size: 2 });
  const a = await runtime.session('a');
  await a.run('set x 1');
  await a.checkpoint();
  const b = await runtime.session('b', { tenant: 'acme', image: 'data' });
  await b.run('set x 1');
  await b.freeze();
  const elsewhere = host(here);
  await elsewhere.runtime.session('c');
  here.clock.advance(100);
  const found = await runtime.sessions();
  expect(found).toMatchObject([
    { id: 'a', tenant: '', image: 'stdlib', revision: 1, status: 'resident', checkpoints: 1 },
    { id: 'c', tenant: '', image: 'stdlib', revision: 0, status: 'elsewhere', checkpoints: 0 },
    { id: 'b', tenant: 'acme', image: 'data', revision: 1, status: 'frozen', checkpoints: 0, createdAt: 0 },
  ]);
  expect(found[0]?.storedBytes).toBeGreaterThan(50);
  expect(await runtime.sessions({ tenant: 'acme' })).toMatchObject([{ id: 'b' }]);
  expect((await runtime.sessions({ tenant: '' })).map(({ id }) => id)).toEqual(['a', 'c']);
});

it('keeps tenants apart, in names and in workers', async () => {
  const { runtime } = subject({ size: 1 });
  const a = await runtime.session('s', { tenant: 'a' });
  const b = await runtime.session('s', { tenant: 'b' });
  const first = await a.run('set x a');
  const second = await b.run('set x b');
  expect(first.worker.id).not.toBe(second.worker.id);
  expect(await resultOf(a.run('get x'))).toBe('a');
  expect(await resultOf(b.run('get x'))).toBe('b');
});

it('has one interpreter for its whole life', async () => {
  const here = world();
  const { runtime } = host(here);
  const session = await runtime.session('a', { image: 'numpy' });
  expect(session.image).toBe('numpy');
  expect(await session.run('set x 1')).toMatchObject({ worker: { image: 'numpy' } });
  expect((await runtime.session('a')).image).toBe('numpy');
  await expect(runtime.session('a', { image: 'data' })).rejects.toMatchObject({ code: 'session_image' });
  await runtime.close();
  const next = host(here).runtime;
  await expect(next.session('a', { image: 'data' })).rejects.toMatchObject({
    code: 'session_image',
    message: expect.stringContaining("made with the image 'numpy'"),
  });
  // It isn't held by that.
  const again = await next.session('a', { image: 'numpy' });
  expect(await resultOf(again.run('get x'))).toBe('1');
  await next.close();
  // Another build of it.
  const images = { find: async () => ({ ...fakeImage('numpy'), lockHash: 'another' }) };
  const rebuilt = host(here, {}, { images }).runtime;
  await expect(rebuilt.session('a')).rejects.toMatchObject({
    code: 'session_image',
    details: { image: 'numpy', lockHash: 'numpy' },
  });
});

it('says so when only the kernel can tell that its image is another build, and can be reset', async () => {
  const here = world();
  const one = host(here).runtime;
  const session = await one.session('a', { image: 'numpy' });
  await session.run('set x 1');
  await one.close();
  const images = { find: async () => ({ ...fakeImage('rebuilt'), lockHash: 'numpy' }) };
  const { runtime } = host(here, {}, { images });
  const again = await runtime.session('a', { image: 'numpy' });
  await expect(again.run('get x')).rejects.toMatchObject({
    code: 'session_image',
    message: expect.stringMatching(
      /another build of the image 'numpy', and fits that one only\. .*reset\(\)/,
    ),
    details: { image: 'numpy', pyodide: 'fake' },
  });
  expect(again.revision).toBe(1);
  await again.reset();
  expect(await resultOf(again.run('all'))).toEqual({});
});

it('leaves tasks alone until it is frozen: looking at files, checkpoints and forks are none of Python’s business', async () => {
  const { runtime, told } = subject();
  for (const tasks of ['refuse', 'cancel'] as const) {
    const session = await runtime.session(tasks, { tasks, durability: 'freeze' });
    session.files.watch(() => undefined);
    await session.run('set x 1\ntask t1\nwrite f text');
    expect((await session.files.list()).map(({ path }) => path)).toEqual(['f']);
    await session.checkpoint('here');
    await (await session.fork(`${tasks}-2`)).close();
    expect(told('warning')).toEqual([]);
    expect(session).toMatchObject({ status: 'resident', revision: 1 });
    if (tasks === 'refuse') {
      await expect(session.freeze()).rejects.toMatchObject({ code: 'not_freezable' });
      expect(session).toMatchObject({ status: 'resident', revision: 1 });
    } else {
      await session.freeze();
      expect(session).toMatchObject({ status: 'frozen', revision: 2 });
      expect(told('warning')).toMatchObject([
        { message: expect.stringMatching(/'cancel': tasks were cancelled .*: t1\./) },
      ]);
    }
    expect(await resultOf(session.run('get x'))).toBe('1');
  }
});

it('cancels or refuses pending tasks as asked, or keeps them', async () => {
  const { runtime, told } = subject();
  const keep = await runtime.session('keep');
  expect((await keep.run('set x 1\ntask t1')).status).toBe('ok');
  const cancel = await runtime.session('cancel', { tasks: 'cancel' });
  await cancel.run('set x 1\ntask t2');
  expect(told('warning')).toMatchObject([
    { message: expect.stringMatching(/'cancel': tasks were cancelled .*: t2\./) },
  ]);
  const refuse = await runtime.session('refuse', { tasks: 'refuse' });
  await refuse.run('set x 1');
  await expect(refuse.run('set x 2\ntask t3')).rejects.toMatchObject({
    code: 'not_freezable',
    message: expect.stringMatching(/the task t3.*The session is back at revision 1\./),
    details: { objects: ['the task t3'] },
  });
  expect(await resultOf(refuse.run('get x'))).toBe('1');
});

it('keeps what can’t be stored only as long as nothing is promised', async () => {
  const { runtime, told } = subject();
  const durable = await runtime.session('durable');
  await durable.run('set x 1');
  await expect(durable.run('set x 2\nsocket')).rejects.toMatchObject({ code: 'not_freezable' });
  expect(durable).toMatchObject({ revision: 1, status: 'frozen' });
  expect(await resultOf(durable.run('get x'))).toBe('1');
  const loose = await runtime.session('loose', { durability: 'freeze' });
  await loose.run('set x 1\nsocket');
  await expect(loose.freeze()).rejects.toMatchObject({
    code: 'not_freezable',
    details: { objects: ['a socket'] },
  });
  await expect(loose.close()).rejects.toMatchObject({ code: 'not_freezable' });
  expect(loose).toMatchObject({ revision: 1, status: 'resident' });
  await loose.run('close');
  await loose.close();
  expect(loose.status).toBe('closed');
  expect(await resultOf((await runtime.session('loose')).run('get x'))).toBe('1');
  expect(told('session:lost')).toMatchObject([{ session: 'durable', revision: 1 }]);
});
