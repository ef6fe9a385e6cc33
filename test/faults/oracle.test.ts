/** What the oracle is there to see, it sees. */
import { spawn } from 'node:child_process';
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createRuntime } from '../../src/node.ts';
import type { Runtime } from '../../src/runtime.ts';
import { makeFolders } from './folders.ts';
import { ends, Oracle } from './oracle.ts';

const folders = await makeFolders();
let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ size: 1, cacheDir: folders.cache });
});
afterAll(() => runtime.close({ graceMs: 0 }));

const patienceMs = 200;

async function begun(): Promise<Oracle> {
  const oracle = new Oracle(runtime, 1, folders, []);
  await oracle.begin();
  return oracle;
}

it('nothing wrong: nothing to say', async () => {
  using oracle = await begun();
  oracle.run('1 + 1', {}, { wrong: ends('ok', 2) });
  oracle.run('1 / 0', {}, { wrong: ends('error') });
  expect(await oracle.judge()).toEqual([]);
});

it('a wrong value, a wrong end, a run that nobody was to count', async () => {
  using oracle = await begun();
  oracle.run('1 + 1', {}, { wrong: ends('ok', 3) });
  oracle.run('1 / 0');
  await runtime.run('1');
  expect(await oracle.judge(patienceMs)).toEqual([
    expect.stringMatching(/^1 \+ 1: ok 2 on \d+, not 3$/),
    expect.stringMatching(/^1 \/ 0: error undefined .*, not ok$/),
    '2 runs were counted as 3 ends',
  ]);
});

it('a run that doesn’t end', async () => {
  using oracle = await begun();
  const stop = new AbortController();
  const run = oracle.run('while True: pass', { signal: stop.signal }, { name: 'endless' });
  // Less than nothing beyond its time limit of a minute.
  expect(await oracle.judge(patienceMs - 62_000)).toEqual(['endless: it has not ended']);
  stop.abort();
  await run;
});

it('a process, a descriptor, files and memory that are left', async () => {
  using oracle = await begun();
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  const descriptors = [openSync('/dev/null', 'r'), openSync('/dev/null', 'r'), openSync('/dev/null', 'r')];
  const files = [join(folders.temporary, 'forgotten'), join(folders.cache, 'images', 'x.tmp')];
  for (const file of files) writeFileSync(file, '');
  const kept = new Uint8Array(64 << 20);
  try {
    expect(await oracle.judge(patienceMs)).toEqual([
      `process ${child.pid} is left`,
      expect.stringMatching(/^\d+ descriptors instead of \d+: .*\/dev\/null/),
      'images/x.tmp is left',
      'forgotten is left',
      expect.stringMatching(/^the host holds \d+ bytes more$/),
    ]);
    expect(kept.length).toBe(64 << 20);
  } finally {
    child.kill('SIGKILL');
    for (const descriptor of descriptors) closeSync(descriptor);
    for (const file of files) rmSync(file);
  }
});
