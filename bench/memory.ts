import { readFileSync } from 'node:fs';

export interface ProcessMemory {
  /** Resident pages, the shared ones counted in full. */
  rss: number;
  /** Resident pages, the shared ones divided among those that share them. */
  pss: number;
}

/** Of one process; undefined where the system doesn't tell. */
export function processMemory(pid: number): ProcessMemory | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    const field = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) * 1024;
    return { rss: field('Rss'), pss: field('Pss') };
  } catch {
    return undefined;
  }
}

export function totalMemory(pids: readonly number[]): ProcessMemory | undefined {
  const each = pids.map(processMemory);
  let total: ProcessMemory = { rss: 0, pss: 0 };
  for (const memory of each) {
    if (memory === undefined) return undefined;
    total = { rss: total.rss + memory.rss, pss: total.pss + memory.pss };
  }
  return total;
}

/** Resident bytes by the cheapest way, for many samples. */
export function residentBytes(pid: number): number | undefined {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4096;
  } catch {
    return undefined;
  }
}
