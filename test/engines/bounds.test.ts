import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { findDeno } from '../../src/engines/deno/binary.ts';
import { createDenoEngine } from '../../src/engines/deno/host.ts';
import type { Engine, Worker } from '../../src/engines/engine.ts';
import { end, finish, isRunning, run, startOptions } from './subject.ts';

const mebibyte = 2 ** 20;
const maxResidentBytes = 700 * mebibyte;

let dir: string;
let engine: Engine;
let worker: Worker;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vivarium-bounds-'));
  engine = createDenoEngine({ image: true, cacheDir: join(dir, 'cache') });
  worker = await engine.start(startOptions({ maxResidentBytes }));
}, 120_000);
afterEach(() => vi.unstubAllEnvs());
afterAll(async () => {
  await end(worker);
  await rm(dir, { recursive: true, force: true });
});

/** Makes a shell script the engine's Deno. */
async function binary(script: string): Promise<void> {
  const path = join(dir, 'deno');
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o700);
  vi.stubEnv('VIVARIUM_DENO', path);
}

describe.runIf(process.platform === 'linux')('the limits of a worker’s process', () => {
  async function limits(): Promise<Map<string, [soft: string, hard: string]>> {
    const lines = (await readFile(`/proc/${worker.pid}/limits`, 'utf8')).split('\n').slice(1);
    return new Map(
      lines.map((line) => [line.slice(0, 25).trim(), [line.slice(26, 46).trim(), line.slice(47, 67).trim()]]),
    );
  }

  it('leave it no core dump, no byte in a file and few descriptors, for good', async () => {
    const found = await limits();
    expect(found.get('Max core file size')).toStrictEqual(['0', '0']);
    expect(found.get('Max file size')).toStrictEqual(['0', '0']);
    expect(found.get('Max open files')).toStrictEqual(['64', '64']);
  });

  it('end its writable memory not far above what is watched', async () => {
    const [soft, hard] = (await limits()).get('Max data size') ?? [];
    expect(soft).toBe(hard);
    const above = Number(hard) - maxResidentBytes;
    expect(above).toBe(2048 * mebibyte + 16 * mebibyte * availableParallelism());
    // What it has set aside must fit with room to spare, or boots would fail on another machine.
    const reserved = Number(
      /^VmData:\s+(\d+) kB/m.exec(await readFile(`/proc/${worker.pid}/status`, 'utf8'))?.[1],
    );
    expect(reserved * 1024).toBeLessThan(above - 512 * mebibyte);
  });

  it('are far from what it needs', async () => {
    await finish(worker, 'open("/tmp/x", "w").write("x" * 100_000)');
    expect((await readdir(`/proc/${worker.pid}/fd`)).length).toBeLessThan(32);
  });

  it('are those of its own heap when none are given', async () => {
    const init = { maxHeapBytes: 1024 * mebibyte, warmingRuns: 0, env: {} };
    const other = await engine.start(startOptions({ init }));
    const text = await readFile(`/proc/${other.pid}/limits`, 'utf8');
    const dataBytes = Number(/^Max data size +(\d+)/m.exec(text)?.[1]);
    expect(dataBytes).toBe((2 * 1024 + 512 + 2048 + 16 * availableParallelism()) * mebibyte);
    await end(other);
  });

  it('are those of a Deno that is named by a path relative to this process’s folder, too', async () => {
    vi.stubEnv('VIVARIUM_DENO', relative(process.cwd(), findDeno()));
    await end(await engine.start(startOptions()));
  });

  it('end a process that writes to disk, before the first byte', async () => {
    const file = join(dir, 'written');
    await binary(`printf x > ${file}; ln -s no-signal ${file}.link`);
    await expect(engine.start(startOptions())).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringContaining('SIGXFSZ'),
    });
    expect((await stat(file)).size).toBe(0);
  });
});

describe.runIf(process.platform === 'linux')('what a worker uses', () => {
  it('is what the system counts, whatever the worker says', async () => {
    const { residentBytes = 0 } = (await worker.usage()) ?? {};
    const exact = Number(
      /^Rss:\s+(\d+) kB/m.exec(await readFile(`/proc/${worker.pid}/smaps_rollup`, 'utf8'))?.[1],
    );
    expect(residentBytes / 1024 / exact).toBeGreaterThan(0.9);
    expect(residentBytes / 1024 / exact).toBeLessThan(1.1);
    expect((await worker.ping(5000)).residentBytes).toBeGreaterThan(0.5 * residentBytes);
  });

  it('grows with memory and processor time, and is told while Python computes', async () => {
    const before = await worker.usage();
    const code = 'x = b"x" * 100_000_000\nprint("go", flush=True)\nwhile True: pass';
    const running = run(worker, code, { id: 'busy' });
    await running.printed('go');
    const now = await worker.usage();
    expect((now?.residentBytes ?? 0) - (before?.residentBytes ?? 0)).toBeGreaterThan(80_000_000);
    await vi.waitFor(async () => {
      const later = await worker.usage();
      expect((later?.cpuMs ?? 0) - (now?.cpuMs ?? 0)).toBeGreaterThan(100);
    }, 10_000);
    worker.interrupt('busy', 'interrupted');
    await running.rewound;
  });

  it('is an error, not its end, where the system can’t tell now', async () => {
    const usage = fileURLToPath(new URL('../../src/engines/deno/usage.ts', import.meta.url));
    const script = `
      import { openSync } from 'node:fs';
      import { processUsage } from ${JSON.stringify(usage)};
      const before = processUsage(process.pid);
      try { for (;;) openSync('/dev/null'); } catch {}
      let told;
      try { told = processUsage(process.pid); } catch (error) { told = error.code; }
      console.log(before.residentBytes > 0, told);`;
    const command = 'ulimit -n 100; exec "$0" --input-type=module -e "$1"';
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', command, process.execPath, script]);
    expect(stdout.trim()).toBe('true EMFILE');
  });

  it('is told of a worker that is stopped, and no longer of one that is gone', async () => {
    const other = await engine.start(startOptions());
    process.kill(other.pid ?? -1, 'SIGSTOP');
    expect((await other.usage())?.residentBytes).toBeGreaterThan(50 * mebibyte);
    await end(other);
    expect(await other.usage()).toBeNull();
  });
});

describe.runIf(process.platform === 'linux')('the cgroup of a worker', () => {
  // A folder stands in for one: the kernel's part isn't tested here.
  async function named(): Promise<string> {
    const cgroups = await mkdtemp(join(dir, 'cgroups-'));
    await writeFile(join(cgroups, 'cgroup.subtree_control'), 'memory pids');
    vi.stubEnv('VIVARIUM_CGROUP', cgroups);
    return cgroups;
  }

  it('holds it from its start', async () => {
    const cgroups = await named();
    const other = await engine.start(startOptions({ maxResidentBytes }));
    const [own = ''] = (await readdir(cgroups)).filter((name) => name.startsWith('vivarium-'));
    expect(await readFile(join(cgroups, own, 'cgroup.procs'), 'utf8')).toBe(`${other.pid}\n`);
    expect(await readFile(join(cgroups, own, 'memory.max'), 'utf8')).toBe(String(maxResidentBytes));
    await end(other);
  });

  it('makes its end for memory be told as that', async () => {
    const cgroups = await named();
    const other = await engine.start(startOptions({ maxResidentBytes }));
    const [own = ''] = (await readdir(cgroups)).filter((name) => name.startsWith('vivarium-'));
    const { result, printed } = run(other, 'print("go", flush=True)\nwhile True: pass');
    await printed('go');
    await writeFile(join(cgroups, own, 'memory.events'), 'low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n');
    process.kill(other.pid ?? -1, 'SIGKILL');
    const message = expect.stringContaining('more than 700 MiB');
    await expect(result).rejects.toMatchObject({ code: 'memory', message });
    expect(await other.exited).toStrictEqual({ expected: false, reason: message, outOfMemory: true });
  });

  it('is needed to start when it is named', async () => {
    vi.stubEnv('VIVARIUM_CGROUP', join(dir, 'nowhere'));
    await expect(engine.start(startOptions())).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringContaining('VIVARIUM_CGROUP'),
    });
  });
});

/** Stands in for bubblewrap, which there may be none of here. */
async function bubblewrap(script: string): Promise<void> {
  const folder = await mkdtemp(join(dir, 'bin-'));
  await writeFile(join(folder, 'bwrap'), `#!/bin/sh\n${script}\n`);
  await chmod(join(folder, 'bwrap'), 0o700);
  vi.stubEnv('PATH', `${folder}:${process.env.PATH}`);
}

describe.runIf(process.platform === 'linux')('a bubblewrap that misbehaves', () => {
  const boxed = () => createDenoEngine({ image: true, cacheDir: join(dir, 'cache'), sandbox: 'os' });

  it('is no worker when it doesn’t tell which process is', async () => {
    await bubblewrap('while [ "$1" != -- ]; do shift; done; shift; exec "$@"');
    const message = expect.stringContaining('did not tell which process');
    await expect(boxed().start(startOptions())).rejects.toMatchObject({ code: 'boot_failed', message });
  });

  it('is killed when it goes on after its child', async () => {
    const link = join(dir, 'inner');
    await bubblewrap(
      `sleep 1000 & echo "{\\"child-pid\\": $!}" >&3; ln -s $! ${link}; while :; do sleep 1; done`,
    );
    const stop = new AbortController();
    const starting = boxed().start(startOptions({ signal: stop.signal }));
    const child = Number(await vi.waitFor(() => readlink(link), 5000));
    stop.abort(new Error('enough'));
    await expect(starting).rejects.toThrow('enough');
    expect(isRunning(child)).toBe(false);
  }, 10_000);
});

describe.runIf(process.platform === 'linux')('the end of a worker', () => {
  it('is that of what it started, too', async () => {
    const link = join(dir, 'child');
    await binary(`sleep 1000 & ln -s $! ${link}; exec sleep 1000`);
    const stop = new AbortController();
    const starting = engine.start(startOptions({ signal: stop.signal }));
    const child = Number(await vi.waitFor(() => readlink(link)));
    expect(isRunning(child)).toBe(true);
    stop.abort(new Error('enough'));
    await expect(starting).rejects.toThrow('enough');
    await vi.waitFor(() => expect(isRunning(child)).toBe(false), { timeout: 10_000 });
  });
});
