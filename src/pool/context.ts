import type { Engine } from '../engines/engine.ts';
import type { Clock } from '../util/clock.ts';
import type { ResolvedRuntimeOptions } from './runtime-options.ts';
import type { Telemetry } from './telemetry.ts';

/** What every part of a pool is given. */
export interface PoolContext {
  readonly engine: Engine;
  readonly options: ResolvedRuntimeOptions;
  readonly clock: Clock;
  /** From 0 to 1: spreads retries. */
  readonly random: () => number;
  readonly telemetry: Telemetry;
}
