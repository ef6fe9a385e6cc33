import type { Engine } from './engines/engine.ts';
import { UsageError } from './errors/errors.ts';
import { type ImageSource, stdlibImage } from './packages/image-source.ts';
import type { Hint, ImageFinder, Installer } from './pool/images.ts';
import { LocalRuntime } from './pool/local-runtime.ts';
import { type ResolvedRuntimeOptions, resolveRuntimeOptions } from './pool/runtime-options.ts';
import { Telemetry } from './pool/telemetry.ts';
import type { SessionStore } from './store/store.ts';
import { type Clock, systemClock } from './util/clock.ts';

export interface RuntimeParts {
  /** The runtime ends it when it's closed. */
  engine: Engine;
  /** Default: the defaults of every option. */
  options?: ResolvedRuntimeOptions;
  clock?: Clock;
  /** From 0 to 1. */
  random?: () => number;
  /** The runtime's own. Default: the standard library alone. */
  image?: ImageSource;
  /** Without it the runtime has its own image only. */
  images?: ImageFinder;
  /** Without it nothing is installed while a run lasts. */
  installer?: Installer;
  hint?: Hint;
  /** What sessions are kept in; called with the first one. Without it there are none. */
  openStore?: () => Promise<SessionStore>;
}

/** Wires an engine and a pool; every platform's `createRuntime` comes down to this. */
export function assembleRuntime(parts: RuntimeParts): LocalRuntime {
  const { engine, images, installer, hint, openStore = noStore } = parts;
  const options = parts.options ?? resolveRuntimeOptions();
  return new LocalRuntime({
    engine,
    options,
    clock: parts.clock ?? systemClock,
    random: parts.random ?? Math.random,
    telemetry: new Telemetry(options.logger),
    image: parts.image ?? stdlibImage,
    images,
    installer,
    hint,
    // Few need it: a cold start counts.
    sessions: async (pool, context) =>
      new (await import('./sessions/sessions.ts')).Sessions(pool, context, openStore),
  });
}

function noStore(): Promise<never> {
  return Promise.reject(new UsageError('usage', 'This runtime keeps no sessions.'));
}
