import { createRuntime, packagesOf, scriptDependencies, type WorkOptions } from '../node.ts';
import type { Runtime } from '../runtime.ts';
import { asUsage, createDesk } from './desk.ts';
import { stdinKind } from './input.ts';
import type { Host, RunRequest } from './run.ts';

export { run } from './run.ts';

/** The code is cold, so that its first traceback may take a while; whoever is in a hurry says it twice. */
const killGraceMs = 3000;

/** The real streams, signals and runtime. */
export function createHost(): Host {
  return {
    ...createDesk(),
    createRuntime: createSingle,
    scriptDependencies,
    packagesOf: (code, { mirror, offline, engine }, work) =>
      asUsage(() => packagesOf(code, { mirror, offline, engine, ...work })),
    // Opened when it's read: most runs don't.
    get stdin() {
      return process.stdin;
    },
    stdinKind: stdinKind(),
  };
}

/** One worker, for one run: nothing to keep alive, to check or to replace. */
function createSingle(
  request: RunRequest & { packages: readonly string[] },
  work: WorkOptions,
): Promise<Runtime> {
  const { engine, isolation, image, timeout, memory, packages, lock, mirror, offline, install } = request;
  const options = { engine, isolation, image, packages, lock, mirror, offline, install };
  const limits = { timeoutMs: timeout, memoryBytes: memory };
  return asUsage(() =>
    createRuntime({ ...options, limits, size: 1, spares: 0, healthCheckIntervalMs: 0, killGraceMs }, work),
  );
}
