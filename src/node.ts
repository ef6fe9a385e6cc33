/** `vivarium/node`: runtimes for Node programs. */
import { availableParallelism } from 'node:os';
import { assembleRuntime } from './create-runtime.ts';
import type { DiagnoseOptions } from './engines/diagnose.ts';
import type { Engine } from './engines/engine.ts';
import {
  type ResolvedRuntimeOptions,
  type RuntimeOptions,
  resolveRuntimeOptions,
} from './pool/runtime-options.ts';
import { SharedRuntimes } from './pool/shared-runtimes.ts';
import type { Diagnosis, Runtime } from './runtime.ts';

export type { DiagnoseOptions } from './engines/diagnose.ts';
export type { Logger, RecycleOptions, RuntimeOptions } from './pool/runtime-options.ts';
export type { Diagnosis } from './runtime.ts';

const shared = new SharedRuntimes();

/**
 * A runtime of Python workers in this program. Nothing is started before the first run or `warm()`.
 * Throws one `TypeError` that names every unknown or ill-typed option and malformed environment variable.
 */
export async function createRuntime(options?: RuntimeOptions): Promise<Runtime> {
  const resolved = resolveRuntimeOptions(options, process.env, availableParallelism());
  const create = async () => assembleRuntime({ engine: await createEngine(resolved), options: resolved });
  return resolved.shared ? await shared.join(resolved, create) : await create();
}

/** What a runtime needs on this machine, whether it is there, and the command that mends it. */
export async function diagnose(options?: DiagnoseOptions): Promise<Diagnosis[]> {
  return (await import('./engines/diagnose.ts')).diagnose(options);
}

/** Loads the chosen engine only. */
async function createEngine({ engine, image, cacheDir }: ResolvedRuntimeOptions): Promise<Engine> {
  const options = { image, ...(cacheDir === undefined ? {} : { cacheDir }) };
  switch (engine) {
    case 'deno':
      return (await import('./engines/deno/host.ts')).createDenoEngine(options);
    case 'node':
      return (await import('./engines/node/host.ts')).createNodeEngine(options);
    default:
      return engine satisfies never;
  }
}
