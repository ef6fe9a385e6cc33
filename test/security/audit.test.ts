import { execFile, execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
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
  let pipe: number;
  let text = '';
  /** All lines so far. */
  const noted = (): string[] => {
    const buffer = Buffer.alloc(1 << 16);
    try {
      for (;;) text += buffer.toString('utf8', 0, readSync(pipe, buffer));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
    return text.split('\n').filter((line) => line !== '');
  };
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vivarium-audit-'));
    wrapper = join(folder, 'deno');
    // No file: a worker's process may not write one.
    const log = join(folder, 'log');
    execFileSync('mkfifo', [log]);
    pipe = openSync(log, constants.O_RDWR | constants.O_NONBLOCK);
    await writeFile(wrapper, `#!/bin/sh\nDENO_AUDIT_PERMISSIONS='${log}' exec '${findDeno()}' "$@"\n`);
    await chmod(wrapper, 0o700);
    vi.stubEnv('VIVARIUM_DENO', wrapper);
    // There the pipe would be out of reach.
    vi.stubEnv('VIVARIUM_SANDBOX', undefined);
    runtime = await createRuntime({ engine: 'deno', size: 1, spares: 0 });
    await runtime.warm();
  });
  afterAll(async () => {
    await runtime.close();
    vi.unstubAllEnvs();
    closeSync(pipe);
    await rm(folder, { recursive: true, force: true });
  });

  it('is the reading of its own files, and nothing once guest code runs', async () => {
    const each = noted().length;
    expect(each).toBeGreaterThan(4);
    for (const code of busy) {
      const { status } = await runtime.run(code, { stdin: 'line\n' });
      expect(['ok', 'error']).toContain(status);
    }
    // One of them costs its worker, and another boots.
    const lines = noted();
    expect(lines.length).toBe(each * runtime.stats().boots);
    for (const line of lines) {
      expect(JSON.parse(line)).toMatchObject({
        permission: 'read',
        value: expect.stringMatching(
          /deno-kernel\.js$|pyodide\.asm\.(mjs|wasm)$|python_stdlib\.zip$|\.image$/,
        ),
      });
    }
  });

  it('would be what is refused, too', async () => {
    const program = 'data:text/javascript,try { Deno.readTextFileSync("/etc/hostname") } catch {}';
    await promisify(execFile)(wrapper, ['run', '--no-prompt', program], {
      env: { DENO_DIR: '/dev/null/none', DENO_NO_UPDATE_CHECK: '1' },
    });
    expect(noted().at(-1)).toContain('/etc/hostname');
  });
});
