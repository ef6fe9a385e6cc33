import { expect, it } from 'vitest';
import { createFakeRuntime, FakeClock } from '../../src/testing.ts';

it('answers as its script says', async () => {
  await using runtime = createFakeRuntime({
    run: ({ code }) => ({ stdout: 'hi\n', value: code.length, files: { 'a.csv': '1,2' } }),
  });
  const execution = await runtime.run('1 + 1');
  expect(execution.status).toBe('ok');
  expect(execution.unwrap()).toBe(5);
  expect(execution.stdout).toBe('hi\n');
  expect(execution.files).toMatchObject([{ path: 'a.csv', mimeType: 'text/csv', size: 3 }]);
});

it('takes an exception of the script as what Python raised', async () => {
  await using runtime = createFakeRuntime({
    run: () => {
      throw new RangeError('no');
    },
  });
  expect((await runtime.run('x')).error).toMatchObject({ name: 'RangeError', value: 'no' });
});

it('lets a test own the time', async () => {
  const clock = new FakeClock();
  await using runtime = createFakeRuntime({ clock, run: () => ({ delayMs: 3_600_000 }) });
  await runtime.warm();
  const run = runtime.run('sleep', { timeoutMs: 1000 });
  clock.advance(999);
  expect(runtime.stats().running).toBe(1);
  clock.advance(1);
  expect(await run).toMatchObject({ status: 'timeout', worker: { lost: false } });
});
