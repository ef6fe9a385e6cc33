import type { Execution, Run, RuntimeEvent } from '../../src/runtime.ts';
import {
  createFakeRuntime,
  FakeClock,
  type FakeRuntime,
  type FakeRuntimeOptions,
  type FakeScript,
  type RuntimeOptions,
} from '../../src/testing.ts';

export interface Subject {
  runtime: FakeRuntime;
  clock: FakeClock;
  events: RuntimeEvent[];
  /** Moves the clock and lets everything that follows happen. */
  advance(ms: number): Promise<void>;
  count(type: RuntimeEvent['type']): number;
}

/** Codes that the usual script knows; anything else succeeds at once. */
export const usual: FakeScript = {
  run: ({ code, worker }) => {
    const [word, number] = code.split(' ');
    if (word === 'sleep') return { delayMs: Number(number), value: worker };
    if (word === 'hang') return { delayMs: Infinity, unstoppable: true };
    if (word === 'loop') return { delayMs: Infinity, forgetsDeadline: true };
    if (word === 'crash') return { delayMs: Number(number ?? 0), crash: true };
    if (word === 'dirty') return { rewind: { dirty: 'a task is left' } };
    if (word === 'slow') return { rewind: { delayMs: Number(number) } };
    if (word === 'heap') return { heapBytes: Number(number) };
    if (word === 'raise') return { error: { name: 'ValueError', value: 'bad' } };
    return { value: worker };
  },
};

/** A runtime over the fake engine and a clock of its own; it isn't started. */
export function subject(
  options: RuntimeOptions = {},
  script: Omit<FakeRuntimeOptions, 'clock' | 'options'> = {},
): Subject {
  const clock = new FakeClock();
  const runtime = createFakeRuntime({ ...usual, ...script, clock, options });
  const events: RuntimeEvent[] = [];
  runtime.subscribe((event) => events.push(event));
  return {
    runtime,
    clock,
    events,
    advance: async (ms) => {
      clock.advance(ms);
      await settled();
    },
    count: (type) => events.filter((event) => event.type === type).length,
  };
}

/** All microtasks have run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Every run, ended: its status or the code that it rejected with. */
export async function outcomes(runs: readonly Run[]): Promise<string[]> {
  const results = await Promise.allSettled(runs);
  return results.map((result) =>
    result.status === 'fulfilled' ? result.value.status : String(result.reason.code ?? result.reason),
  );
}

/** The worker that ran it. */
export async function workerOf(run: Run | Promise<Execution>): Promise<string> {
  return (await run).worker.id;
}
