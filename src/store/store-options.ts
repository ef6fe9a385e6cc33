import { type Clock, systemClock } from '../util/clock.ts';
import { checkOptions, func, number, object, optional, satisfying } from '../util/options.ts';
import type { StoreLimits } from './store.ts';

export interface StoreOptions {
  /** Default: none. */
  limits?: Partial<StoreLimits> | undefined;
  /** For waits between retries. Default: the system's. */
  clock?: Clock | undefined;
  /** From 0 to 1. */
  random?: (() => number) | undefined;
  /** Milliseconds since 1970, for leases and times. Postgres has its own. Default: `Date.now`. */
  now?: (() => number) | undefined;
}

export interface ResolvedStoreOptions {
  readonly limits: StoreLimits;
  readonly clock: Clock;
  readonly random: () => number;
  readonly now: () => number;
}

/** Throws a `TypeError` that names each bad option. */
export function resolveStoreOptions(given: StoreOptions = {}): ResolvedStoreOptions {
  const limit = optional(number({ min: 0 }));
  const options = checkOptions('openStore', given, {
    limits: optional(object({ maxSessions: limit, maxSessionBytes: limit, maxTotalBytes: limit })),
    clock: optional(satisfying<Clock>('a clock', (value) => typeof value === 'object' && value !== null)),
    random: optional(func<() => number>()),
    now: optional(func<() => number>()),
  });
  const { limits = {}, clock = systemClock, random = Math.random, now = Date.now } = options;
  const { maxSessions = Infinity, maxSessionBytes = Infinity, maxTotalBytes = Infinity } = limits;
  return { limits: { maxSessions, maxSessionBytes, maxTotalBytes }, clock, random, now };
}
