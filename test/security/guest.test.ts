import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRuntime } from '../../src/node.ts';
import { type Canaries, placeCanaries } from '../../src/probes/canaries.ts';
import { probes } from '../../src/probes/probes.ts';
import { runProbes } from '../../src/probes/run-probes.ts';
import type { Runtime } from '../../src/runtime.ts';

const scripts = new URL('../../python/probes/', import.meta.url);
const source = (name: string): string => readFileSync(new URL(name, scripts), 'utf8');

describe('guest Python on the deno engine', () => {
  let canaries: Canaries;
  let runtime: Runtime;
  beforeAll(async () => {
    canaries = await placeCanaries();
    runtime = await createRuntime({ engine: 'deno', size: 1, spares: 1, killGraceMs: 200 });
    await runtime.warm();
  });
  afterAll(async () => {
    await runtime.close({ graceMs: 0 });
    await canaries[Symbol.asyncDispose]();
  });

  // The same that `vivarium doctor --security` runs. Ways to harm the worker itself are all in `attacks.ts`.
  it.each(probes)('$id: can’t $title', { timeout: 60_000 }, async (probe) => {
    const rounds = probe.id < 'T40' ? 50 : 2;
    const [result] = await runProbes(runtime, canaries, [probe], { rounds });
    expect(result).toMatchObject({ ok: true });
  });

  it('T33: a value is data to its reader, whatever its names are', async () => {
    const { status, value } = await runtime.run(source('values.py'));
    expect(status).toBe('ok');
    expect(value).toMatchObject({
      constructor: { prototype: { polluted: 'by constructor' } },
      'not a number': Number.NaN,
      'negative zero': -0,
      'beyond exact': 2n ** 53n + 1n,
      'beyond 64 bits': -(2n ** 80n),
    });
    expect(Object.getOwnPropertyDescriptor(value, '__proto__')?.value).toStrictEqual({
      polluted: 'by __proto__',
    });
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    expect(await Promise.resolve(value)).toBe(value);
  });

  it('has a script for each row, and each says which it is', () => {
    const used = probes.flatMap(({ script, afterwards }) => [
      script,
      ...(afterwards === undefined ? [] : [afterwards]),
    ]);
    const there = readdirSync(scripts).filter((name) => !['attempts.py', 'alive.py'].includes(name));
    expect(there.filter((name) => name.endsWith('.py')).sort()).toStrictEqual(used.toSorted());
    for (const { id, script } of probes) expect(source(script)).toMatch(new RegExp(`^"""[^:]*${id}`));
  });
});
