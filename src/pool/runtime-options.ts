import { defaultResidentBytes } from '../engines/engine.ts';
import { type InstallPolicy, installPolicies } from '../packages/install-policy.ts';
import type { Isolation, RunLimits, SomeLimits } from '../runtime.ts';
import {
  boolean,
  integer,
  list,
  number,
  object,
  oneOf,
  optional,
  record,
  satisfying,
  string,
} from '../util/options.ts';
import { type Environment, readEnvironment } from './environment.ts';
import { defaultLimits, hardLimits, limitChecks, limitNames, minResidentBytes } from './limits.ts';
import {
  type ResolvedSessionSettings,
  resolveSessionSettings,
  type SessionSettings,
  sessionSettings,
} from './session-settings.ts';

// ---- types ---------------------------------------------------------------------------------------------------------

/** As pino and its like have it. */
export interface Logger {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

export interface RecycleOptions {
  /** Runs after which a worker is replaced. Default 1000. */
  maxRequests?: number | undefined;
  /** A worker whose heap is at or beyond it after a run's rewind is replaced. Default 512 MiB. */
  maxHeapBytes?: number | undefined;
}

/**
 * Options of a runtime. What an operator set by environment variables is a default that these override; what is
 * undefined counts as not given.
 */
export interface RuntimeOptions {
  /** Where Python runs. `deno` (default): a process without permissions. `node`: a thread, for trusted code only. */
  engine?: 'deno' | 'node' | undefined;
  /**
   * `os`: the worker's process is also put into namespaces of its own by bubblewrap, with a read-only root and a filter of system calls (Linux).
   * Default `process`. The stricter of this and the operator's `VIVARIUM_SANDBOX` counts.
   */
  sandbox?: 'process' | 'os' | undefined;
  /** False: no worker is kept; each run boots its own and ends it. Default true. */
  pool?: boolean | undefined;
  /** Workers, neither more nor less. Default: the smaller of 3 and the number of processors. */
  size?: number | undefined;
  /** Workers that are kept when there is nothing to do. Default 1 when `maxWorkers` is given. */
  minWorkers?: number | undefined;
  /** Workers that the queue can make the pool grow to. */
  maxWorkers?: number | undefined;
  /**
   * Runs that may wait beyond those that the workers hold. Default `auto`: 100, or `maxWorkers` squared if that is more. A
   * tenant that has no run in a full queue may add one, until it's twice as long.
   */
  maxQueue?: number | 'auto' | undefined;
  /** Workers kept booted to stand in at once for one that is replaced, also for the sake of another tenant. Default 0; 1 with `isolation: 'process'`. */
  spares?: number | undefined;
  /** A worker above `minWorkers` ends after so much time without a run. Default 60 000. */
  idleTimeoutMs?: number | undefined;
  /** Time between health checks of every worker; 0 for none. Default 30 000. */
  healthCheckIntervalMs?: number | undefined;
  /** A worker that leaves a health check unanswered for so long is replaced. Default 5000. */
  healthCheckTimeoutMs?: number | undefined;
  recycle?: RecycleOptions | undefined;
  /**
   * What a run may find of earlier ones. Default `rewind`: nothing. `process`: nothing, in a worker of its own.
   * `none`: what the runs before it on the same worker left; with more than one worker it isn't told which that is.
   */
  isolation?: Isolation | undefined;
  /** Defaults of the limits of a run. */
  limits?: SomeLimits | undefined;
  /** What a run may ask for at most. Default: time without end, `memoryBytes` of `limits`, what fits into a message. */
  maxLimits?: SomeLimits | undefined;
  /** Environment of Python. The host's is never passed on. */
  env?: Readonly<Record<string, string>> | undefined;
  /** Default 60 000. */
  bootTimeoutMs?: number | undefined;
  /** Time between a run's interrupt and the end of its worker. Default 1000. */
  killGraceMs?: number | undefined;
  /**
   * The interpreter of its runs: `numpy`, `data`, `science`, a name given by `vivarium image build --name`, or the path
   * of an image file. Default true: the standard library alone. False: boot plainly, from no image.
   */
  image?: boolean | string | undefined;
  /** Requirements (PEP 508) that are frozen into the runtime's image. Instead of a named `image` or a `lock`. */
  packages?: readonly string[] | undefined;
  /** Path of a `vivarium.lock.json`, whose packages are frozen into the runtime's image. */
  lock?: string | undefined;
  /** Folder or URL where packages are looked for first. */
  mirror?: string | undefined;
  /** Fetch no packages: what the mirror, the caches and the images hold is all there is. Default false. */
  offline?: boolean | undefined;
  /**
   * What code may install while it runs. Default `locked`: what the lock or the mirror holds. `any`: whatever there is.
   * `never`: nothing.
   */
  install?: InstallPolicy | undefined;
  /** Longest time of all that one run installs, together; not charged to the run. Default 300 000. */
  installTimeoutMs?: number | undefined;
  /** Where images are kept. Default: the user's cache folder. */
  cacheDir?: string | undefined;
  /**
   * Share one pool with other runtimes of equal options. They are one program: their runs without `tenant` are of one
   * tenant, and so are those of equal tenants. Default false.
   */
  shared?: boolean | undefined;
  logger?: Logger | undefined;
  sessions?: SessionSettings | undefined;
  /** Resident memory of a whole worker, beyond which it is killed: 192 MiB or more. Default: twice `maxHeapBytes` and 512 MiB. */
  maxResidentBytes?: number | undefined;
  /** Ceiling of Python's memory in a worker, 32 MiB or more. Default: the largest `memoryBytes` of `limits` and `maxLimits`. */
  maxHeapBytes?: number | undefined;
}

export interface ResolvedRuntimeOptions {
  readonly engine: 'deno' | 'node';
  readonly sandbox: 'process' | 'os';
  readonly pool: boolean;
  readonly minWorkers: number;
  readonly maxWorkers: number;
  readonly maxQueue: number;
  readonly spares: number;
  readonly idleTimeoutMs: number;
  readonly healthCheckIntervalMs: number;
  readonly healthCheckTimeoutMs: number;
  readonly recycle: { readonly [Name in keyof RecycleOptions]-?: NonNullable<RecycleOptions[Name]> };
  readonly isolation: Isolation;
  readonly limits: Readonly<RunLimits>;
  readonly maxLimits: Readonly<RunLimits>;
  readonly env: Record<string, string>;
  readonly bootTimeoutMs: number;
  readonly killGraceMs: number;
  readonly image: boolean | string;
  readonly packages: readonly string[] | undefined;
  readonly lock: string | undefined;
  readonly mirror: string | undefined;
  readonly offline: boolean;
  readonly install: InstallPolicy;
  readonly installTimeoutMs: number;
  readonly cacheDir: string | undefined;
  readonly shared: boolean;
  readonly logger: Logger | undefined;
  readonly sessions: ResolvedSessionSettings;
  readonly maxHeapBytes: number;
  readonly maxResidentBytes: number;
}

// ---- defaults and checks -------------------------------------------------------------------------------------------

const defaults = Object.freeze({
  engine: 'deno',
  pool: true,
  idleTimeoutMs: 60_000,
  healthCheckIntervalMs: 30_000,
  healthCheckTimeoutMs: 5000,
  recycle: Object.freeze({ maxRequests: 1000, maxHeapBytes: 512 * 2 ** 20 }),
  isolation: 'rewind',
  env: Object.freeze({}),
  bootTimeoutMs: 60_000,
  killGraceMs: 1000,
  image: true,
  offline: false,
  install: 'locked',
  installTimeoutMs: 300_000,
  shared: false,
});

/** Python itself takes 30 MiB: no worker starts with less. */
const minHeapBytes = 32 * 2 ** 20;

/** So many waiting runs are no burden, and a program that starts a batch at once is no mistake. */
const autoQueue = 100;

export const sandboxes = ['process', 'os'] as const;
export const isolations = ['rewind', 'process', 'none'] as const;

const count = optional(integer({ min: 1, max: 1024 }));
const milliseconds = optional(number({ min: 1 }));
const text = satisfying<string>(
  'a string that is not empty',
  (value) => typeof value === 'string' && value.trim() !== '',
);
const logMethods = ['info', 'warn', 'error'] as const;

const shape = {
  engine: optional(oneOf('deno', 'node')),
  sandbox: optional(oneOf(...sandboxes)),
  pool: optional(boolean),
  size: count,
  minWorkers: optional(integer({ min: 0, max: 1024 })),
  maxWorkers: count,
  maxQueue: optional(
    satisfying<number | 'auto'>(
      "'auto' or an integer of at least 0",
      (value) => value === 'auto' || (Number.isSafeInteger(value) && Number(value) >= 0),
    ),
  ),
  spares: optional(integer({ min: 0, max: 1024 })),
  idleTimeoutMs: optional(number({ min: 0 })),
  healthCheckIntervalMs: optional(number({ min: 0 })),
  healthCheckTimeoutMs: milliseconds,
  recycle: optional(
    object({ maxRequests: optional(integer({ min: 1 })), maxHeapBytes: optional(integer({ min: 1 })) }),
  ),
  isolation: optional(oneOf(...isolations)),
  limits: optional(object(limitChecks)),
  maxLimits: optional(object(limitChecks)),
  env: optional(record(string)),
  bootTimeoutMs: milliseconds,
  killGraceMs: optional(number({ min: 0 })),
  image: optional(
    satisfying<boolean | string>(
      'true, false, or the name or path of an image',
      (value) => typeof value === 'boolean' || (typeof value === 'string' && value.trim() !== ''),
    ),
  ),
  packages: optional(list(text)),
  lock: optional(text),
  mirror: optional(text),
  offline: optional(boolean),
  install: optional(oneOf(...installPolicies)),
  installTimeoutMs: milliseconds,
  cacheDir: optional(string),
  shared: optional(boolean),
  logger: optional(
    satisfying<Logger>('an object with info, warn and error', (value) =>
      logMethods.every((name) => typeof (value as Partial<Logger> | null)?.[name] === 'function'),
    ),
  ),
  sessions: optional(sessionSettings),
  maxHeapBytes: optional(integer({ min: minHeapBytes, max: hardLimits.memoryBytes })),
  maxResidentBytes: optional(integer({ min: minResidentBytes })),
};

// ---- resolve -------------------------------------------------------------------------------------------------------

/** Defaults, then the environment, then `options`. One `TypeError` names all that is wrong with either. */
export function resolveRuntimeOptions(
  options: RuntimeOptions = {},
  env: Environment = {},
  cpus = 1,
): ResolvedRuntimeOptions {
  const problems: string[] = [];
  const fromEnv = readEnvironment(env, problems);
  object(shape)(options, '', problems);
  failOn(problems);

  const engine = options.engine ?? defaults.engine;
  const sandbox = [options.sandbox, fromEnv.sandbox].includes('os') ? 'os' : 'process';
  if (engine === 'node' && sandbox === 'os')
    problems.push(
      `engine 'node' is no sandbox: ${options.sandbox === 'os' ? "sandbox 'os'" : 'VIVARIUM_SANDBOX=os'} needs engine 'deno'`,
    );
  const pool = options.pool ?? fromEnv.pool ?? defaults.pool;
  const { minWorkers, maxWorkers } = workers(options, fromEnv, cpus, problems);
  const isolation = options.isolation ?? defaults.isolation;
  const limits = { ...defaultLimits, ...definedOf(fromEnv.limits), ...definedOf(options.limits) };
  const largest = Math.max(limits.memoryBytes, options.maxLimits?.memoryBytes ?? 0);
  const maxHeapBytes = options.maxHeapBytes ?? Math.max(largest, minHeapBytes);
  const memoryBytes = options.maxHeapBytes ?? largest;
  const maxLimits = { ...hardLimits, memoryBytes, ...definedOf(options.maxLimits) };
  for (const name of limitNames) {
    if (limits[name] <= maxLimits[name]) continue;
    problems.push(
      `limits.${name} (${limits[name]}) must not be above maxLimits.${name} (${maxLimits[name]})`,
    );
  }
  const packages = options.packages?.length ? Object.freeze([...options.packages]) : undefined;
  const images = [typeof options.image === 'string', packages !== undefined, options.lock !== undefined];
  if (images.filter(Boolean).length > 1)
    problems.push('image, packages and lock exclude one another: each says what the runtime’s image holds');
  if (maxLimits.memoryBytes > maxHeapBytes)
    problems.push('maxLimits.memoryBytes must not be above maxHeapBytes');
  failOn(problems);

  return Object.freeze({
    engine,
    sandbox,
    pool,
    minWorkers: pool ? minWorkers : 0,
    maxWorkers,
    maxQueue: typeof options.maxQueue === 'number' ? options.maxQueue : Math.max(autoQueue, maxWorkers ** 2),
    spares: pool ? (options.spares ?? (isolation === 'process' ? 1 : 0)) : 0,
    idleTimeoutMs: pool ? (options.idleTimeoutMs ?? defaults.idleTimeoutMs) : 0,
    healthCheckIntervalMs:
      options.healthCheckIntervalMs ?? fromEnv.healthCheckIntervalMs ?? defaults.healthCheckIntervalMs,
    healthCheckTimeoutMs: options.healthCheckTimeoutMs ?? defaults.healthCheckTimeoutMs,
    recycle: Object.freeze({
      ...defaults.recycle,
      ...definedOf(fromEnv.recycle),
      ...definedOf(options.recycle),
    }),
    isolation,
    limits: Object.freeze(limits),
    maxLimits: Object.freeze(maxLimits),
    env: { ...options.env },
    bootTimeoutMs: options.bootTimeoutMs ?? defaults.bootTimeoutMs,
    killGraceMs: options.killGraceMs ?? defaults.killGraceMs,
    image: options.image ?? defaults.image,
    packages,
    lock: options.lock,
    mirror: options.mirror ?? fromEnv.mirror,
    offline: options.offline ?? fromEnv.offline ?? defaults.offline,
    install: options.install ?? fromEnv.install ?? defaults.install,
    installTimeoutMs: options.installTimeoutMs ?? defaults.installTimeoutMs,
    cacheDir: options.cacheDir,
    shared: options.shared ?? defaults.shared,
    logger: options.logger,
    sessions: resolveSessionSettings(options.sessions, fromEnv.sessions),
    maxHeapBytes,
    maxResidentBytes:
      options.maxResidentBytes ?? fromEnv.maxResidentBytes ?? defaultResidentBytes(maxHeapBytes),
  } satisfies ResolvedRuntimeOptions);
}

function workers(options: RuntimeOptions, fromEnv: RuntimeOptions, cpus: number, problems: string[]) {
  const { minWorkers: min, maxWorkers: max } = options;
  const usual = fromEnv.size ?? Math.max(1, Math.min(3, cpus));
  if (options.size !== undefined) {
    if (min !== undefined || max !== undefined) problems.push('size excludes minWorkers and maxWorkers');
    return { minWorkers: options.size, maxWorkers: options.size };
  }
  if (min === undefined && max === undefined) return { minWorkers: usual, maxWorkers: usual };
  const minWorkers = min ?? 1;
  const maxWorkers = max ?? Math.max(usual, minWorkers);
  if (minWorkers > maxWorkers)
    problems.push(`minWorkers (${minWorkers}) must not be above maxWorkers (${maxWorkers})`);
  return { minWorkers, maxWorkers };
}

function failOn(problems: readonly string[]): void {
  if (problems.length > 0) throw new TypeError(`createRuntime: ${problems.join('; ')}`);
}

function definedOf<T extends object>(given: T | undefined): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(given ?? {}).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
