import type { Engine } from '../engines/engine.ts';
import type { ImageSource } from '../packages/image-source.ts';
import type { Clock } from '../util/clock.ts';
import type { Hint, ImageFinder, Installer } from './images.ts';
import type { Pool } from './pool.ts';
import type { ResolvedRuntimeOptions } from './runtime-options.ts';
import type { SessionHost } from './session-host.ts';
import type { Telemetry } from './telemetry.ts';

/** What every part of a pool is given. */
export interface PoolContext {
  readonly engine: Engine;
  readonly options: ResolvedRuntimeOptions;
  readonly clock: Clock;
  /** From 0 to 1: spreads retries. */
  readonly random: () => number;
  readonly telemetry: Telemetry;
  /** The runtime's own: of every run that asks for no other. */
  readonly image: ImageSource;
  /** Absent: the runtime has its own image only. */
  readonly images?: ImageFinder | undefined;
  /** Absent: nothing is installed while a run lasts. */
  readonly installer?: Installer | undefined;
  readonly hint?: Hint | undefined;
  /** Makes what has the sessions of a pool; called with the first one. Absent: there are none. */
  readonly sessions?: ((pool: Pool, context: PoolContext) => Promise<SessionHost>) | undefined;
}
