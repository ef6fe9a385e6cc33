import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findCgroupParent, makeCgroup } from './cgroup.ts';

// Folders stand in for cgroups: what the kernel does with them isn't tested here.

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vivarium-cgroup-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function put(path: string, text: string): void {
  mkdirSync(dirname(join(dir, path)), { recursive: true });
  writeFileSync(join(dir, path), text);
}

const user = 1000;
const find = (env = {}, uid = user) => findCgroupParent(env, join(dir, 'proc'), uid)?.path;

describe.runIf(process.platform === 'linux')('the cgroup above', () => {
  beforeEach(() => {
    put('fs/app.slice/cgroup.subtree_control', 'cpu memory pids\n');
    put('fs/app.slice/cgroup.procs', '');
    put('fs/app.slice/x.service/cgroup.procs', '');
    put('proc/cgroup', '9:name=systemd:/old\n0::/app.slice/x.service\n');
    put(
      'proc/mountinfo',
      `24 30 0:22 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n35 30 0:30 / ${dir}/fs rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n`,
    );
  });

  it('is the parent of the process’s own, when it was handed to the user', () => {
    expect(find()).toBe(join(dir, 'fs/app.slice'));
  });

  it('is not taken from the system by root', () => {
    expect(find({}, 0)).toBeUndefined();
  });

  it('is none without control of memory', () => {
    put('fs/app.slice/cgroup.subtree_control', 'cpu pids\n');
    expect(find()).toBeUndefined();
  });

  it.each([
    ['version 1 alone', '9:memory:/x\n'],
    ['the root of a container', '0::/\n'],
    ['a place outside of the container', '0::/../x\n'],
    ['nonsense', 'nonsense'],
  ])('is none for %s', (_name, cgroup) => {
    put('proc/cgroup', cgroup);
    expect(find()).toBeUndefined();
  });

  it('is none where only a part is mounted, or nothing', () => {
    put('proc/mountinfo', `35 30 0:30 /docker/x ${dir}/fs rw - cgroup2 cgroup2 rw\n`);
    expect(find()).toBeUndefined();
    rmSync(join(dir, 'proc'), { recursive: true });
    expect(find()).toBeUndefined();
  });

  it('is the one that is named, or an error', () => {
    const named = join(dir, 'fs/app.slice');
    expect(find({ VIVARIUM_CGROUP: named }, 0)).toBe(named);
    expect(() => find({ VIVARIUM_CGROUP: join(dir, 'nowhere') })).toThrow(
      expect.objectContaining({ code: 'boot_failed', message: expect.stringContaining('VIVARIUM_CGROUP') }),
    );
  });

  it('is asked to control memory when it’s named and doesn’t yet', () => {
    put('fs/named/cgroup.subtree_control', '');
    find({ VIVARIUM_CGROUP: join(dir, 'fs/named') });
    expect(readFileSync(join(dir, 'fs/named/cgroup.subtree_control'), 'utf8')).toBe('+memory +pids');
  });
});

describe('the cgroup of a worker', () => {
  const parent = () => ({ path: dir, named: true });
  const children = (): string[] => readdirSync(dir).filter((name) => name.startsWith('vivarium-'));

  it('has a limit, and tells of a kill for memory', () => {
    const cgroup = makeCgroup(parent(), 12345678);
    expect(readFileSync(join(dirname(cgroup.procs), 'memory.max'), 'utf8')).toBe('12345678');
    writeFileSync(
      join(dirname(cgroup.procs), 'memory.events'),
      'low 0\noom 1\noom_kill 2\noom_group_kill 1\n',
    );
    expect(cgroup.close()).toStrictEqual({ outOfMemory: true });
  });

  it('tells of no kill when there was none, or nothing is known', () => {
    const cgroup = makeCgroup(parent(), 1);
    expect(cgroup.close()).toStrictEqual({ outOfMemory: false });
    writeFileSync(join(dirname(cgroup.procs), 'memory.events'), 'oom 3\noom_kill 0\n');
    expect(cgroup.close()).toStrictEqual({ outOfMemory: false });
  });

  it('is removed by a later host when its own is gone, never while that lives', () => {
    const gone = join(dir, 'vivarium-999999999-x');
    const alive = join(dir, `vivarium-${process.ppid}-x`);
    const other = join(dir, 'vivarium-other');
    for (const path of [gone, alive, other]) mkdirSync(path);
    makeCgroup(parent(), 1);
    expect(children()).toContain('vivarium-other');
    expect(children()).toContain(`vivarium-${process.ppid}-x`);
    expect(children()).not.toContain('vivarium-999999999-x');
  });
});
