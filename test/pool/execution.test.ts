import { expect, it } from 'vitest';
import type { RunEvent } from '../../src/runtime.ts';
import type { FakeOutcome } from '../../src/testing.ts';
import { settled, subject } from './subject.ts';

const run = (outcome: FakeOutcome) => subject({}, { run: () => outcome }).runtime.run('x');
const encoder = new TextEncoder();

it('holds what came back', async () => {
  const execution = await run({
    stdout: ['a\n', 'b'],
    stderr: 'oops',
    value: [1, 'x'],
    text: "[1, 'x']",
    display: { data: { 'text/html': '<b>' }, metadata: {} },
    displays: [{ data: { 'image/png': 'iVBO' }, metadata: { width: 1 } }],
    files: { 'out/plot.svg': '<svg/>', data: new Uint8Array([0]) },
  });
  expect(execution).toMatchObject({
    status: 'ok',
    text: "[1, 'x']",
    value: [1, 'x'],
    logs: { stdout: ['a\n', 'b'], stderr: ['oops'] },
    stdout: 'a\nb',
    stderr: 'oops',
    results: [
      { data: { 'image/png': 'iVBO' }, metadata: { width: 1 }, isMainResult: false },
      { data: { 'text/html': '<b>' }, isMainResult: true },
    ],
    png: 'iVBO',
    html: '<b>',
    svg: undefined,
    executionCount: 1,
    worker: { pid: 1, backend: 'fake', pyodide: 'fake', lost: false },
  });
  expect(execution.files.map(({ path, mimeType, size }) => [path, mimeType, size])).toEqual([
    ['out/plot.svg', 'image/svg+xml', 6],
    ['data', 'application/octet-stream', 1],
  ]);
  expect(new Set(execution.files.map(({ id }) => id)).size).toBe(2);
  expect(execution.unwrap()).toEqual([1, 'x']);
  expect('error' in execution).toBe(false);
});

it('keeps the cause of a crash', async () => {
  const { runtime } = subject();
  const execution = await runtime.run('crash');
  const cause = expect.objectContaining({ message: 'killed by signal 9' });
  expect(() => execution.unwrap()).toThrow(expect.objectContaining({ code: 'crashed', cause }));
  expect(runtime.lastError).toMatchObject({ code: 'crashed', cause });
});

it('decodes characters that are cut between chunks, and marks one that never ends', async () => {
  const [a, b] = [encoder.encode('é€').subarray(0, 3), encoder.encode('é€').subarray(3)];
  const execution = await run({ stdout: [a, b], stderr: encoder.encode('\ufeffx€').subarray(0, 5) });
  expect(execution.stdout).toBe('é€');
  expect(execution.stderr).toBe('\ufeffx\ufffd');
});

it.each<[FakeOutcome, string, string | undefined]>([
  [{ error: { name: 'ValueError', value: 'no' } }, 'error', 'python'],
  [{ error: { name: 'MemoryError', value: '' } }, 'oom', 'memory'],
  [{ error: { name: '__main__.MemoryError', value: '' } }, 'error', 'python'],
  [{ error: { name: 'SystemExit', value: '3' }, exitCode: 3 }, 'error', 'python'],
  [{ error: { name: 'SystemExit', value: '0' }, exitCode: 0 }, 'ok', undefined],
  [{ error: { name: 'KeyboardInterrupt', value: '' } }, 'error', 'python'],
  [{ crash: 'out of memory' }, 'crashed', 'crashed'],
])('takes %j for %s', async (outcome, status, code) => {
  const execution = await run(outcome);
  expect(execution.status).toBe(status);
  expect(execution.exitCode).toBe(outcome.exitCode);
  if (code === undefined) expect(execution.unwrap()).toBeUndefined();
  else expect(() => execution.unwrap()).toThrow(expect.objectContaining({ code }));
});

it('has the message as the last line of a traceback', async () => {
  expect((await run({ error: { name: 'ValueError', value: 'no' } })).error?.message).toBe('ValueError: no');
  expect((await run({ error: { name: 'ValueError', value: '' } })).error?.message).toBe('ValueError');
});

it('takes a reply that cannot be read for the loss of its worker', async () => {
  const { runtime } = subject();
  await runtime.warm();
  const [worker] = runtime.engine.workers;
  if (!worker) throw new Error('no worker');
  const original = worker.run.bind(worker);
  worker.run = async (...args) => ({ ...(await original(...args)), value: 5 });
  expect(await runtime.run('1')).toMatchObject({ status: 'crashed', worker: { lost: true } });
  expect((await runtime.run('1')).status).toBe('ok');
});

it('is JSON without its files’ bytes', async () => {
  const execution = await run({
    value: new Map<number, bigint>([[1, 2n ** 70n]]),
    files: { a: 'x' },
    stdout: 'hi',
  });
  const json = JSON.parse(JSON.stringify(execution));
  expect(json).toMatchObject({
    status: 'ok',
    value: [[1, String(2n ** 70n)]],
    logs: { stdout: ['hi'], stderr: [] },
    files: [{ path: 'a', mimeType: 'application/octet-stream', size: 1 }],
  });
  expect(Object.keys(json.files[0])).not.toContain('bytes');
});

// ---- events --------------------------------------------------------------------------------------------------------

it('tells what happens in order, to callbacks and to every iteration', async () => {
  const display = { data: { 'text/plain': 'd' }, metadata: {} };
  const { runtime } = subject({}, { run: () => ({ stdout: 'a', stderr: 'b', displays: [display] }) });
  const seen: unknown[] = [];
  const handle = runtime.run('x', {
    onStdout: (text, data) => seen.push(['out', text, data]),
    onStderr: (text) => seen.push(['err', text]),
    onDisplay: (result) => seen.push(['display', result]),
  });
  const collect = async () => {
    const events: RunEvent[] = [];
    for await (const event of handle) events.push(event);
    return events;
  };
  const [first, second, execution] = await Promise.all([collect(), collect(), handle]);
  expect(first.map(({ type }) => type)).toEqual(['status', 'status', 'display', 'stdout', 'stderr', 'done']);
  expect(first).toMatchObject([
    { status: 'booting' },
    { status: 'running' },
    {},
    { text: 'a' },
    { text: 'b' },
    {},
  ]);
  expect(first.at(-1)).toEqual({ type: 'done', execution });
  expect(second).toEqual(first);
  expect(seen).toEqual([
    ['display', { ...display, isMainResult: false }],
    ['out', 'a', encoder.encode('a')],
    ['err', 'b'],
  ]);
});

it('gives the end to an iteration that begins after it', async () => {
  const handle = run({});
  const execution = await handle;
  const events: RunEvent[] = [];
  for await (const event of handle) events.push(event);
  expect(events).toEqual([{ type: 'done', execution }]);
});

it('throws out of an iteration what the run rejects with, and nowhere else', async () => {
  const { runtime } = subject();
  await runtime.close();
  const iterate = async () => {
    for await (const _ of runtime.run('1'));
  };
  await expect(iterate()).rejects.toMatchObject({ code: 'closed' });
  await settled();
});

it('ends an iteration that is left, also while it waits', async () => {
  const { runtime, advance } = subject();
  await runtime.warm();
  const handle = runtime.run('sleep 10');
  for await (const event of handle) {
    expect(event).toEqual({ type: 'status', status: 'running' });
    break;
  }
  const left = handle[Symbol.asyncIterator]();
  await left.next();
  const waiting = left.next();
  await left.return?.();
  expect(await waiting).toEqual({ done: true, value: undefined });

  const kept = handle[Symbol.asyncIterator]();
  await kept.next();
  const done = kept.next();
  await advance(10);
  expect(await done).toMatchObject({ done: false, value: { type: 'done' } });
  expect(await kept.next()).toEqual({ done: true, value: undefined });
  expect(await left.next()).toEqual({ done: true, value: undefined });
});

it('is a promise in every way that counts', async () => {
  const handle = run({ value: 1 });
  expect(await Promise.all([handle])).toHaveLength(1);
  expect(await handle.then((execution) => execution.value)).toBe(1);
  let ended = false;
  await handle.finally(() => {
    ended = true;
  });
  expect(ended).toBe(true);
  expect(handle.id).toBe((await handle).id);
});
