import { readdir, rm, rmdir, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../errors/errors.ts';

/** What was taken for an image may be read by its builder for so long: it is not removed. */
export const heldMs = 3_600_000;
const dayMs = 24 * 3_600_000;

export interface WheelCacheLimits {
  /** Of all files together. Default 4 GiB. */
  bytes: number;
  /** Default 5000. */
  files: number;
  /** A wheel that nobody used for so long is removed. Default 30 days. */
  unusedMs: number;
}

export const wheelCacheLimits: WheelCacheLimits = Object.freeze({
  bytes: 4_294_967_296,
  files: 5000,
  unusedMs: 30 * dayMs,
});

/** The defaults, and what an operator set by `VIVARIUM_WHEEL_CACHE_BYTES`. Throws `UsageError`. */
export function readWheelCacheLimits(env: Readonly<Record<string, string | undefined>>): WheelCacheLimits {
  const text = env.VIVARIUM_WHEEL_CACHE_BYTES?.trim() ?? '';
  if (text === '') return wheelCacheLimits;
  if (/^\d{1,15}$/.test(text)) return { ...wheelCacheLimits, bytes: Number(text) };
  throw new UsageError(
    'usage',
    `VIVARIUM_WHEEL_CACHE_BYTES must be a number of bytes, not ${JSON.stringify(text.slice(0, 40))}.`,
  );
}

interface Kept {
  path: string;
  size: number;
  mtimeMs: number;
  /** Whether somebody may be using it: a wheel that an image is built from, a download that is under way. */
  held: boolean;
}

/**
 * Removes files of `wheels/` that nobody used for long, then the least recently used until the rest is within the limits. Their
 * times of change stand for their last use: see `noteWheelUse`. Resolves with what was removed; files that can't be stay.
 */
export function pruneWheels(dir: string, limits: WheelCacheLimits): Promise<PrunedWheels> {
  const key = JSON.stringify([dir, limits]);
  const running = underWay.get(key);
  if (running === undefined) return begin(key, dir, limits);
  // It may have looked before the caller's files came: once more, for all who ask meanwhile.
  const next =
    waiting.get(key) ??
    running
      .catch(() => undefined)
      .then(() => {
        waiting.delete(key);
        return begin(key, dir, limits);
      });
  waiting.set(key, next);
  return next;
}

export interface PrunedWheels {
  removed: string[];
  freedBytes: number;
}

/** In this process. Two at once would each remove for both. */
const underWay = new Map<string, Promise<PrunedWheels>>();
const waiting = new Map<string, Promise<PrunedWheels>>();

function begin(key: string, dir: string, limits: WheelCacheLimits): Promise<PrunedWheels> {
  const pruned = prune(dir, limits).finally(() => {
    if (underWay.get(key) === pruned) underWay.delete(key);
  });
  underWay.set(key, pruned);
  return pruned;
}

async function prune(dir: string, limits: WheelCacheLimits): Promise<PrunedWheels> {
  const now = Date.now();
  const all = (await filesIn(dir, now)).sort((a, b) => a.mtimeMs - b.mtimeMs);
  let bytes = all.reduce((sum, { size }) => sum + size, 0);
  let files = all.length;
  const removed: string[] = [];
  let freedBytes = 0;
  for (const { path, size, mtimeMs, held } of all) {
    const tooMuch = bytes > limits.bytes || files > limits.files;
    if (held || (!tooMuch && now - mtimeMs <= limits.unusedMs)) continue;
    // Another process may have taken it meanwhile.
    const found = await stat(path).catch(() => undefined);
    if (found === undefined) {
      // Or removed it, for the same reason.
      bytes -= size;
      files -= 1;
      continue;
    }
    if (found.mtimeMs !== mtimeMs) continue;
    // Windows keeps what is in use.
    const gone = await rm(path, { force: true }).then(
      () => true,
      () => false,
    );
    if (!gone) continue;
    bytes -= size;
    files -= 1;
    freedBytes += size;
    removed.push(path);
    // Only an empty one goes.
    await rmdir(join(path, '..')).catch(() => undefined);
  }
  return { removed, freedBytes };
}

async function filesIn(dir: string, now: number): Promise<Kept[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  const found = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async ({ parentPath, name }) => {
        const path = join(parentPath, name);
        const stats = await stat(path).catch(() => undefined);
        if (stats === undefined) return [];
        const { size, mtimeMs } = stats;
        // A part that was given up has no owner in its name.
        return [{ path, size, mtimeMs, held: now - mtimeMs < heldMs && !name.endsWith('~.part') }];
      }),
  );
  return found.flat();
}

/**
 * Counts as a use of a wheel. One that is held is not removed for half of `heldMs` at least; another one can be at any time, when there is
 * no room: what code that runs asks for can't fill the disk.
 */
export async function noteWheelUse(path: string, held: boolean): Promise<void> {
  const { mtimeMs } = await stat(path);
  const used = Date.now() - (held ? 0 : heldMs);
  if (used - mtimeMs < (held ? heldMs / 2 : dayMs)) return;
  // Somebody else's cache may be read-only.
  await utimes(path, used / 1000, used / 1000).catch(() => undefined);
}

/** Of one that has just come. */
export async function markWheel(path: string, held: boolean): Promise<void> {
  const used = (Date.now() - heldMs) / 1000;
  if (!held) await utimes(path, used, used).catch(() => undefined);
}
