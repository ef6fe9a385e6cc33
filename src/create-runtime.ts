import type { Engine } from './engines/engine.ts';
import { LocalRuntime } from './pool/local-runtime.ts';
import { type ResolvedRuntimeOptions, resolveRuntimeOptions } from './pool/runtime-options.ts';
import { Telemetry } from './pool/telemetry.ts';
import { type Clock, systemClock } from './util/clock.ts';

export interface RuntimeParts {
  /** The runtime ends it when it's closed. */
  engine: Engine;
  /** Default: the defaults of every option. */
  options?: ResolvedRuntimeOptions;
  clock?: Clock;
  /** From 0 to 1. */
  random?: () => number;
}

/** Wires an engine and a pool; every platform's `createRuntime` comes down to this. */
export function assembleRuntime(parts: RuntimeParts): LocalRuntime {
  const options = parts.options ?? resolveRuntimeOptions();
  return new LocalRuntime({
    engine: parts.engine,
    options,
    clock: parts.clock ?? systemClock,
    random: parts.random ?? Math.random,
    telemetry: new Telemetry(options.logger),
  });
}
