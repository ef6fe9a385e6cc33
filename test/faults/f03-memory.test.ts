/** F03: a worker without memory: Python's heap, V8's heap. The whole process's is in `test/pool/`. */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { findDeno } from '../../src/engines/deno/binary.ts';
import { makeFolders } from './folders.ts';
import { ends, type Oracle, underOracle } from './oracle.ts';

const folders = await makeFolders();
afterEach(() => vi.stubEnv('VIVARIUM_DENO', undefined));

function others(oracle: Oracle): void {
  for (let index = 1; index <= 4; index++)
    oracle.run(`${index} * 1000`, {}, { wrong: ends('ok', index * 1000) });
}

it('Python’s heap: that run is told, its worker is kept', () =>
  underOracle(folders, { size: 2 }, async (oracle) => {
    const before = oracle.pids;
    const options = { memoryBytes: 64 << 20 };
    const runs = [
      oracle.run('x = bytearray(1 << 30)', options, { wrong: ends('oom') }),
      oracle.run('x = []\nwhile True: x.append(bytearray(1 << 20))', options, { wrong: ends('oom') }),
    ];
    others(oracle);
    for (const run of runs) {
      const execution = await run;
      expect(execution).toMatchObject({ error: { name: 'MemoryError' }, worker: { lost: false } });
    }
    expect(oracle.pids.toSorted()).toEqual(before.toSorted());
  }));

/** The real Deno with less room for V8 than the engine gives it: V8 ends the process when it has used it up. */
function smallDeno(megabytes: number): void {
  const path = join(folders.own, `small-deno-${megabytes}`);
  const script = `#!/bin/sh
for word do
  shift
  case "$word" in --v8-flags=*) word="$word,--max-old-space-size=${megabytes}" ;; esac
  set -- "$@" "$word"
done
exec '${findDeno()}' "$@"
`;
  writeFileSync(path, script);
  chmodSync(path, 0o755);
  vi.stubEnv('VIVARIUM_DENO', path);
}

describe('V8’s heap', () => {
  it('in a run: V8 aborts, that run is told', async () => {
    smallDeno(24);
    await underOracle(folders, { size: 2 }, async (oracle) => {
      // Where a link leads is kept as JavaScript's text.
      const code = 'import os\nfor i in range(99_000): os.symlink("x" * 3000, f"/tmp/{i}")';
      const run = oracle.run(code, {}, { wrong: ends('crashed') });
      others(oracle);
      expect((await run).error?.message).toMatch(/SIGTRAP|SIGABRT|code 13[34]/);
    });
  });
});
