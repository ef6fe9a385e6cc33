import { createRuntime, type RuntimeOptions, type WorkOptions } from '../node.ts';
import type { Isolation, Runtime } from '../runtime.ts';
import { asUsage } from './desk.ts';
import type { SourceFlags } from './requirements.ts';

/** What flags say of a runtime. */
export interface RuntimeFlags extends SourceFlags {
  isolation?: Isolation;
  /** Name or path; false: none. */
  image?: boolean | string | undefined;
  lock?: string;
  timeout?: number;
  memory?: number;
  install?: 'never' | 'locked' | 'any';
}

/** The code is cold, so that its first traceback may take a while; whoever is in a hurry says it twice. */
const killGraceMs = 3000;

/** One worker, for one caller: nothing to keep alive, to check or to replace. */
export function createSingle(
  flags: RuntimeFlags & { packages?: readonly string[]; sessions?: RuntimeOptions['sessions'] },
  work: WorkOptions,
): Promise<Runtime> {
  const { engine, isolation, image, timeout, memory, packages, lock, mirror, offline, install, sessions } =
    flags;
  const options = { engine, isolation, image, packages, lock, mirror, offline, install, sessions };
  const limits = { timeoutMs: timeout, memoryBytes: memory };
  return asUsage(() =>
    createRuntime({ ...options, limits, size: 1, spares: 0, healthCheckIntervalMs: 0, killGraceMs }, work),
  );
}
