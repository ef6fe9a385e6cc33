import { fileURLToPath, pathToFileURL } from 'node:url';
import { WorkerError } from '../../errors/errors.ts';
import { stdlibImage } from '../../packages/image-source.ts';
import { trace } from '../../util/trace.ts';
import { findAssets, workerUrl } from '../assets.ts';
import { ChannelWorker, type Place } from '../channel-worker.ts';
import type { Engine, EngineOptions, StartOptions } from '../engine.ts';
import { defaultCacheDir, ImageCache } from '../image-cache.ts';
import { type StartInMode, startPlainly, startWithImage } from '../start-with-image.ts';
import { findDeno } from './binary.ts';
import { sandboxed } from './bubblewrap.ts';
import { type Cgroup, type CgroupParent, findCgroupParent, makeCgroup } from './cgroup.ts';
import { type DenoParts, denoCommand } from './command.ts';
import { hasShell, limitProcess } from './limits.ts';
import { startProcess } from './process.ts';

/** Beside Python's heap and a copy of it: the engine, compiled code, the image's files. */
const besideHeapBytes = 512 * 2 ** 20;

/** A process without any permission for each worker: the engine for code that isn't trusted. */
export function createDenoEngine(options: EngineOptions): Engine {
  const cache = new ImageCache(options.cacheDir ?? defaultCacheDir());
  const assets = findAssets();
  // Reported by the first start.
  assets.catch(() => {});
  let found: CgroupParent | undefined | null = null;
  const cgroupParent = (): CgroupParent | undefined => {
    if (found === null) found = hasShell() ? findCgroupParent() : undefined;
    return found;
  };

  const start = async (startOptions: StartOptions): Promise<ChannelWorker> => {
    const { glueUrl, wasmUrl, stdlibUrl, fingerprint: installed } = await assets;
    const { image = stdlibImage } = startOptions;
    const deno = findDeno();
    const inMode: StartInMode = async ({ mode, imagePath, packages, fingerprint, onImage }, bootOptions) => {
      const imageUrl = imagePath === null ? null : pathToFileURL(imagePath).href;
      const readable = [glueUrl, wasmUrl, stdlibUrl, workerUrl('deno-kernel.js').href];
      if (imageUrl !== null) readable.push(imageUrl);
      if (imagePath !== null) trace('image.reading', { path: imagePath });
      for (const { url } of packages.wheels) readable.push(url);
      const supervisor = toPath(workerUrl('deno-supervisor.js').href);
      const { maxHeapBytes } = bootOptions.init;
      const parts = { deno, supervisor, readable: readable.map(toPath), maxHeapBytes };
      const place = await launch(parts, options, cgroupParent());
      const worker = await ChannelWorker.start(
        place,
        {
          ...bootOptions.init,
          mode,
          assets: { glueUrl, wasmUrl, stdlibUrl, imageUrl },
          packages,
          fingerprint,
        },
        bootOptions,
        onImage,
      );
      if (worker.pid !== undefined) trace('worker.ready', { pid: worker.pid });
      return worker;
    };
    const fingerprint = { ...installed, lockHash: image.lockHash };
    return options.image
      ? startWithImage(cache, image, fingerprint, inMode, startOptions)
      : startPlainly(image, fingerprint, inMode, startOptions);
  };

  return { kind: 'deno', start, async [Symbol.asyncDispose]() {} };
}

function toPath(url: string): string {
  return fileURLToPath(url);
}

async function launch(
  parts: DenoParts,
  { sandbox = 'process', maxResidentBytes = 2 * parts.maxHeapBytes + besideHeapBytes }: EngineOptions,
  parent: CgroupParent | undefined,
): Promise<Place> {
  const plain = denoCommand(parts);
  const command = sandbox === 'os' ? await sandboxed(plain, [parts.supervisor, ...parts.readable]) : plain;
  const cgroup = cgroupIn(parent, maxResidentBytes);
  try {
    const limited = limitProcess(command, { maxResidentBytes, cgroupProcs: cgroup?.procs });
    return startProcess(limited, () => {
      if (!cgroup?.close().outOfMemory) return undefined;
      return `the system ended it for holding more than ${Math.floor(maxResidentBytes / 2 ** 20)} MiB of memory`;
    });
  } catch (error) {
    cgroup?.close();
    if (error instanceof WorkerError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new WorkerError('boot_failed', `the worker's process could not be started: ${why}`, {
      cause: error,
    });
  }
}

/** Undefined where no cgroup can be had: memory is watched from outside in any case. */
function cgroupIn(parent: CgroupParent | undefined, memoryBytes: number): Cgroup | undefined {
  if (parent === undefined) return undefined;
  try {
    return makeCgroup(parent, memoryBytes);
  } catch (cause) {
    if (!parent.named) return undefined;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new WorkerError('boot_failed', `no cgroup can be made for the worker: ${why}`, { cause });
  }
}
