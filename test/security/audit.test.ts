import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { findDeno } from '../../src/engines/deno/binary.ts';
import { createRuntime } from '../../src/node.ts';
import type { Runtime } from '../../src/runtime.ts';

const busy = [
  'import json, re, sqlite3, zoneinfo, email, decimal, difflib, unittest\njson.dumps([1])',
  'import os\n[os.listdir(folder) for folder in ("/", "/tmp", "/lib", os.getcwd())] and None',
  'open("a.txt", "w").write("x" * 100_000)\nlen(open("a.txt").read())',
  'import asyncio\nawait asyncio.gather(*[asyncio.sleep(0.001) for _ in range(20)])\n1',
  'import os, random, secrets, time, uuid\n[os.urandom(8), random.random(), secrets.token_hex(), time.time(), uuid.uuid4()] and None',
  'import ctypes\nctypes.CDLL(None).getpid()',
  'print("x" * 100_000)\ninput()',
  '1/0',
  'try:\n    open("/etc/passwd").read()\nexcept OSError: pass\ntry:\n    import socket; socket.create_connection(("127.0.0.1", 9))\nexcept OSError: pass',
  'len(bytearray(50 << 20))',
];

/** Deno notes each access that is asked for, granted or not, in a file that a variable names. */
describe('what Deno notes of a worker', () => {
  let folder: string;
  let wrapper: string;
  let runtime: Runtime;
  /** One file a process. */
  const noted = async (pid: number | undefined): Promise<string[]> => {
    const text = await readFile(join(folder, `${pid}.jsonl`), 'utf8');
    return text.split('\n').filter((line) => line !== '');
  };
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vivarium-audit-'));
    wrapper = join(folder, 'deno');
    const variable = `DENO_AUDIT_PERMISSIONS='${folder}'/$$.jsonl`;
    await writeFile(wrapper, `#!/bin/sh\n${variable} exec '${findDeno()}' "$@"\n`);
    await chmod(wrapper, 0o700);
    vi.stubEnv('VIVARIUM_DENO', wrapper);
    // In which it could not write its notes.
    vi.stubEnv('VIVARIUM_SANDBOX', undefined);
    runtime = await createRuntime({ engine: 'deno', size: 1, spares: 0 });
    await runtime.warm();
  });
  afterAll(async () => {
    await runtime.close();
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true, force: true });
  });

  it('is the reading of its own files, and nothing once guest code runs', async () => {
    const boot = await noted(runtime.stats().workers[0]?.pid);
    expect(boot.length).toBeGreaterThan(4);
    for (const line of boot) {
      expect(JSON.parse(line)).toMatchObject({
        permission: 'read',
        value: expect.stringMatching(
          /deno-kernel\.js$|pyodide\.asm\.(mjs|wasm)$|python_stdlib\.zip$|\.image$/,
        ),
      });
    }
    for (const code of busy) {
      const { status, worker } = await runtime.run(code, { stdin: 'line\n' });
      expect(['ok', 'error']).toContain(status);
      expect((await noted(worker.pid)).length).toBe(boot.length);
    }
  });

  it('would be what is refused, too', async () => {
    const program =
      'data:text/javascript,try { Deno.readTextFileSync("/etc/hostname") } catch { console.log(Deno.pid) }';
    const { stdout } = await promisify(execFile)(wrapper, ['run', '--no-prompt', program], {
      env: { DENO_DIR: '/dev/null/none', DENO_NO_UPDATE_CHECK: '1' },
    });
    expect((await noted(Number(stdout))).join()).toContain('/etc/hostname');
  });
});
