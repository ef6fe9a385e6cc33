import { expect, it } from 'vitest';
import { resolveRuntimeOptions } from './runtime-options.ts';

const MiB = 2 ** 20;
const resolve = (...given: Parameters<typeof resolveRuntimeOptions>) =>
  resolveRuntimeOptions(...given).sessions;

it('has defaults', () => {
  expect(resolve()).toEqual({
    store: undefined,
    durability: 'run',
    idleTimeoutMs: 300_000,
    cullTimeoutMs: 86_400_000,
    maxCount: 10_000,
    maxBytes: 1024 * MiB,
    maxTotalBytes: 20 * 1024 * MiB,
    key: undefined,
  });
});

it('takes operators’ settings for defaults', () => {
  const env = {
    VIVARIUM_SESSION_STORE: '/var/lib/sessions',
    DATABASE_URL: 'postgres://db',
    VIVARIUM_SESSION_DURABILITY: 'FREEZE',
    VIVARIUM_SESSION_IDLE_TIMEOUT: '0',
    VIVARIUM_SESSION_CULL_TIMEOUT: '5000',
    VIVARIUM_SESSIONS_MAX_COUNT: '7',
    VIVARIUM_SESSION_MAX_SIZE: '3',
    VIVARIUM_SESSIONS_MAX_SIZE: '4',
    VIVARIUM_SESSION_KEY: 'a key of the operator',
  };
  expect(resolve({}, env)).toEqual({
    store: '/var/lib/sessions',
    durability: 'freeze',
    idleTimeoutMs: 0,
    cullTimeoutMs: 5000,
    maxCount: 7,
    maxBytes: 3 * MiB,
    maxTotalBytes: 4 * MiB,
    key: new TextEncoder().encode('a key of the operator'),
  });
  const own = { durability: 'run', maxCount: 8, maxBytes: undefined } as const;
  expect(resolve({ sessions: own }, env)).toMatchObject({
    durability: 'run',
    maxCount: 8,
    maxBytes: 3 * MiB,
  });
});

it.each([
  [{ VIVARIUM_SESSION_CULL_TIMEOUT: '0' }, { cullTimeoutMs: Infinity }],
  [{ DATABASE_URL: 'postgresql://db/x' }, { store: 'postgresql://db/x' }],
  [{ DATABASE_URL: 'mysql://db/x' }, { store: undefined }],
  [
    { DATABASE_URL: '', VIVARIUM_SESSION_KEY: '' },
    { store: undefined, key: undefined },
  ],
])('reads %j', (env, wanted) => {
  expect(resolve({}, env)).toMatchObject(wanted);
});

it('names all that is wrong, and shows no key', () => {
  const sessions: object = { store: ' ', durability: 'always', maxCount: 0, key: 'secret', maxByte: 1 };
  const env = {
    VIVARIUM_SESSION_DURABILITY: 'x',
    VIVARIUM_SESSIONS_MAX_COUNT: '-1',
    VIVARIUM_SESSION_KEY: 'secret',
  };
  let message = '';
  try {
    resolve({ sessions }, env);
  } catch (error) {
    message = String(error);
  }
  for (const part of [
    'sessions.store must be',
    'sessions.durability must be one of',
    'sessions.maxCount must be',
    'sessions.key must be a text or bytes of at least 16 bytes',
    "did you mean 'sessions.maxBytes'",
    'VIVARIUM_SESSION_DURABILITY must be',
    'VIVARIUM_SESSIONS_MAX_COUNT must be',
    'VIVARIUM_SESSION_KEY must have at least 16 bytes',
  ])
    expect(message).toContain(part);
  expect(message).not.toContain('secret');
});

it('keeps a key that its giver changes', () => {
  const key = new Uint8Array(32).fill(1);
  const resolved = resolve({ sessions: { key } });
  key.fill(2);
  expect(resolved.key?.every((byte) => byte === 1)).toBe(true);
});
