import { protocolLimits } from '../protocol/limits.ts';
import type { RunLimits } from '../runtime.ts';
import { type Check, integer, number, optional } from '../util/options.ts';

const mebibyte = 2 ** 20;

/** For a whole worker. One of the standard library that idles has 140 to 180 MiB: with less none would live. */
export const minResidentBytes: number = 192 * mebibyte;

export const defaultLimits: Readonly<RunLimits> = Object.freeze({
  timeoutMs: 60_000,
  cpuMs: Infinity,
  memoryBytes: 512 * mebibyte,
  outputBytes: 10 * mebibyte,
  fileBytes: 50 * mebibyte,
  fileCount: 1000,
  valueBytes: 10 * mebibyte,
});

/** What a run's reply can carry at most: its files and its value share one frame. */
export const hardLimits: Readonly<RunLimits> = Object.freeze({
  timeoutMs: Infinity,
  cpuMs: Infinity,
  memoryBytes: 4096 * mebibyte,
  outputBytes: Number.MAX_SAFE_INTEGER,
  fileBytes: protocolLimits.maxFrameBytes / 2,
  fileCount: protocolLimits.maxFiles,
  valueBytes: protocolLimits.maxJsonBytes,
});

export const limitNames = Object.keys(defaultLimits) as readonly (keyof RunLimits)[];

/** `Infinity` stands for no limit of time. */
const duration = optional(number({ min: 1 }));

function upTo(max: number, min = 0): Check<number | undefined> {
  return optional(integer({ min, max }));
}

export const limitChecks: Readonly<Record<keyof RunLimits, Check<number | undefined>>> = Object.freeze({
  timeoutMs: duration,
  cpuMs: duration,
  memoryBytes: upTo(hardLimits.memoryBytes, mebibyte),
  outputBytes: upTo(hardLimits.outputBytes),
  fileBytes: upTo(hardLimits.fileBytes),
  fileCount: upTo(hardLimits.fileCount),
  valueBytes: upTo(hardLimits.valueBytes),
});
