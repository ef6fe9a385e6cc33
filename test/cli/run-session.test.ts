import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type RunRequest, run } from '../../src/cli/run.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { createFakeRuntime, type FakeOutcome, type FakeRun } from '../../src/testing.ts';
import { FaultyStore } from '../sessions/subject.ts';
import { fakeHost } from './fake-host.ts';
import { temporaryFolder } from './program.ts';

const base = (): RunRequest => ({
  session: 'notes',
  code: '1',
  argv: [],
  file: [],
  env: [],
  out: temporaryFolder(),
  progress: true,
  with: [],
});
const key = { tenant: '', id: 'notes' };

function subject(script: (run: FakeRun) => FakeOutcome, store = new FaultyStore(new MemoryStore())) {
  const { host, ...rest } = fakeHost(() => {
    throw new Error('not by a session');
  });
  host.createRuntime = async () => createFakeRuntime({ run: script, store: async () => store });
  return {
    ...rest,
    host,
    store,
    go: (changes: Partial<RunRequest> = {}) => run({ ...base(), ...changes }, host),
  };
}

const counting = ({ state, image }: FakeRun): FakeOutcome => {
  const count = Number(state.values.get('count') ?? 0) + 1;
  state.values.set('count', String(count));
  return { stdout: `${count} ${image}\n` };
};

test('goes on where the last one left off, and lets go of it', async () => {
  const { go, stdout, store } = subject(counting);
  expect([await go(), await go()]).toEqual([0, 0]);
  expect(stdout.text).toBe('1 stdlib\n2 stdlib\n');
  expect(await store.record(key)).toMatchObject({ revision: 2, leasedBy: undefined });
});

test('its interpreter is chosen when it begins', async () => {
  const { go, stdout } = subject(counting);
  await go({ image: 'data' });
  await go();
  expect(stdout.text).toBe('1 data\n2 data\n');
  await expect(go({ image: 'numpy' })).rejects.toMatchObject({ code: 'session_image' });
  const packages = subject(counting);
  await packages.go({ with: ['a,b'] });
  expect(packages.stdout.text).toBe('1 a,b\n');
});

test('--json has the session', async () => {
  const { go, stdout } = subject(counting);
  await go({ json: true });
  expect(JSON.parse(stdout.text)).toMatchObject({ status: 'ok', session: { id: 'notes', revision: 1 } });
});

test('what is typed is numbered by the session; a file has its own name', async () => {
  const names: string[] = [];
  const { go, host } = subject(({ message }) => {
    names.push(message.filename);
    return {};
  });
  const path = join(temporaryFolder(), 'a.py');
  writeFileSync(path, '1');
  await go();
  const { code: _, ...request } = { ...base(), program: path };
  await run(request, host);
  expect(names).toEqual(['<run>', path]);
});

test.each([
  [{ create: false }, 'session_not_found'],
  [{ session: 'a\u0007' }, 'usage'],
  [{ image: false }, 'usage'],
  [{ isolation: 'none' as const }, 'usage'],
])('refused: %j', async (changes, code) => {
  const { go, store, stdout } = subject(counting);
  await expect(go(changes)).rejects.toMatchObject({ code });
  expect(await store.record(key)).toBeUndefined();
  expect(stdout.text).toBe('');
});

test('--no-create alone means nothing', async () => {
  const { host } = fakeHost(() => {
    throw new Error('not run');
  });
  const request = { code: '1', argv: [], file: [], env: [], progress: true, with: [], create: false };
  await expect(run(request, host)).rejects.toThrow('--session');
});

test('what can’t be stored is said, after its output', async () => {
  const { go, stdout, store } = subject(({ state }) => {
    state.obstacles.add('a socket');
    return { stdout: 'out' };
  });
  await expect(go()).rejects.toMatchObject({
    code: 'not_freezable',
    message: expect.stringContaining('a socket'),
  });
  expect(stdout.text).toBe('out');
  expect(await store.record(key)).toMatchObject({ revision: 0, leasedBy: undefined });
});

test('Ctrl-C twice: the session is let go of all the same', async () => {
  const started = Promise.withResolvers<void>();
  const { go, pressCtrlC, store } = subject(() => {
    started.resolve();
    return { delayMs: Infinity, unstoppable: true };
  });
  const done = go();
  await started.promise;
  pressCtrlC();
  pressCtrlC();
  expect(await done).toBe(130);
  expect(await store.record(key)).toMatchObject({ leasedBy: undefined });
});
