/** For tests of programs that use Vivarium: a runtime without Python, scripted, with a clock to move by hand. */
import { assembleRuntime } from './create-runtime.ts';
import { FakeEngine } from './engines/fake/fake-engine.ts';
import type { FakeScript } from './engines/fake/fake-script.ts';
import { type ImageSource, stdlibImage } from './packages/image-source.ts';
import type { Hint, ImageFinder, Installer } from './pool/images.ts';
import { type RuntimeOptions, resolveRuntimeOptions } from './pool/runtime-options.ts';
import type { Runtime } from './runtime.ts';
import { MemoryStore } from './store/memory-store.ts';
import type { SessionStore } from './store/store.ts';
import { type Clock, systemClock } from './util/clock.ts';

export type { Usage } from './engines/engine.ts';
export { FakeEngine } from './engines/fake/fake-engine.ts';
export type {
  FakeAsk,
  FakeBoot,
  FakeOutcome,
  FakeRun,
  FakeScript,
  FakeWork,
  FakeWorkOutcome,
} from './engines/fake/fake-script.ts';
export type { FakeState } from './engines/fake/fake-state.ts';
export type { FakeWorker } from './engines/fake/fake-worker.ts';
export type { ImageSource } from './packages/image-source.ts';
export type { Hint, ImageFinder, ImageRequest, Installed, Installer } from './pool/images.ts';
export type { RuntimeOptions } from './pool/runtime-options.ts';
export type { Clock, Timer } from './util/clock.ts';
export { FakeClock } from './util/fake-clock.ts';

export interface FakeRuntimeOptions extends FakeScript {
  /** Default: the system's clock. A `FakeClock` for delays and timeouts that take no time. */
  clock?: Clock;
  /** As for a real runtime; `engine` has no effect. Default: one worker. */
  options?: RuntimeOptions;
  /** What workers hold by default. */
  image?: ImageSource;
  /** Finds what runs ask for by `image` and `packages`. Default: every name is an image of that name. */
  images?: ImageFinder;
  /** Answers what runs ask to install. Default: nothing is installed. */
  installer?: Installer;
  hint?: Hint;
  /** What sessions are kept in: closed with the runtime. Default: memory of its own. */
  store?: () => Promise<SessionStore>;
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
  const { image, images = anyImage, installer, hint } = fake;
  const { maxCount, maxBytes, maxTotalBytes } = options.sessions;
  const limits = { maxSessions: maxCount, maxSessionBytes: maxBytes, maxTotalBytes };
  const memory = async () => new MemoryStore({ limits, now: () => clock.now() });
  const parts = {
    ...(image && { image }),
    ...(installer && { installer }),
    ...(hint && { hint }),
    openStore: fake.store ?? memory,
  };
  const runtime = assembleRuntime({ engine, options, clock, random: () => 0.5, images, ...parts });
  return Object.assign(runtime, { engine });
}

const anyImage: ImageFinder = {
  find: ({ image, packages = [] }) => Promise.resolve(fakeImage(image ?? [...packages].sort().join())),
};

/** An image that only a fake engine knows. */
export function fakeImage(name: string): ImageSource {
  if (name === stdlibImage.name) return stdlibImage;
  return { ...stdlibImage, lockHash: name, name };
}
