import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { WorkerError } from '../../errors/errors.ts';
import { hasShell } from './limits.ts';

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
 * A cgroup (v2) for one worker below the one that `VIVARIUM_CGROUP` names, undefined where it names none: beyond
 * `memoryBytes` the kernel reclaims what it can, then ends the whole worker. None is looked for: workers belong to the
 * limits that the operator gave to their host. Throws `WorkerError` (`boot_failed`) when the named one won't do.
 */
export function openCgroup(
  memoryBytes: number,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Cgroup | undefined {
  const parent = env.VIVARIUM_CGROUP;
  if (!parent) return undefined;
  try {
    if (!hasShell()) throw new Error('there is no /bin/sh, by which a worker enters it');
    enableControllers(parent);
    return makeCgroup(parent, memoryBytes);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `VIVARIUM_CGROUP names '${parent}', where no cgroup (v2) can be made for a worker: ${why}`;
    throw new WorkerError('boot_failed', message, { cause });
  }
}

/** One by one: where one can't be had, none of those written together is. */
function enableControllers(parent: string): void {
  const file = join(parent, 'cgroup.subtree_control');
  const enabled = readFileSync(file, 'utf8').split(/\s/);
  if (!enabled.includes('memory')) writeFileSync(file, '+memory');
  if (enabled.includes('pids')) return;
  try {
    writeFileSync(file, '+pids');
  } catch {
    // A number of threads is only a second bound.
  }
}

/** A child with its limits. */
function makeCgroup(parent: string, memoryBytes: number): Cgroup {
  sweep(parent);
  const path = join(parent, `${prefix}${process.pid}-${randomUUID()}`);
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
function sweep(parent: string): void {
  const old = readdirSync(parent).filter((name) => {
    const host = Number(new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1]);
    return host > 0 && !isAlive(host);
  });
  for (const folder of [...leftOver, ...old.map((name) => join(parent, name))]) {
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
