import { type InstallPolicy, installPolicies } from '../packages/install-policy.ts';
import { minResidentBytes } from './limits.ts';
import { durabilities, keyBytes, type SessionSettings } from './session-settings.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

const booleans = new Map([
  ...['1', 'true', 'yes', 'on'].map((text) => [text, true] as const),
  ...['0', 'false', 'no', 'off'].map((text) => [text, false] as const),
]);

function integer(text: string, min: number, max: number): number | undefined {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : undefined;
}

/** What operators may set; each is a default that the options override. */
export interface OperatorSettings {
  pool: boolean | undefined;
  size: number | undefined;
  healthCheckIntervalMs: number | undefined;
  limits: { timeoutMs: number | undefined };
  mirror: string | undefined;
  offline: boolean | undefined;
  install: InstallPolicy | undefined;
  recycle: { maxRequests: number | undefined; maxHeapBytes: number | undefined };
  maxResidentBytes: number | undefined;
  sessions: SessionSettings;
  /** Not a default: the stricter of this and the option counts. */
  sandbox: 'process' | 'os' | undefined;
}

/** Reads the environment variables of operators. Adds a problem for each malformed one; empty ones count as unset. */
export function readEnvironment(env: Environment, problems: string[]): OperatorSettings {
  const read = <T>(names: readonly string[], wanted: string, parse: (text: string) => T | undefined) => {
    const name = names.find((candidate) => env[candidate]);
    const text = name === undefined ? undefined : env[name]?.trim();
    if (text === undefined) return undefined;
    const value = parse(text);
    if (value === undefined)
      problems.push(`${name} must be ${wanted}, not ${JSON.stringify(text.slice(0, 40))}`);
    return value;
  };
  /** Also read with the prefix that Pyodide's users know; ours wins. */
  const both = (name: string) => [`VIVARIUM_${name}`, `PYODIDE_${name}`];

  const pool = read(both('USE_POOL'), 'true or false', (text) => booleans.get(text.toLowerCase()));
  const size = read(both('POOL_SIZE'), 'an integer from 1 to 1024', (text) => integer(text, 1, 1024));
  const maxRequests = read(both('WORKER_REQUEST_LIMIT'), 'an integer of at least 1', (text) =>
    integer(text, 1, Infinity),
  );
  const healthCheckIntervalMs = read(both('HEALTH_CHECK_INTERVAL'), 'milliseconds, 0 for never', (text) =>
    integer(text, 0, Infinity),
  );
  const heapMb = read(['VIVARIUM_WORKER_HEAP_LIMIT'], 'megabytes from 1', (text) =>
    integer(text, 1, 2 ** 20),
  );
  const minMemoryMb = minResidentBytes / 2 ** 20;
  const memoryMb = read(['VIVARIUM_WORKER_MEMORY_LIMIT'], `megabytes from ${minMemoryMb}`, (text) =>
    integer(text, minMemoryMb, 2 ** 20),
  );
  const timeoutMs = read(['VIVARIUM_TIMEOUT'], 'milliseconds from 1', (text) => integer(text, 1, Infinity));
  const mirror = read(['VIVARIUM_MIRROR'], 'a folder or a URL', (text) => text || undefined);
  const offline = read(['VIVARIUM_OFFLINE'], 'true or false', (text) => booleans.get(text.toLowerCase()));
  const install = read(['VIVARIUM_INSTALL'], installPolicies.join(', '), (text) =>
    installPolicies.find((policy) => policy === text.toLowerCase()),
  );
  const sandbox = read(['VIVARIUM_SANDBOX'], 'process or os', (text) =>
    (['process', 'os'] as const).find((one) => one === text.toLowerCase()),
  );

  const megabytes = (name: string) => {
    const size = read([name], 'megabytes from 1', (text) => integer(text, 1, 2 ** 30));
    return size === undefined ? undefined : size * 2 ** 20;
  };
  const sessions: SessionSettings = {
    store: read(['VIVARIUM_SESSION_STORE'], 'a folder or a URL', (text) => text) ?? databaseUrl(env),
    durability: read(['VIVARIUM_SESSION_DURABILITY'], durabilities.join(', '), (text) =>
      durabilities.find((one) => one === text.toLowerCase()),
    ),
    idleTimeoutMs: read(['VIVARIUM_SESSION_IDLE_TIMEOUT'], 'milliseconds', (text) =>
      integer(text, 0, Infinity),
    ),
    cullTimeoutMs: read(['VIVARIUM_SESSION_CULL_TIMEOUT'], 'milliseconds, 0 for never', (text) => {
      const ms = integer(text, 0, Infinity);
      return ms === 0 ? Infinity : ms;
    }),
    maxCount: read(['VIVARIUM_SESSIONS_MAX_COUNT'], 'an integer of at least 1', (text) =>
      integer(text, 1, Infinity),
    ),
    maxBytes: megabytes('VIVARIUM_SESSION_MAX_SIZE'),
    maxTotalBytes: megabytes('VIVARIUM_SESSIONS_MAX_SIZE'),
    key: env.VIVARIUM_SESSION_KEY || undefined,
  };
  // Not by `read`, which shows what it was given.
  if (typeof sessions.key === 'string' && !keyBytes(sessions.key))
    problems.push('VIVARIUM_SESSION_KEY must have at least 16 bytes');

  return {
    pool,
    size,
    healthCheckIntervalMs,
    limits: { timeoutMs },
    mirror,
    offline,
    install,
    recycle: { maxRequests, maxHeapBytes: heapMb === undefined ? undefined : heapMb * 2 ** 20 },
    maxResidentBytes: memoryMb === undefined ? undefined : memoryMb * 2 ** 20,
    sessions,
    sandbox,
  };
}

/** The variable is many programs': of another kind of database it isn't for us. */
function databaseUrl({ DATABASE_URL: url }: Environment): string | undefined {
  return url !== undefined && /^postgres(ql)?:/.test(url) ? url : undefined;
}
