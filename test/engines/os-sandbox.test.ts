import { spawn } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { findDeno } from '../../src/engines/deno/binary.ts';
import { findBubblewrap, sandboxed } from '../../src/engines/deno/bubblewrap.ts';
import { createDenoEngine } from '../../src/engines/deno/host.ts';
import type { Engine, Worker } from '../../src/engines/engine.ts';
import { end, finish, isAlive, isRunning, run, startOptions } from './subject.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
const ENOSYS = -38;

let dir: string;
let engine: Engine;
const available = findBubblewrap() !== undefined;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vivarium-os-'));
  engine = createDenoEngine({ image: true, cacheDir: join(dir, 'cache'), sandbox: 'os' });
  // The image that all others boot from.
  if (available) await end(await engine.start(startOptions()));
}, 120_000);
afterEach(() => vi.unstubAllEnvs());
afterAll(() => rm(dir, { recursive: true, force: true }));

function gone(pid: number): Promise<void> {
  return vi.waitFor(() => expect(isRunning(pid)).toBe(false), { timeout: 10_000 });
}

async function factsOf(pid: number): Promise<Map<string, string>> {
  const lines = (await readFile(`/proc/${pid}/status`, 'utf8')).trim().split('\n');
  return new Map(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
}

describe.skipIf(!available)('a worker in the sandbox of the operating system', () => {
  let worker: Worker;
  let pid: number;
  beforeAll(async () => {
    worker = await engine.start(startOptions());
    pid = worker.pid ?? -1;
  });
  afterAll(() => end(worker));

  it('runs Python, and is told of as Deno’s own process', async () => {
    expect(await finish(worker, '1 + 1')).toMatchObject({ status: 'ok', text: '2' });
    expect(await readlink(`/proc/${pid}/exe`)).toBe(findDeno());
    const { residentBytes } = await worker.ping(5000);
    expect(residentBytes).toBeGreaterThan(50 * 2 ** 20);
    expect((await worker.usage())?.residentBytes).toBeGreaterThan(50 * 2 ** 20);
  });

  it('leaves nothing behind in the host with each run', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): number => warnings.push(warning);
    process.on('warning', note);
    for (let count = 0; count < 20; count++) await finish(worker, '1');
    process.off('warning', note);
    expect(warnings).toStrictEqual([]);
  });

  it('has a filter of system calls, no capability and no way to more', async () => {
    const facts = await factsOf(pid);
    const none = '0000000000000000';
    expect(Object.fromEntries(facts)).toMatchObject({
      Seccomp: '2',
      NoNewPrivs: '1',
      CapInh: none,
      CapPrm: none,
      CapEff: none,
      CapBnd: none,
      CapAmb: none,
      NSpid: expect.stringMatching(/\s1$/),
    });
  });

  it('is in namespaces of its own', async () => {
    for (const name of ['user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup'])
      expect(await readlink(`/proc/${pid}/ns/${name}`), name).not.toBe(
        await readlink(`/proc/self/ns/${name}`),
      );
  });

  it('has mounts that are read-only but for two devices, and no descriptor that it doesn’t need', async () => {
    const mounts = (await readFile(`/proc/${pid}/mountinfo`, 'utf8')).trim().split('\n');
    const writable = mounts
      .map((line) => line.split(' '))
      .filter(([, , , , , options]) => !/^ro\b/.test(options ?? ''));
    expect(writable.map(([, , , , point]) => point).sort()).toStrictEqual(['/dev/null', '/dev/urandom']);
    const open = await readdir(`/proc/${pid}/fd`);
    const targets = await Promise.all(open.map((number) => readlink(`/proc/${pid}/fd/${number}`)));
    expect(targets.filter((target) => !/^(socket|pipe|anon_inode):/.test(target))).toStrictEqual([]);
  });
});

describe.skipIf(!available)('native code in the sandbox of the operating system', () => {
  it('finds no call, file, program, network, user or process', async () => {
    const connections: unknown[] = [];
    const server = createServer((socket) => connections.push(socket.destroy()));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    vi.stubEnv('VIVARIUM_SECRET', 'x');
    const probe = fixture('native.mjs');
    const args = [
      'run',
      '--quiet',
      '--no-config',
      '--allow-all',
      probe,
      String((server.address() as AddressInfo).port),
      findDeno(),
    ];
    const command = await sandboxed(
      { file: findDeno(), args, env: { NO_COLOR: '1', DENO_DIR: '/dev/null/x' } },
      [probe],
    );
    const child = spawn(command.file, command.args, {
      env: command.env,
      stdio: ['pipe', 'pipe', 'inherit', 'pipe', 'pipe'],
    });
    const { stdout, stdio } = child;
    if (stdout === null || command.filter === undefined) throw new Error('no pipe, or no filter');
    (stdio[4] as NodeJS.WritableStream).end(command.filter);
    const found = JSON.parse(await text(stdout));
    server.close();

    expect(found.calls).toStrictEqual(
      Object.fromEntries(Object.keys(found.calls).map((name) => [name, ENOSYS])),
    );
    expect(Object.keys(found.calls).length).toBeGreaterThan(5);
    expect(found).toMatchObject({ pid: 1, parent: 0, uid: 65534, hostname: 'vivarium' });
    expect(found.devices).toStrictEqual(['null', 'urandom']);
    for (const name of ['etc', 'proc', 'sys', 'home', 'bin', 'sbin']) expect(found.root).not.toContain(name);
    for (const name of ['passwd', 'proc', 'write', 'overwrite', 'run', 'connect', 'listen'])
      expect(found[name], name).not.toMatch(/^did/);
    expect(found.environment.filter((name: string) => /VIVARIUM|PATH=|HOME|USER/.test(name))).toStrictEqual(
      [],
    );
    expect(connections).toStrictEqual([]);
  });
});

describe.skipIf(!available)('the end of a worker in the sandbox of the operating system', () => {
  async function outerOf(pid: number): Promise<number> {
    return Number((await factsOf(pid)).get('PPid'));
  }

  it('takes all of its processes along when it is killed', async () => {
    const worker = await engine.start(startOptions());
    const inner = worker.pid ?? -1;
    const outer = await outerOf(inner);
    expect(outer).not.toBe(process.pid);
    const { result } = run(worker, 'while True: pass');
    worker.kill();
    await expect(result).rejects.toMatchObject({ code: 'crashed' });
    expect(await worker.exited).toStrictEqual({
      expected: true,
      reason: "the worker's process ended by SIGKILL",
    });
    expect([inner, outer].filter(isAlive)).toStrictEqual([]);
    expect(await worker.usage()).toBeNull();
  });

  it('is told like that of any worker when Deno dies by itself', async () => {
    const worker = await engine.start(startOptions());
    process.kill(worker.pid ?? -1, 'SIGKILL');
    expect(await worker.exited).toStrictEqual({
      expected: false,
      reason: "the worker's process ended by SIGKILL",
    });
  });

  it('comes with that of its host, also when it can’t notice it', async () => {
    const host = fileURLToPath(new URL('../../dist/engines/deno/host.js', import.meta.url));
    const child = spawn(
      process.execPath,
      [fixture('host.mjs'), host, join(dir, 'cache'), JSON.stringify({ image: true, sandbox: 'os' })],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    const line = await new Promise<string>((resolve) =>
      child.stdout.once('data', (data) => resolve(String(data))),
    );
    const inner = Number.parseInt(line, 10);
    const outer = await outerOf(inner);
    process.kill(inner, 'SIGSTOP');
    child.kill('SIGKILL');
    await gone(inner);
    await gone(outer);
  });
});

describe('the sandbox of the operating system, where it can’t be had', () => {
  /** A folder with this for bubblewrap, as the only one of `PATH`. */
  async function bubblewrap(script: string | undefined): Promise<void> {
    const folder = await mkdtemp(join(dir, 'bin-'));
    vi.stubEnv('PATH', folder);
    if (script === undefined) return;
    await writeFile(join(folder, 'bwrap'), `#!/bin/sh\n${script}\n`);
    await chmod(join(folder, 'bwrap'), 0o700);
  }

  it('is missed by name when bubblewrap isn’t installed', async () => {
    await bubblewrap(undefined);
    await expect(engine.start(startOptions())).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringMatching(/bwrap.*apt install bubblewrap.*vivarium doctor/),
    });
  });

  it('tells what bubblewrap says when the kernel refuses it', async () => {
    await bubblewrap("echo 'bwrap: No permissions to create new namespace' >&2; exit 1");
    await expect(engine.start(startOptions())).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringMatching(/No permissions to create new namespace.*user namespaces/),
    });
  });

  it('needs Deno itself, not a script', async () => {
    await bubblewrap('exit 1');
    const script = join(dir, 'deno-script');
    await writeFile(script, '#!/bin/sh\nexit 1\n');
    await chmod(script, 0o700);
    vi.stubEnv('VIVARIUM_DENO', script);
    await expect(engine.start(startOptions())).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringContaining('no 64-bit ELF program'),
    });
  });
});
