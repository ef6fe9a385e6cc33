import { expect, it } from 'vitest';
import type { RunOptions } from '../../src/runtime.ts';
import { check } from '../cli/repl-subject.ts';
import { over, resultOf, script, subject } from './subject.ts';

/** Answers as Python does, and counts what a question leaves. */
const asking = (delayMs = 0, value?: unknown): Parameters<typeof subject>[1] => ({
  run: (run) => {
    const { code, message, state } = run;
    if (message.purpose === 'program' || message.purpose === 'prompt') return script.run?.(run) ?? {};
    state.values.set('asked', code);
    if (value !== undefined) return { value: value as never, delayMs };
    if (message.purpose === 'check') return { value: check(code), delayMs };
    return { value: { word: 'a', matches: ['a', 'ab', 'other', 1] }, delayMs };
  },
});

it('a question is no run: nothing is stored, and the revision stays', async () => {
  const { runtime, store } = subject({}, asking());
  const session = await runtime.session('a');
  expect(await session.check('f(')).toBe('incomplete');
  expect(await session.check('f()')).toBe('complete');
  expect(await session.check('$')).toBe('invalid');
  expect(session).toMatchObject({ revision: 0, status: 'resident' });
  await session.run('set x 1');
  store.calls.length = 0;
  expect(await session.complete('a')).toEqual({ word: 'a', matches: ['a', 'ab'] });
  expect(store.calls).not.toContain('save');
  expect(session.revision).toBe(1);
  await session.freeze();
  expect(session.revision).toBe(1);
  // What the last one left in a worker is gone with it; what those before the run left is the run's.
  expect(await resultOf(session.run('get asked'))).toBe('$');
  expect(await resultOf(session.run('get x'))).toBe('1');
});

it('comes after the run that is under way', async () => {
  const made = subject({}, asking());
  const session = await made.runtime.session('a');
  const order: string[] = [];
  const run = session.run('sleep 50').then(() => order.push('run'));
  const question = session.check('1').then(() => order.push('question'));
  await over(made, Promise.all([run, question]));
  expect(order).toEqual(['run', 'question']);
});

it.each([
  ['takes too long', asking(Infinity)],
  ['is answered with nonsense', asking(0, { word: 1 })],
  ['is answered with something else', asking(0, [1])],
])('a question that %s has no answer, and the session goes on', async (_, more) => {
  const made = subject({}, more);
  const session = await made.runtime.session('a');
  await session.run('set x 1');
  expect(await over(made, session.check('1'))).toBe('invalid');
  expect(await over(made, session.complete('a'))).toEqual({ word: '', matches: [] });
  expect(await resultOf(session.run('get x'))).toBe('1');
});

it('a shorter limit of the runtime counts', async () => {
  const made = subject({ limits: { timeoutMs: 100 }, maxLimits: { timeoutMs: 100 } }, asking(Infinity));
  const session = await made.runtime.session('a');
  const before = made.clock.now();
  await over(made, session.check('1'));
  expect(made.clock.now() - before).toBeLessThan(1000);
});

it('asks nothing of a session that is closed', async () => {
  const { runtime } = subject({}, asking());
  const session = await runtime.session('a');
  await session.close();
  await expect(session.check('1')).rejects.toMatchObject({ code: 'closed' });
  await expect(session.complete('a')).rejects.toMatchObject({ code: 'closed' });
});

it('only a session’s run is interactive', async () => {
  const purposes: string[] = [];
  const { runtime } = subject(
    {},
    {
      run: ({ message }) => {
        purposes.push(message.purpose);
        return {};
      },
    },
  );
  const session = await runtime.session('a');
  await session.run('1', { interactive: true });
  await session.run('1');
  expect(purposes).toEqual(['prompt', 'program']);
  await expect(runtime.run('1', { interactive: true } as RunOptions)).rejects.toThrow('interactive');
});

it('removes a session without opening it', async () => {
  const made = subject();
  const { runtime, store } = made;
  const session = await runtime.session('a', { image: 'data' });
  await session.run('set x 1');
  await session.close();
  await runtime.removeSession('a');
  expect(await store.record({ tenant: '', id: 'a' })).toBeUndefined();
  await expect(runtime.removeSession('a')).rejects.toMatchObject({ code: 'session_not_found' });
});

it('removes one that is open here: its holders hear of it', async () => {
  const { runtime } = subject();
  const session = await runtime.session('a', { tenant: 'acme' });
  await session.run('set x 1');
  await expect(runtime.removeSession('a')).rejects.toMatchObject({ code: 'session_not_found' });
  await runtime.removeSession('a', { tenant: 'acme' });
  await expect(session.run('get x')).rejects.toMatchObject({ code: 'session_not_found' });
  expect(await runtime.sessions()).toEqual([]);
  const anew = await runtime.session('a', { tenant: 'acme' });
  expect(await resultOf(anew.run('get x'))).toBeNull();
});
