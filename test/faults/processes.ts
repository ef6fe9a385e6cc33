/** What Linux knows of processes. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface ProcessFacts {
  pid: number;
  parent: number;
  group: number;
  session: number;
  state: string;
}

/** Undefined when there is none, or only what its parent hasn't taken note of yet. */
export function processOf(pid: number): ProcessFacts | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  const [state = '', ...numbers] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [parent = 0, group = 0, session = 0] = numbers.map(Number);
  return state === 'Z' || state === 'X' ? undefined : { pid, parent, group, session, state };
}

export function processes(): ProcessFacts[] {
  return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? (processOf(Number(name)) ?? []) : []));
}

/** Of a process that was started here: 0 and less would be whole groups. */
export function signal(pid: number, name: NodeJS.Signals): void {
  if (!(pid > 1)) throw new RangeError(`${pid} is no process of a worker`);
  process.kill(pid, name);
}

export function isAlive(pid: number): boolean {
  return processOf(pid) !== undefined;
}

export function childrenOf(parent: number): number[] {
  return processes().flatMap((one) => (one.parent === parent ? one.pid : []));
}

/** What a process started that is its group's or session's head, wherever its parent has gone. */
export function relativesOf(head: number): number[] {
  return processes().flatMap((one) => (one.group === head || one.session === head ? one.pid : []));
}

/** Open descriptors, without the one that counting takes. */
export function descriptorsOf(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`);
    } catch {
      return [];
    }
  });
}

export function residentBytesOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}
