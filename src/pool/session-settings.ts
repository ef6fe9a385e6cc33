import { type Check, integer, number, object, oneOf, optional, satisfying } from '../util/options.ts';

/** Options of a runtime's sessions. */
export interface SessionSettings {
  /**
   * What they are kept in: `memory`, a folder, or the URL of a Postgres database. Default: the operator's `VIVARIUM_SESSION_STORE`
   * or `DATABASE_URL`, else the user's data folder. Opened with the first session.
   */
  store?: string | undefined;
  /** Default of `SessionOptions.durability`. */
  durability?: 'run' | 'freeze' | undefined;
  /** A session gives its worker back after so much time without a call. Default 300 000. */
  idleTimeoutMs?: number | undefined;
  /** A session that nobody has open is removed after so much time. Default 24 hours; `Infinity` for never. */
  cullTimeoutMs?: number | undefined;
  /** Sessions in the store. Default 10 000. */
  maxCount?: number | undefined;
  /** Of one session with its checkpoints, as stored. Default 1 GiB. */
  maxBytes?: number | undefined;
  /** Of all sessions. Default 20 GiB. */
  maxTotalBytes?: number | undefined;
  /**
   * What exported sessions and `sessionBytes` are authenticated with, of 16 bytes or more: others are refused then. Default: none, and bytes are
   * only checked for damage.
   */
  key?: string | Uint8Array | undefined;
}

export interface ResolvedSessionSettings {
  readonly store: string | undefined;
  readonly durability: 'run' | 'freeze';
  readonly idleTimeoutMs: number;
  readonly cullTimeoutMs: number;
  readonly maxCount: number;
  readonly maxBytes: number;
  readonly maxTotalBytes: number;
  readonly key: Uint8Array | undefined;
}

const minKeyBytes = 16;
export const durabilities = ['run', 'freeze'] as const;

const defaults: ResolvedSessionSettings = Object.freeze({
  store: undefined,
  durability: 'run',
  idleTimeoutMs: 300_000,
  cullTimeoutMs: 24 * 3_600_000,
  maxCount: 10_000,
  maxBytes: 2 ** 30,
  maxTotalBytes: 20 * 2 ** 30,
  key: undefined,
});

/** Undefined: too short. */
export function keyBytes(key: string | Uint8Array): Uint8Array | undefined {
  const bytes = typeof key === 'string' ? new TextEncoder().encode(key) : key.slice();
  return bytes.byteLength >= minKeyBytes ? bytes : undefined;
}

/** Says nothing of what it's given. */
const key: Check<string | Uint8Array> = (value, at, problems) => {
  const right = (typeof value === 'string' || value instanceof Uint8Array) && keyBytes(value);
  if (!right) problems.push(`${at} must be a text or bytes of at least ${minKeyBytes} bytes`);
};

export const sessionSettings: Check<SessionSettings> = object({
  store: optional(
    satisfying<string>(
      "'memory', a folder or the URL of a Postgres database",
      (value) => typeof value === 'string' && value.trim() !== '',
    ),
  ),
  durability: optional(oneOf(...durabilities)),
  idleTimeoutMs: optional(number({ min: 0 })),
  cullTimeoutMs: optional(number({ min: 1 })),
  maxCount: optional(integer({ min: 1 })),
  maxBytes: optional(integer({ min: 1 })),
  maxTotalBytes: optional(integer({ min: 1 })),
  key: optional(key),
});

/** The first of them that says something counts. */
export function resolveSessionSettings(
  ...given: readonly (SessionSettings | undefined)[]
): ResolvedSessionSettings {
  const first = <Name extends keyof SessionSettings>(name: Name) =>
    given.map((settings) => settings?.[name]).find((value) => value !== undefined);
  const found = first('key');
  return Object.freeze({
    store: first('store'),
    durability: first('durability') ?? defaults.durability,
    idleTimeoutMs: first('idleTimeoutMs') ?? defaults.idleTimeoutMs,
    cullTimeoutMs: first('cullTimeoutMs') ?? defaults.cullTimeoutMs,
    maxCount: first('maxCount') ?? defaults.maxCount,
    maxBytes: first('maxBytes') ?? defaults.maxBytes,
    maxTotalBytes: first('maxTotalBytes') ?? defaults.maxTotalBytes,
    key: found === undefined ? undefined : keyBytes(found),
  });
}
