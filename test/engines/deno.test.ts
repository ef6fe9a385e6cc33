import { execFile, spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { findDeno } from '../../src/engines/deno/binary.ts';
import { createDenoEngine } from '../../src/engines/deno/host.ts';
import type { Engine } from '../../src/engines/engine.ts';
import { end, finish, isAlive, isRunning, startOptions } from './subject.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));

const deno = findDeno();
let dir: string;
/** Boots plainly: these tests are not about images. */
let engine: Engine;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vivarium-deno-'));
  engine = createDenoEngine({ image: false, cacheDir: dir });
});
afterEach(() => vi.unstubAllEnvs());
afterAll(() => rm(dir, { recursive: true, force: true }));

/** Makes a shell script the engine's Deno. */
async function binary(script: string): Promise<void> {
  const path = join(dir, `deno-${scripts++}`);
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o700);
  vi.stubEnv('VIVARIUM_DENO', path);
}
let scripts = 0;

/** Of a link that such a script made: it can write no byte into a file. */
async function pidIn(link: string): Promise<number> {
  return Number(await vi.waitFor(() => readlink(link)));
}

function gone(pid: number): Promise<void> {
  return vi.waitFor(() => expect(isAlive(pid)).toBe(false), { timeout: 10_000 });
}

describe('a binary that is no Deno', () => {
  it('is named when it is missing', async () => {
    vi.stubEnv('VIVARIUM_DENO', '/no/such/deno');
    await expect(engine.start(startOptions())).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringMatching(/VIVARIUM_DENO.*\/no\/such\/deno/),
    });
  });

  it('is named when it can’t be run', async () => {
    vi.stubEnv('VIVARIUM_DENO', dir);
    await expect(engine.start(startOptions())).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringContaining(dir),
    });
  });

  it.each([
    ['ends at once', 'exit 0', /ended with code 0/],
    ['fails with a message', 'echo "an error: no such flag" >&2; exit 7', /code 7: an error: no such flag/],
    ['dies by a signal', 'kill -9 $$', /by SIGKILL/],
    ['sends everything back', 'exec cat', /protocol|unknown|did not boot/],
    ['says something else', 'echo hello, this is no frame at all; exec cat >/dev/null', /did not boot/],
  ])('fails the boot when it %s', async (_name, script, reason) => {
    await binary(script);
    await expect(engine.start(startOptions())).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringMatching(reason),
    });
  });

  it('is ended when it takes too long', async () => {
    const file = join(dir, 'slow');
    await binary(`ln -s $$ ${file}; exec sleep 1000`);
    const starting = engine.start(startOptions({ bootTimeoutMs: 500 }));
    await expect(starting).rejects.toMatchObject({ code: 'boot_timeout' });
    expect(isAlive(await pidIn(file))).toBe(false);
  });

  it('is ended even when a process of its own holds the pipes', async () => {
    const [file, child] = [join(dir, 'parent'), join(dir, 'child')];
    await binary(`ln -s $$ ${file}; sleep 1000 & ln -s $! ${child}; wait`);
    await expect(engine.start(startOptions({ bootTimeoutMs: 500 }))).rejects.toMatchObject({
      code: 'boot_timeout',
    });
    expect(isAlive(await pidIn(file))).toBe(false);
    const left = await pidIn(child);
    await vi.waitFor(() => expect(isRunning(left)).toBe(false), { timeout: 10_000 });
  });

  it('takes along what it started when it ends by itself', async () => {
    const link = join(dir, 'left');
    await binary(`sleep 1000 & ln -s $! ${link}; exit 3`);
    await expect(engine.start(startOptions())).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringContaining('code 3'),
    });
    const left = await pidIn(link);
    await vi.waitFor(() => expect(isRunning(left)).toBe(false), { timeout: 10_000 });
  });

  it('is ended when the boot is aborted', async () => {
    const file = join(dir, 'aborted');
    await binary(`ln -s $$ ${file}; exec sleep 1000`);
    const stop = new AbortController();
    const starting = engine.start(startOptions({ signal: stop.signal }));
    const pid = await pidIn(file);
    stop.abort(new Error('enough'));
    await expect(starting).rejects.toThrow('enough');
    expect(isAlive(pid)).toBe(false);
  });

  it.each([
    ['no token', 'none'],
    ['another token', 'other'],
  ])('is not believed with %s', async (_name, mode) => {
    await binary(`exec ${process.execPath} ${fixture('forger.mjs')} ${mode}`);
    await expect(engine.start(startOptions())).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringContaining('token'),
    });
  });

  it('would be believed with the token: the forger’s frames are right but for that', async () => {
    await binary(`exec ${process.execPath} ${fixture('forger.mjs')} token`);
    const worker = await engine.start(startOptions());
    expect(worker.pyodide).toBe('forged');
    await end(worker);
  });
});

describe('the process of a worker', () => {
  it('fails the boot when it is killed in it', async () => {
    const file = join(dir, 'killed');
    await binary(`ln -s $$ ${file}; exec ${deno} "$@"`);
    let killed = false;
    const starting = engine.start(
      startOptions({
        onProgress() {
          if (killed) return;
          killed = true;
          void pidIn(file).then((pid) => process.kill(pid, 'SIGKILL'));
        },
      }),
    );
    await expect(starting).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringContaining('SIGKILL'),
    });
    expect(isAlive(await pidIn(file))).toBe(false);
  });

  it('gets no environment, and the working folder /', async () => {
    vi.stubEnv('VIVARIUM_SECRET', 'x');
    const worker = await engine.start(startOptions());
    const environment = await readFile(`/proc/${worker.pid}/environ`, 'utf8');
    expect(environment).not.toContain('VIVARIUM');
    expect(environment).not.toContain('PATH=');
    expect(await finish(worker, 'import os\nsorted(os.environ)')).toMatchObject({ status: 'ok' });
    await end(worker);
  });

  it('ends when its host is gone, even in the middle of a run', async () => {
    const host = fileURLToPath(new URL('../../dist/engines/deno/host.js', import.meta.url));
    const child = spawn(process.execPath, [fixture('host.mjs'), host, dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = await new Promise<string>((resolve) =>
      child.stdout.once('data', (data) => resolve(String(data))),
    );
    const pid = Number.parseInt(line, 10);
    expect(isAlive(pid)).toBe(true);
    child.kill('SIGKILL');
    await gone(pid);
  });

  it('may read its own files while it boots, and nothing at all afterwards', async () => {
    const stop = new AbortController();
    const file = join(dir, 'arguments');
    await binary(`ln -s $$ ${file}; cat > /dev/null`);
    const starting = engine.start(startOptions({ signal: stop.signal }));
    // Its arguments, as the engine gives them, behind the shell and the script.
    const args = (await readFile(`/proc/${await pidIn(file)}/cmdline`, 'utf8')).split('\0').slice(2, -1);
    stop.abort(new Error('seen'));
    await expect(starting).rejects.toThrow('seen');
    const own =
      args
        .find((arg) => arg.startsWith('--allow-read='))
        ?.slice('--allow-read='.length)
        .split(',') ?? [];
    expect(own.length).toBe(4);
    const { stdout } = await promisify(execFile)(
      deno,
      [...args.slice(0, -1), fixture('probe.mjs'), JSON.stringify(own)],
      { cwd: '/', env: { DENO_DIR: '/dev/null/none', NO_COLOR: '1' } },
    );
    const { before, after } = JSON.parse(stdout);
    const denied = {
      etc: 'NotCapable',
      folder: 'NotCapable',
      write: 'NotCapable',
      env: 'NotCapable',
      allEnv: 'NotCapable',
      run: 'NotCapable',
      connect: 'NotCapable',
      fetch: 'NotCapable',
      host: 'NotCapable',
      ffi: 'NotCapable',
      eval: 'EvalError',
      request: 'did: denied',
    };
    expect(before).toMatchObject({ ...denied, own: own.map(() => 'did: true') });
    expect(after).toMatchObject({ ...denied, own: own.map(() => 'NotCapable'), cwd: 'did: /' });
    for (const name of ['remote', 'storage'] as const) {
      expect(before[name]).not.toMatch(/^did/);
      expect(after[name]).not.toMatch(/^did/);
    }
    const none = ['write', 'net', 'env', 'sys', 'run', 'ffi'];
    for (const name of none) expect(before.states[name], name).not.toBe('granted');
    for (const name of [...none, 'read', 'import']) expect(after.states[name], name).not.toBe('granted');
  });

  it('has a realm for the kernel with no platform in it', async () => {
    const outfile = join(dir, 'realm.mjs');
    const program = `
      import { disguiseRealm } from './src/kernel/environment.ts';
      const { log } = console;
      const before = new Set(Object.getOwnPropertyNames(globalThis));
      disguiseRealm();
      const left = Object.getOwnPropertyNames(globalThis).filter((name) => before.has(name) && globalThis[name] !== undefined);
      log(JSON.stringify({ before: before.size, left }));
    `;
    const resolveDir = fileURLToPath(new URL('../../', import.meta.url));
    await build({
      stdin: { contents: program, resolveDir, loader: 'ts' },
      outfile,
      bundle: true,
      format: 'esm',
    });
    const { stdout } = await promisify(execFile)(
      deno,
      ['run', '--quiet', '--no-prompt', '--no-config', outfile],
      {
        env: { DENO_DIR: '/dev/null/none', NO_COLOR: '1' },
      },
    );
    const { before, left } = JSON.parse(stdout);
    expect(left.length).toBeLessThan(before);
    const platform = [
      'Deno',
      'process',
      'Buffer',
      'fetch',
      'WebSocket',
      'WebSocketStream',
      'EventSource',
      'Worker',
    ];
    expect(platform.filter((name) => left.includes(name))).toStrictEqual([]);
  });
});
