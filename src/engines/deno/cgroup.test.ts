import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Cgroup, openCgroup } from './cgroup.ts';

// Folders stand in for cgroups: what the kernel does with them isn't tested here.

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vivarium-cgroup-'));
  put('cgroup.subtree_control', 'cpu memory pids\n');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function put(path: string, text: string): void {
  writeFileSync(join(dir, path), text);
}

function open(memoryBytes = 1): Cgroup {
  const cgroup = openCgroup(memoryBytes, { VIVARIUM_CGROUP: dir });
  if (cgroup === undefined) throw new Error('no cgroup');
  return cgroup;
}

const control = () => readFileSync(join(dir, 'cgroup.subtree_control'), 'utf8');
const children = (): string[] => readdirSync(dir).filter((name) => name.startsWith('vivarium-'));

describe.runIf(process.platform !== 'win32')('the cgroup of a worker', () => {
  it('is below the one that is named, or none', () => {
    expect(openCgroup(1, {})).toBeUndefined();
    expect(openCgroup(1, { VIVARIUM_CGROUP: '' })).toBeUndefined();
    expect(dirname(dirname(open().procs))).toBe(dir);
    expect(control()).toBe('cpu memory pids\n');
  });

  it('is an error where it can’t be made', () => {
    expect(() => openCgroup(1, { VIVARIUM_CGROUP: join(dir, 'nowhere') })).toThrow(
      expect.objectContaining({ code: 'boot_failed', message: expect.stringContaining('VIVARIUM_CGROUP') }),
    );
  });

  it('needs control of memory and then of threads, each asked for by itself', () => {
    put('cgroup.subtree_control', 'cpu pids\n');
    open();
    expect(control()).toBe('+memory');
    put('cgroup.subtree_control', 'cpu memory\n');
    open();
    expect(control()).toBe('+pids');
  });

  it('has a limit, and tells of a kill for memory', () => {
    const cgroup = open(12345678);
    expect(readFileSync(join(dirname(cgroup.procs), 'memory.max'), 'utf8')).toBe('12345678');
    writeFileSync(
      join(dirname(cgroup.procs), 'memory.events'),
      'low 0\noom 1\noom_kill 2\noom_group_kill 1\n',
    );
    expect(cgroup.close()).toStrictEqual({ outOfMemory: true });
  });

  it('tells of no kill when there was none, or nothing is known', () => {
    const cgroup = open();
    expect(cgroup.close()).toStrictEqual({ outOfMemory: false });
    writeFileSync(join(dirname(cgroup.procs), 'memory.events'), 'oom 3\noom_kill 0\n');
    expect(cgroup.close()).toStrictEqual({ outOfMemory: false });
  });

  it('is removed by a later host when its own is gone, never while that lives', () => {
    const gone = join(dir, 'vivarium-999999999-x');
    const alive = join(dir, `vivarium-${process.ppid}-x`);
    const other = join(dir, 'vivarium-other');
    for (const path of [gone, alive, other]) mkdirSync(path);
    open();
    expect(children()).toContain('vivarium-other');
    expect(children()).toContain(`vivarium-${process.ppid}-x`);
    expect(children()).not.toContain('vivarium-999999999-x');
  });
});
