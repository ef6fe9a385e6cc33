import { WorkerError } from '../errors/errors.ts';
import type { Fingerprint } from '../image/format.ts';
import type { InitOptions } from '../protocol/messages.ts';
import type { ChannelWorker } from './channel-worker.ts';
import type { StartOptions } from './engine.ts';
import type { ImageCache } from './image-cache.ts';

type Booted = { worker: ChannelWorker; parts: Uint8Array[] };

/** Starts a worker of some engine in a mode; `imagePath` is set when the mode is `restore`. */
export type StartInMode = (
  mode: InitOptions['mode'],
  imagePath: string | null,
  options: StartOptions,
) => Promise<Booted>;

/**
 * A worker restored from its image: found, or built first by a worker of its own. A damaged image is built anew, once,
 * with a warning; where none can be kept (no room, no permission) the worker boots plainly, with a warning.
 */
export async function startWithImage(
  cache: ImageCache,
  fingerprint: Fingerprint,
  start: StartInMode,
  options: StartOptions,
): Promise<ChannelWorker> {
  const build = async (): Promise<Uint8Array> => {
    options.onProgress?.({ stage: 'image', done: 0, total: 1, message: 'building the image' });
    const { worker, parts } = await start('build', null, options);
    worker.kill();
    const [image] = parts;
    if (image === undefined) throw new WorkerError('boot_failed', 'the worker built no image');
    return image;
  };
  const restore = async (): Promise<ChannelWorker> => {
    const path = await cache.find(fingerprint, build, options.signal);
    return (await start('restore', path, options)).worker;
  };
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
    return (await start('plain', null, options)).worker;
  }
}

function isImageError(error: unknown): error is WorkerError {
  return error instanceof WorkerError && error.details.name === 'ImageError';
}

function isDiskError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'code' in error;
}
