import { expect, it } from 'vitest';
import type { Execution, Run } from '../../src/runtime.ts';
import { outcomes, settled, subject } from './subject.ts';

const size = 2;
const maxQueue = 20;
const runMs = 10;

it('admits no more than it can hold at ten times what it can do, and those as quickly as ever', async () => {
  const { runtime, advance } = subject({ size, maxQueue });
  await runtime.warm();
  await settled();
  const runs: Run[] = [];
  for (let n = 0; n < 50; n++) {
    for (let more = 0; more < 10 * size; more++) {
      const run = runtime.run(`sleep ${runMs}`);
      run.catch(() => undefined);
      runs.push(run);
    }
    const { queued, running } = runtime.stats();
    expect(queued + running).toBeLessThanOrEqual(size + maxQueue);
    await advance(runMs);
  }
  for (let n = 0; n < maxQueue; n++) await advance(runMs);

  const ends = await Promise.allSettled(runs);
  const done = ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
  const refused = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []));
  // All places were used all the time.
  expect(done.length).toBe(50 * size + maxQueue);
  const longest = (maxQueue / size + 1) * runMs;
  const waited = done.map(({ timings }: Execution) => timings.queuedMs);
  expect(Math.max(...waited)).toBeLessThanOrEqual(longest);
  expect(refused.every(({ code, retryable }) => code === 'queue_full' && retryable)).toBe(true);
  // The line is gone by then.
  const last = refused.at(-1);
  expect(last.details).toMatchObject({ waiting: maxQueue, retryAfterMs: (maxQueue / size) * runMs });
});

it('ends a full pool whose runs all come to their deadline at once, and goes on', async () => {
  const { runtime, advance } = subject({ size, maxQueue, killGraceMs: 100 });
  await runtime.warm();
  await settled();
  const runs = Array.from({ length: size + maxQueue }, (_, n) =>
    runtime.run(n % 2 === 0 ? 'hang' : 'loop', { timeoutMs: 50 }),
  );
  for (let n = 0; n < 60; n++) await advance(50);
  expect(await outcomes(runs)).toEqual(runs.map(() => 'timeout'));
  expect(runtime.engine.alive).toHaveLength(size);
  expect((await runtime.run('1')).status).toBe('ok');
});
