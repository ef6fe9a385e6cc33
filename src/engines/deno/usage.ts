import { readFileSync } from 'node:fs';
import type { Usage } from '../engine.ts';

/** Types in the auxiliary vector, of the kernel's `auxvec.h`. */
const pageSizeType = 6n;
const clockTicksType = 17n;

interface Units {
  pageBytes: number;
  /** Milliseconds. */
  tickMs: number;
}

let units: Units | null | undefined;

/** Whether `processUsage` can tell anything here. */
export function countsProcesses(): boolean {
  if (process.platform !== 'linux') return false;
  if (units === undefined) units = readUnits();
  return units !== null;
}

/** What the system counts of a process, read from `/proc`; null when it's gone. Throws what else the system says. */
export function processUsage(pid: number): Usage | null {
  if (!countsProcesses() || !units) return null;
  try {
    // The name, in parentheses, may hold anything.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, userTicks, systemTicks, residentPages] = [0, 11, 12, 21].map((index) => fields[index]);
    if (state === 'Z' || state === 'X') return null;
    const residentBytes = Number(residentPages) * units.pageBytes;
    const cpuMs = (Number(userTicks) + Number(systemTicks)) * units.tickMs;
    return Number.isFinite(residentBytes) && Number.isFinite(cpuMs) ? { residentBytes, cpuMs } : null;
  } catch (error) {
    return nullFor(error, ['ENOENT', 'ESRCH']);
  }
}

/** What the kernel told this process of its units when it was started: Node has no `sysconf`. */
function readUnits(): Units | null {
  try {
    const bytes = readFileSync('/proc/self/auxv');
    const found = new Map<bigint, number>();
    for (let at = 0; at + 16 <= bytes.length; at += 16)
      found.set(bytes.readBigUInt64LE(at), Number(bytes.readBigUInt64LE(at + 8)));
    const pageBytes = found.get(pageSizeType);
    const ticks = found.get(clockTicksType);
    return pageBytes && ticks ? { pageBytes, tickMs: 1000 / ticks } : null;
  } catch (error) {
    return nullFor(error, ['ENOENT', 'EACCES']);
  }
}

/** For want of descriptors, say, a process isn't gone. */
function nullFor(error: unknown, codes: readonly string[]): null {
  if (codes.includes((error as NodeJS.ErrnoException).code ?? '')) return null;
  throw error;
}
