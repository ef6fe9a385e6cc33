/** For tests of programs that use Vivarium: a runtime without Python, scripted, with a clock to move by hand. */
import { assembleRuntime } from './create-runtime.ts';
import { FakeEngine } from './engines/fake/fake-engine.ts';
import type { FakeScript } from './engines/fake/fake-script.ts';
import { type RuntimeOptions, resolveRuntimeOptions } from './pool/runtime-options.ts';
import type { Runtime } from './runtime.ts';
import { type Clock, systemClock } from './util/clock.ts';

export { FakeEngine } from './engines/fake/fake-engine.ts';
export type { FakeBoot, FakeOutcome, FakeRun, FakeScript } from './engines/fake/fake-script.ts';
export type { FakeWorker } from './engines/fake/fake-worker.ts';
export type { RuntimeOptions } from './pool/runtime-options.ts';
export type { Clock, Timer } from './util/clock.ts';
export { FakeClock } from './util/fake-clock.ts';

export interface FakeRuntimeOptions extends FakeScript {
  /** Default: the system's clock. A `FakeClock` for delays and timeouts that take no time. */
  clock?: Clock;
  /** As for a real runtime; `engine` has no effect. Default: one worker. */
  options?: RuntimeOptions;
}

/** A runtime whose workers do what a script says. */
export interface FakeRuntime extends Runtime {
  readonly engine: FakeEngine;
}

/**
 * A runtime without Python:
 *
 *     await using runtime = createFakeRuntime({ run: ({ code }) => ({ stdout: 'hello\n', value: code.length }) });
 */
export function createFakeRuntime(fake: FakeRuntimeOptions = {}): FakeRuntime {
  const clock = fake.clock ?? systemClock;
  const engine = new FakeEngine(fake, clock);
  const { size, minWorkers, maxWorkers } = fake.options ?? {};
  const one = size === undefined && minWorkers === undefined && maxWorkers === undefined;
  const options = resolveRuntimeOptions({ ...fake.options, ...(one ? { size: 1 } : {}) });
  return Object.assign(assembleRuntime({ engine, options, clock, random: () => 0.5 }), { engine });
}
