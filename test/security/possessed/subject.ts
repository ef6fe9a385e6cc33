import { inspect } from 'node:util';
import { afterAll, beforeAll, expect } from 'vitest';
import type { RuntimeOptions } from '../../../src/pool/runtime-options.ts';
import { type Canaries, placeCanaries } from '../../../src/probes/canaries.ts';
import type { Execution, RunOptions, Runtime } from '../../../src/runtime.ts';
import { type Possessed, possess } from './build.ts';

/** What each attempt of an attack came to: `got: …`, or the error's name and message. */
export type Found = Readonly<Record<string, unknown>>;

export interface Subject {
  readonly runtime: Runtime;
  readonly canaries: Canaries;
  readonly possessed: Possessed;
  /**
   * Has the kernel's thread make an attack of `fixtures/`, as tenant `attacker`. Afterwards nothing outside may have been
   * touched or learned, this process must be as it was, and another tenant's run must work.
   */
  attack(name: string, argument?: object, options?: RunOptions): Promise<Execution>;
  /** Without looking at what it did. */
  run(name: string, argument?: object, options?: RunOptions): Promise<Execution>;
  expectUnharmed(): Promise<void>;
  /** The same, of an attack that ends well: what it found. */
  find(name: string, argument?: object, options?: RunOptions): Promise<Found>;
}

/** A possessed product for the tests of one file. */
export function subject(options: RuntimeOptions = {}): Subject {
  let possessed: Possessed | undefined;
  let canaries: Canaries | undefined;
  let runtime: Runtime | undefined;

  beforeAll(async () => {
    [possessed, canaries] = await Promise.all([possess(), placeCanaries()]);
    runtime = await possessed.node.createRuntime({
      engine: 'deno',
      // One for the attacker, one for the other tenant.
      size: 2,
      spares: 0,
      killGraceMs: 200,
      healthCheckIntervalMs: 0,
      ...options,
    });
    await runtime.warm();
  });
  afterAll(async () => {
    await runtime?.close({ graceMs: 0 });
    await canaries?.[Symbol.asyncDispose]();
    await possessed?.[Symbol.asyncDispose]();
  });

  const made: Subject = {
    get runtime() {
      return present(runtime);
    },
    get canaries() {
      return present(canaries);
    },
    get possessed() {
      return present(possessed);
    },
    run(name, argument = {}, runOptions) {
      const given = JSON.stringify({ ...made.canaries.targets, ...argument });
      const limits = { timeoutMs: 20_000, tenant: 'attacker' };
      return made.runtime.run(`attack ${name} ${given}`, { ...limits, ...runOptions });
    },
    async attack(name, argument, runOptions) {
      const execution = await made.run(name, argument, runOptions);
      const said = inspect(execution, { depth: 100, maxStringLength: null, maxArrayLength: null });
      for (const secret of made.canaries.secrets) expect(said).not.toContain(secret);
      await made.expectUnharmed();
      return execution;
    },
    async expectUnharmed() {
      expect(await made.canaries.touched()).toStrictEqual([]);
      expect(Object.getOwnPropertyNames(Object.prototype).sort()).toStrictEqual(prototypeNames);
      const next = await made.runtime.run('print("alive")\n6 * 7', { tenant: 'other' });
      expect(next).toMatchObject({ status: 'ok', stdout: 'alive\n', value: 42 });
    },
    async find(name, argument, runOptions) {
      const execution = await made.attack(name, argument, runOptions);
      expect(execution.status, execution.error?.message).toBe('ok');
      const found: Found = JSON.parse(execution.text ?? 'null');
      expect(found).not.toHaveProperty('failed');
      return found;
    },
  };
  return made;
}

/** The attempts that came to something. */
export function granted(found: Found): Found {
  const entries = Object.entries(found).filter(
    ([, outcome]) => String(outcome).startsWith('got: ') && outcome !== 'got: undefined',
  );
  return Object.fromEntries(entries);
}

const prototypeNames = Object.getOwnPropertyNames(Object.prototype).sort();

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('only while tests run');
  return value;
}
