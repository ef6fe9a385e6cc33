import { InstallError, WorkerError } from '../errors/errors.ts';
import type { Fingerprint } from '../image/header.ts';
import type { ImageSource } from '../packages/image-source.ts';
import type { BuildPackages, InitOptions } from '../protocol/messages.ts';
import { isDiskError } from '../util/disk-error.ts';
import type { ChannelWorker } from './channel-worker.ts';
import { buildTimeoutMs, type StartOptions } from './engine.ts';
import type { ImageCache, TakeImage } from './image-cache.ts';

/** How a worker boots: what of `InitOptions` an engine can't know by itself. */
export interface BootMode {
  mode: InitOptions['mode'];
  /** When the mode is `restore`. */
  imagePath: string | null;
  packages: BuildPackages;
  fingerprint: Fingerprint;
  /** When it is `build`: takes the image piece by piece. */
  onImage?: TakeImage;
}

/** Starts a worker of some engine in a mode. */
export type StartInMode = (boot: BootMode, options: StartOptions) => Promise<ChannelWorker>;

const nothing: BuildPackages = { wheels: [], imports: [], warm: [] };

/**
 * A worker restored from its image: found, or built first by a worker of its own. A damaged image is built anew, once,
 * with a warning; where none can be kept (no room, no permission) the worker boots plainly, with a warning. An image
 * that is given as a file is used as it is or refused.
 */
export async function startWithImage(
  cache: ImageCache,
  source: ImageSource,
  fingerprint: Fingerprint,
  start: StartInMode,
  options: StartOptions,
): Promise<ChannelWorker> {
  const restoreFrom = (imagePath: string): Promise<ChannelWorker> =>
    start({ mode: 'restore', imagePath, packages: nothing, fingerprint }, options);
  if (source.path !== undefined) {
    const { path } = source;
    return restoreFrom(path).catch((error: unknown) => {
      throw isImageError(error) ? unusable(path, error) : error;
    });
  }
  const build = async (onImage: TakeImage): Promise<void> => {
    options.onProgress?.({ stage: 'image', done: 0, total: 1, message: `building the image ${source.name}` });
    const packages = await source.load(options);
    const patient = { ...options, bootTimeoutMs: Math.max(options.bootTimeoutMs, buildTimeoutMs) };
    const worker = await start({ mode: 'build', imagePath: null, packages, fingerprint, onImage }, patient);
    worker.kill();
  };
  const restore = async (): Promise<ChannelWorker> =>
    restoreFrom(await cache.find(fingerprint, build, options.signal));
  const restoreOrRepair = async (): Promise<ChannelWorker> => {
    const { built } = cache;
    try {
      return await restore();
    } catch (error) {
      if (!isImageError(error)) throw error;
      options.onWarning?.(`${error.message}; it is built anew`);
      await cache.discard(fingerprint, built);
      return restore();
    }
  };
  try {
    return await restoreOrRepair();
  } catch (error) {
    if (!isDiskError(error)) throw error;
    options.onWarning?.(`the image can't be kept, so workers boot slowly: ${error.message}`);
    return startPlainly(source, fingerprint, start, options);
  }
}

/** Without an image: installs, imports and warms in each worker. */
export async function startPlainly(
  source: ImageSource,
  fingerprint: Fingerprint,
  start: StartInMode,
  options: StartOptions,
): Promise<ChannelWorker> {
  const packages = await source.load(options);
  const bootTimeoutMs =
    packages.wheels.length === 0 ? options.bootTimeoutMs : Math.max(options.bootTimeoutMs, buildTimeoutMs);
  return start({ mode: 'plain', imagePath: null, packages, fingerprint }, { ...options, bootTimeoutMs });
}

function unusable(path: string, error: WorkerError): InstallError {
  const suggestion = 'build or export it again';
  return new InstallError(
    `The image ${path} can't be used: ${error.message}; ${suggestion}.`,
    { reason: 'bad_lock', package: '', suggestion },
    error,
  );
}

function isImageError(error: unknown): error is WorkerError {
  return error instanceof WorkerError && error.details.name === 'ImageError';
}
