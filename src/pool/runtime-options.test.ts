import { describe, expect, it } from 'vitest';
import { resolveRuntimeOptions } from './runtime-options.ts';

const MiB = 2 ** 20;
const resolve = (options: object, env: Record<string, string | undefined> = {}, cpus = 8) =>
  resolveRuntimeOptions(options, env, cpus);

it('has the defaults that are promised, frozen', () => {
  const options = resolve({});
  expect(options).toMatchObject({
    engine: 'deno',
    sandbox: 'process',
    pool: true,
    minWorkers: 3,
    maxWorkers: 3,
    maxQueue: 100,
    spares: 0,
    healthCheckIntervalMs: 30_000,
    recycle: { maxRequests: 1000, maxHeapBytes: 512 * MiB },
    isolation: 'rewind',
    limits: { timeoutMs: 60_000, memoryBytes: 512 * MiB },
    maxLimits: { timeoutMs: Infinity, memoryBytes: 512 * MiB },
    bootTimeoutMs: 60_000,
    killGraceMs: 1000,
    image: true,
    packages: undefined,
    offline: false,
    install: 'locked',
    installTimeoutMs: 300_000,
    shared: false,
    maxHeapBytes: 512 * MiB,
    maxResidentBytes: 1536 * MiB,
  });
  expect(Object.isFrozen(options)).toBe(true);
});

it.each([
  [{}, 2, { minWorkers: 2, maxWorkers: 2 }],
  [{ size: 5 }, 2, { minWorkers: 5, maxWorkers: 5, maxQueue: 100 }],
  [{ maxWorkers: 5 }, 2, { minWorkers: 1, maxWorkers: 5 }],
  [{ minWorkers: 5 }, 2, { minWorkers: 5, maxWorkers: 5 }],
  [{ minWorkers: 0, maxWorkers: 1 }, 2, { minWorkers: 0, maxWorkers: 1 }],
  [{ isolation: 'process' }, 2, { spares: 1 }],
  [{ isolation: 'process', spares: 0 }, 2, { spares: 0 }],
  [{ pool: false, size: 4, spares: 3 }, 2, { minWorkers: 0, maxWorkers: 4, spares: 0, idleTimeoutMs: 0 }],
  [{ maxQueue: 'auto' }, 3, { maxQueue: 100 }],
  [{ maxQueue: 'auto', size: 20 }, 3, { maxQueue: 400 }],
  [{ maxQueue: 0 }, 3, { maxQueue: 0 }],
  [{ image: 'data' }, 3, { image: 'data' }],
  [{ image: false, packages: ['numpy'] }, 3, { image: false, packages: ['numpy'] }],
  [{ image: 'data', packages: [] }, 3, { image: 'data', packages: undefined }],
  [{ lock: 'a/vivarium.lock.json', install: 'any' }, 3, { lock: 'a/vivarium.lock.json', install: 'any' }],
  [{ limits: { memoryBytes: 64 * MiB } }, 3, { maxHeapBytes: 64 * MiB, maxResidentBytes: 640 * MiB }],
  [{ maxResidentBytes: 300 * MiB }, 3, { maxHeapBytes: 512 * MiB, maxResidentBytes: 300 * MiB }],
  [
    { limits: { memoryBytes: 16 * MiB } },
    3,
    { maxHeapBytes: 32 * MiB, maxLimits: { memoryBytes: 16 * MiB } },
  ],
  [
    { maxLimits: { memoryBytes: 1024 * MiB } },
    3,
    { maxHeapBytes: 1024 * MiB, limits: { memoryBytes: 512 * MiB } },
  ],
])('resolves %j', (given, cpus, expected) => {
  expect(resolve(given, {}, cpus)).toMatchObject(expected);
});

it('takes what operators set for defaults that options override', () => {
  const env = {
    VIVARIUM_USE_POOL: 'false',
    VIVARIUM_POOL_SIZE: '2',
    VIVARIUM_WORKER_REQUEST_LIMIT: '50',
    VIVARIUM_HEALTH_CHECK_INTERVAL: '1000',
    VIVARIUM_WORKER_HEAP_LIMIT: '256',
    VIVARIUM_WORKER_MEMORY_LIMIT: '800',
    VIVARIUM_TIMEOUT: '5000',
    VIVARIUM_MIRROR: '/srv/wheels',
    VIVARIUM_OFFLINE: 'yes',
    VIVARIUM_INSTALL: 'never',
  };
  expect(resolve({}, env)).toMatchObject({
    mirror: '/srv/wheels',
    offline: true,
    install: 'never',
    pool: false,
    maxWorkers: 2,
    recycle: { maxRequests: 50, maxHeapBytes: 256 * MiB },
    maxResidentBytes: 800 * MiB,
    healthCheckIntervalMs: 1000,
    limits: { timeoutMs: 5000 },
  });
  const given = {
    pool: true,
    maxWorkers: 4,
    recycle: { maxRequests: 7 },
    maxResidentBytes: 500 * MiB,
    healthCheckIntervalMs: 0,
    limits: { timeoutMs: 9 },
    mirror: 'https://mirror.example',
    offline: false,
    install: 'any',
  } as const;
  expect(resolve(given, env)).toMatchObject({
    pool: true,
    minWorkers: 1,
    maxWorkers: 4,
    recycle: { maxRequests: 7, maxHeapBytes: 256 * MiB },
    maxResidentBytes: 500 * MiB,
    healthCheckIntervalMs: 0,
    limits: { timeoutMs: 9 },
    mirror: 'https://mirror.example',
    offline: false,
    install: 'any',
  });
});

it('knows the first four variables by their other prefix too', () => {
  const env = {
    PYODIDE_USE_POOL: '0',
    PYODIDE_POOL_SIZE: '2',
    PYODIDE_WORKER_REQUEST_LIMIT: '50',
    PYODIDE_HEALTH_CHECK_INTERVAL: '1000',
    PYODIDE_WORKER_HEAP_LIMIT: '1',
    PYODIDE_TIMEOUT: '1',
  };
  expect(resolve({}, env)).toMatchObject({
    pool: false,
    maxWorkers: 2,
    recycle: { maxRequests: 50, maxHeapBytes: 512 * MiB },
    healthCheckIntervalMs: 1000,
    limits: { timeoutMs: 60_000 },
  });
  expect(resolve({}, { ...env, VIVARIUM_POOL_SIZE: '4', VIVARIUM_USE_POOL: '' })).toMatchObject({
    pool: false,
    maxWorkers: 4,
  });
});

it('names everything that is wrong in one TypeError, variables by their own name', () => {
  const wrong = {
    image: '',
    packages: ['a', ' '],
    install: 'some',
    sise: 3,
    engine: 'wasm',
    limits: { timeoutMs: 0, memory: 1 },
    logger: {},
    recycle: 5,
  };
  const env = {
    PYODIDE_POOL_SIZE: 'many',
    VIVARIUM_TIMEOUT: '-1',
    VIVARIUM_USE_POOL: 'maybe',
    VIVARIUM_INSTALL: 'x',
  };
  let message = '';
  try {
    resolve(wrong, env);
  } catch (error) {
    expect(error).toBeInstanceOf(TypeError);
    message = String(error);
  }
  for (const name of [
    "'sise' (did you mean 'size'?)",
    'engine must be',
    'limits.timeoutMs',
    "'limits.memory'",
    'logger must be',
    'recycle must be',
    'PYODIDE_POOL_SIZE must be',
    'VIVARIUM_TIMEOUT must be',
    'VIVARIUM_USE_POOL must be',
    'VIVARIUM_INSTALL must be never, locked, any',
    'image must be',
    'packages[1] must be',
    'install must be',
  ])
    expect(message).toContain(name);
});

it.each([
  [{ size: 2, maxWorkers: 3 }, 'size excludes'],
  [{ minWorkers: 3, maxWorkers: 2 }, 'minWorkers (3)'],
  [{ image: 'data', packages: ['x'] }, 'exclude one another'],
  [{ lock: 'a.json', packages: ['x'] }, 'exclude one another'],
  [{ limits: { timeoutMs: 20 }, maxLimits: { timeoutMs: 10 } }, 'limits.timeoutMs (20)'],
  [{ maxLimits: { timeoutMs: 10 } }, 'limits.timeoutMs (60000)'],
  [{ maxHeapBytes: 64 * MiB }, 'limits.memoryBytes'],
  [{ maxResidentBytes: 192 * MiB - 1 }, 'maxResidentBytes'],
  [{ maxHeapBytes: 31 * MiB, limits: { memoryBytes: 16 * MiB } }, 'maxHeapBytes'],
  [{ maxHeapBytes: 600 * MiB, maxLimits: { memoryBytes: 700 * MiB } }, 'maxLimits.memoryBytes'],
])('refuses %j', (given, message) => {
  expect(() => resolve(given)).toThrow(message);
});

it.each([null, 3, 'x', [[]]])('refuses %j for options', (given) => {
  expect(() => Reflect.apply(resolveRuntimeOptions, undefined, [given])).toThrow(
    /^createRuntime: options must be an object, not /,
  );
});

describe('the sandbox', () => {
  it.each([
    [undefined, undefined, 'process'],
    ['process', 'process', 'process'],
    ['os', undefined, 'os'],
    ['os', 'process', 'os'],
    [undefined, 'os', 'os'],
    ['process', 'OS', 'os'],
  ] as const)('is the stricter of %s (the option) and %s (the operator)', (sandbox, operator, wanted) => {
    expect(resolve({ sandbox }, { VIVARIUM_SANDBOX: operator }).sandbox).toBe(wanted);
  });

  it('can’t be had in a thread of the program, whoever asks for it', () => {
    expect(() => resolve({ engine: 'node', sandbox: 'os' })).toThrow(
      /engine 'node' is no sandbox: sandbox 'os'/,
    );
    expect(() => resolve({ engine: 'node' }, { VIVARIUM_SANDBOX: 'os' })).toThrow(/VIVARIUM_SANDBOX=os/);
    expect(() => resolve({}, { VIVARIUM_SANDBOX: 'jail' })).toThrow(/VIVARIUM_SANDBOX must be process or os/);
    expect(resolve({ engine: 'node' }).sandbox).toBe('process');
  });
});
