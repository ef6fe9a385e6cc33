import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { isAlive, startOptions } from '../../engines/subject.ts';
import { possess } from './build.ts';
import { granted, subject } from './subject.ts';

describe('a possessed kernel and what the platform has', () => {
  const s = subject();

  it('has no permission, and gets none', async () => {
    const states = await s.find('permissions');
    expect(Object.keys(states).length).toBe(10);
    expect(new Set(Object.values(states))).toStrictEqual(new Set(['prompt']));
  });

  it('T06: Deno gives it nothing', async () => {
    // A process that it could end, if it could end any.
    const victim = spawn('sleep', ['100'], { stdio: 'ignore' });
    try {
      const found = await s.find('T06', { victim: victim.pid });
      expect(Object.keys(found).length).toBeGreaterThan(45);
      expect(granted(found)).toStrictEqual({});
      expect(isAlive(victim.pid ?? 0)).toBe(true);
    } finally {
      victim.kill('SIGKILL');
      await once(victim, 'exit');
    }
  });

  it('T06: nor do the functions below its API, which may end the worker', async () => {
    let from = 0;
    let told: { count: number } | undefined;
    for (let round = 0; round < 30 && told === undefined; round += 1) {
      const execution = await s.run('operations', { from });
      if (execution.status === 'ok') told = JSON.parse(execution.text ?? '');
      else from = Number(execution.stdout.trim().split('\n').at(-1)?.split(' ')[0]) + 1;
    }
    expect(told?.count).toBeGreaterThan(10);
    await s.expectUnharmed();
  });

  it('T07: what it can learn has no secret in it', async () => {
    const found = await s.find('T07');
    expect(found).toMatchObject({ cwd: '/', args: [], execArgv: [] });
    const said = JSON.stringify(found);
    for (const name of ['HOME', 'USER', 'LOGNAME']) {
      const value = process.env[name];
      if (value !== undefined && value.length > 4) expect(said).not.toContain(`"${value}"`);
    }
    expect(said).not.toContain(s.canaries.targets.variable);
  });

  it('T08: Node’s modules load, and do nothing', async () => {
    const victim = spawn('sleep', ['100'], { stdio: 'ignore' });
    try {
      const found = await s.find('T08', { victim: victim.pid });
      expect(Object.keys(found).length).toBeGreaterThan(35);
      // A socket that is never bound, and a report that is never written.
      const harmless = { udp: 'got: nothing, until now', 'process report': 'got: ' };
      expect({ ...harmless, ...granted(found) }).toStrictEqual(harmless);
      expect(isAlive(victim.pid ?? 0)).toBe(true);
    } finally {
      victim.kill('SIGKILL');
      await once(victim, 'exit');
    }
  });

  it('T14: no import reads a file', async () => {
    const paths = [s.canaries.targets.secret, 'file:///proc/self/environ'];
    const found = await s.find('T14', { paths });
    expect(Object.keys(found).length).toBe(paths.length * 13);
    expect(granted(found)).toStrictEqual({});
  });

  it('T16: /proc and devices are closed', async () => {
    const found = await s.find('T16', { parent: process.pid });
    expect(Object.keys(found).length).toBeGreaterThan(40);
    expect(granted(found)).toStrictEqual({});
  });

  it('V8’s switches don’t bring back what was given up', async () => {
    const found = await s.find('flags');
    expect(found.eval).toMatch(/^EvalError/);
    expect(new Set(Object.values(await s.find('permissions')))).toStrictEqual(new Set(['prompt']));
  });

  it('T35: nobody can connect to it, and its pipes can’t be opened by others', async () => {
    const { pid = 0 } = (await s.runtime.run('1')).worker;
    expect(await listeningSockets(process.pid)).not.toStrictEqual([]);
    expect(await listeningSockets(pid)).toStrictEqual([]);
    for (const descriptor of [0, 1]) {
      expect(() => openSync(`/proc/${pid}/fd/${descriptor}`, 'r+')).toThrow();
    }
  });
});

describe('the supervisor', () => {
  it('has no permission either', async () => {
    await using possessed = await possess({ supervisor: true });
    const { createDenoEngine }: typeof import('../../../src/engines/deno/host.ts') = await import(
      possessed.url('engines/deno/host.js')
    );
    await using engine = createDenoEngine({ image: true });
    const worker = await engine.start(startOptions());
    await worker.shutdown(10_000);
    const { reason } = await worker.exited;
    const states: Record<string, string> = JSON.parse(/\{.*\}/.exec(reason)?.[0] ?? '{}');
    expect(Object.keys(states).length).toBe(10);
    expect(new Set(Object.values(states))).toStrictEqual(new Set(['prompt']));
  });
});

/** Inodes of the sockets that a process listens on with TCP. */
async function listeningSockets(pid: number): Promise<string[]> {
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((table) => readFile(`/proc/${pid}/net/${table}`, 'utf8').catch(() => '')),
  );
  const listening = new Set(
    tables
      .flatMap((table) => table.split('\n').map((line) => line.trim().split(/\s+/)))
      .flatMap((cells) => (cells[3] === '0A' && cells[9]) || []),
  );
  const descriptors = await readdir(`/proc/${pid}/fd`);
  const links = await Promise.all(
    descriptors.map((each) => readlink(`/proc/${pid}/fd/${each}`).catch(() => '')),
  );
  return links.filter((link) => listening.has(/^socket:\[(\d+)\]$/.exec(link)?.[1] ?? ''));
}
