import { fileURLToPath, pathToFileURL } from 'node:url';
import { WorkerError } from '../../errors/errors.ts';
import { stdlibImage } from '../../packages/image-source.ts';
import { trace } from '../../util/trace.ts';
import { findAssets, workerUrl } from '../assets.ts';
import { ChannelWorker, type Place } from '../channel-worker.ts';
import { defaultResidentBytes, type Engine, type EngineOptions, type StartOptions } from '../engine.ts';
import { defaultCacheDir, ImageCache } from '../image-cache.ts';
import { type StartInMode, startPlainly, startWithImage } from '../start-with-image.ts';
import { findDeno } from './binary.ts';
import { sandboxed } from './bubblewrap.ts';
import { openCgroup } from './cgroup.ts';
import { type DenoParts, denoCommand } from './command.ts';
import { limitProcess } from './limits.ts';
import { startProcess } from './process.ts';

/** A process without any permission for each worker: the engine for code that isn't trusted. */
export function createDenoEngine(options: EngineOptions): Engine {
  const cache = new ImageCache(options.cacheDir ?? defaultCacheDir());
  const assets = findAssets();
  // Reported by the first start.
  assets.catch(() => {});

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
      const { maxResidentBytes = defaultResidentBytes(maxHeapBytes) } = bootOptions;
      const parts = { deno, supervisor, readable: readable.map(toPath), maxHeapBytes };
      const place = await launch(parts, options, maxResidentBytes);
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
      if (worker.pid === undefined) {
        worker.kill();
        await worker.exited;
        throw new WorkerError('boot_failed', 'bubblewrap did not tell which process is the worker');
      }
      trace('worker.ready', { pid: worker.pid });
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
  { sandbox = 'process' }: EngineOptions,
  maxResidentBytes: number,
): Promise<Place> {
  const plain = denoCommand(parts);
  const command = sandbox === 'os' ? await sandboxed(plain, [parts.supervisor, ...parts.readable]) : plain;
  const cgroup = openCgroup(maxResidentBytes);
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
