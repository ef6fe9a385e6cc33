import { afterEach, expect, it, vi } from 'vitest';
import { createRuntime } from '../../src/node.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

it('rejects with one TypeError for options and environment together', async () => {
  vi.stubEnv('VIVARIUM_POOL_SIZE', 'none');
  const error = await Reflect.apply(createRuntime, undefined, [{ engin: 'deno' }]).catch(
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(TypeError);
  expect(String(error)).toContain("'engin' (did you mean 'engine'?)");
  expect(String(error)).toContain('VIVARIUM_POOL_SIZE');
});

it.each(['deno', 'node'] as const)(
  'makes a runtime on the %s engine that starts nothing by itself',
  async (engine) => {
    await using runtime = await createRuntime({ engine });
    expect(runtime.status).toBe('idle');
    expect(runtime.stats().workers).toEqual([]);
  },
);

it('shares a pool on request only', async () => {
  const options = { env: { TEST: 'shared' } };
  await using a = await createRuntime({ ...options, shared: true });
  await using b = await createRuntime({ ...options, shared: true });
  await using c = await createRuntime(options);
  await expect(a.run('1', { timeoutMs: -1 })).rejects.toThrow(TypeError);
  expect([a, b, c].map((runtime) => runtime.stats().rejected)).toEqual([1, 1, 0]);
});
