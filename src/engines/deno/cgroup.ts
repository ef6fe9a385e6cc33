import { randomUUID } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { WorkerError } from '../../errors/errors.ts';

/** Of cgroup v2, which the caller may make children of. */
export interface CgroupParent {
  readonly path: string;
  /** Whether the operator named it: a worker that can't be put there is not started then. */
  readonly named: boolean;
}

/** One worker's. */
export interface Cgroup {
  /** A process that writes its id there enters. */
  readonly procs: string;
  /** Removes it, and ends what is left in it. Tells whether the kernel ended something in it for its memory. */
  close(): { outOfMemory: boolean };
}

const prefix = 'vivarium-';
/** With one processor a worker has 8 threads, 2 more for each further one; bubblewrap is a process of its own. */
const threadsBeside = 32;
const threadsPerProcessor = 4;

/**
 * The cgroup that workers can have children of: named by `VIVARIUM_CGROUP`, else the parent of this process's own where
 * it was handed to this user. (To root everything is writable: that says nothing, and it has to be named.) Undefined
 * where there is none. Throws `WorkerError` (`boot_failed`) when the named one won't do.
 */
export function findCgroupParent(
  env: Readonly<Record<string, string | undefined>> = process.env,
  self = '/proc/self',
  uid: number | undefined = process.getuid?.(),
): CgroupParent | undefined {
  const named = env.VIVARIUM_CGROUP;
  if (named) {
    try {
      if (!controlsMemory(named)) writeFileSync(join(named, 'cgroup.subtree_control'), '+memory +pids');
      accessSync(named, constants.W_OK);
      return { path: named, named: true };
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new WorkerError(
        'boot_failed',
        `VIVARIUM_CGROUP names '${named}', which is no cgroup (v2) whose memory can be controlled: ${why}`,
        { cause },
      );
    }
  }
  if (process.platform !== 'linux' || uid === 0) return undefined;
  try {
    const own = /^0::(\/.*)$/m.exec(readFileSync(join(self, 'cgroup'), 'utf8'))?.[1];
    const mount = cgroupMount(readFileSync(join(self, 'mountinfo'), 'utf8'));
    // What is above the mount's own root can't be seen.
    if (own === undefined || mount === undefined || own === '/' || own.startsWith('/..')) return undefined;
    const path = dirname(join(mount, own));
    accessSync(path, constants.W_OK);
    accessSync(join(path, 'cgroup.procs'), constants.W_OK);
    return controlsMemory(path) ? { path, named: false } : undefined;
  } catch {
    return undefined;
  }
}

/** Where the whole hierarchy is mounted. */
function cgroupMount(mountinfo: string): string | undefined {
  for (const line of mountinfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const [, , , root, point] = left.split(' ');
    if (right.startsWith('cgroup2 ') && root === '/') return point?.replaceAll('\\040', ' ');
  }
  return undefined;
}

function controlsMemory(path: string): boolean {
  return readFileSync(join(path, 'cgroup.subtree_control'), 'utf8').split(/\s/).includes('memory');
}

/**
 * A child for one worker: beyond `memoryBytes` the kernel reclaims what it can, then ends the whole worker. Throws what
 * the disk says.
 */
export function makeCgroup(parent: CgroupParent, memoryBytes: number): Cgroup {
  sweep(parent);
  const path = join(parent.path, `${prefix}${process.pid}-${randomUUID()}`);
  mkdirSync(path);
  const set = (file: string, value: number): void => writeFileSync(join(path, file), String(value));
  const setIfThere = (file: string, value: number): void => {
    if (existsSync(join(path, file))) set(file, value);
  };
  try {
    set('memory.max', memoryBytes);
    setIfThere('memory.swap.max', 0);
    setIfThere('memory.oom.group', 1);
    setIfThere('pids.max', threadsBeside + threadsPerProcessor * availableParallelism());
  } catch (error) {
    remove(path);
    throw error;
  }
  return {
    procs: join(path, 'cgroup.procs'),
    close() {
      const outOfMemory = oomKills(path) > 0;
      remove(path);
      return { outOfMemory };
    },
  };
}

function oomKills(path: string): number {
  try {
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(path, 'memory.events'), 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** What is killed here may take a moment to end: a later sweep removes the folder then. */
function remove(path: string): void {
  try {
    if (existsSync(join(path, 'cgroup.kill'))) writeFileSync(join(path, 'cgroup.kill'), '1');
    rmdirSync(path);
  } catch {
    leftOver.add(path);
  }
}

const leftOver = new Set<string>();

/**
 * What hosts left that are gone, and what this one could not remove at once. Only empty ones can be, and nothing is
 * ended: a host of another container is not seen here, and its workers end by themselves.
 */
function sweep({ path }: CgroupParent): void {
  const old = readdirSync(path).filter((name) => {
    const host = Number(new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1]);
    return host > 0 && !isAlive(host);
  });
  for (const folder of [...leftOver, ...old.map((name) => join(path, name))]) {
    leftOver.delete(folder);
    try {
      rmdirSync(folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EBUSY') leftOver.add(folder);
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
