import type { Diagnosis, Runtime } from '../runtime.ts';
import { placeCanaries } from './canaries.ts';
import { describeProcess } from './facts.ts';
import { probes } from './probes.ts';
import { type ProbeResult, runProbes } from './run-probes.ts';

export interface ProbeOptions {
  /** Told first: what is known of the worker, and which probes will be run. */
  onBegin?:
    | ((facts: readonly Diagnosis[], probes: readonly { id: string; title: string }[]) => void)
    | undefined;
  /** Told as each probe has ended. */
  onResult?: ((result: ProbeResult) => void) | undefined;
}

export interface SecurityReport {
  /** Everything is as it should be. */
  ok: boolean;
  facts: Diagnosis[];
  probes: ProbeResult[];
}

/** A script is run once more without the attempt that ended it, so often; the tests of this project run them all. */
const rounds = 2;

/** Sets out canaries, starts a runtime, and attacks it. */
export async function probeSecurity(
  createRuntime: () => Promise<Runtime>,
  { onBegin, onResult }: ProbeOptions,
): Promise<SecurityReport> {
  await using canaries = await placeCanaries();
  await using runtime = await createRuntime();
  const { worker } = await runtime.run('0');
  const facts = worker.pid === undefined ? [] : await describeProcess(worker.pid, canaries.secrets);
  onBegin?.(facts, probes);
  const results = await runProbes(runtime, canaries, probes, { rounds, ...(onResult && { onResult }) });
  return { ok: [...facts, ...results].every(({ ok }) => ok), facts, probes: results };
}
