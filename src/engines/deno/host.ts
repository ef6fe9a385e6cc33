import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { stdlibImage } from '../../packages/image-source.ts';
import { StreamPort } from '../../rpc/stream-port.ts';
import { wasmPageBytes } from '../../util/wasm.ts';
import { findAssets, workerUrl } from '../assets.ts';
import { ChannelWorker, type Place } from '../channel-worker.ts';
import type { Engine, EngineOptions, StartOptions, Usage } from '../engine.ts';
import { defaultCacheDir, ImageCache } from '../image-cache.ts';
import { type StartInMode, startPlainly, startWithImage } from '../start-with-image.ts';
import { findDeno } from './binary.ts';

/** For the kernel's own JavaScript objects: files, buffers, messages. WebAssembly memory is not in it. */
const javascriptHeapMb = 512;
const keptStderrBytes = 4096;

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
      for (const { url } of packages.wheels) readable.push(url);
      const place = launch(deno, readable.map(toPath), bootOptions.init.maxHeapBytes);
      return ChannelWorker.start(
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
    };
    const fingerprint = { ...installed, lockHash: image.lockHash };
    return options.image
      ? startWithImage(cache, image, fingerprint, inMode, startOptions)
      : startPlainly(image, fingerprint, inMode, startOptions);
  };

  return { kind: 'deno', start, async [Symbol.asyncDispose]() {} };
}

/**
 * Nothing of the host's environment is passed on. Without a folder of its own Deno can keep nothing either. The
 * `MALLOC_` settings make glibc give back what the boot needed only for a while.
 */
const denoEnvironment = {
  DENO_DIR: '/dev/null/none',
  DENO_NO_UPDATE_CHECK: '1',
  NO_COLOR: '1',
  MALLOC_MMAP_THRESHOLD_: '131072',
  MALLOC_ARENA_MAX: '2',
};

function toPath(url: string): string {
  return fileURLToPath(url);
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

function launch(deno: string, readable: readonly string[], maxHeapBytes: number): Place {
  const child: Child = spawn(deno, denoArguments(readable, maxHeapBytes), {
    cwd: '/',
    env: denoEnvironment,
    stdio: ['pipe', 'pipe', 'pipe'],
    // A group of its own: Ctrl-C in a terminal is for the host, which then interrupts Python and keeps the worker.
    detached: process.platform !== 'win32',
    windowsHide: true,
  });
  const { promise: exited, resolve } = Promise.withResolvers<string>();
  let stderr = '';
  const port = new StreamPort({
    auth: randomUUID(),
    write(chunks) {
      for (const chunk of chunks) child.stdin.write(chunk);
    },
    close: () => kill(),
  });
  child.stdout.on('data', (chunk: Buffer) => port.receive(chunk));
  child.stderr.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString('utf8')).slice(-keptStderrBytes);
  });
  // A broken pipe is the end of the process, which is told below.
  child.stdin.on('error', () => {});
  child.on('error', (error) => resolve(`the worker's process could not be started: ${error.message}`));
  child.on('close', (code, signal) => {
    const how = signal === null ? `with code ${code}` : `by ${signal}`;
    const reason = `the worker's process ended ${how}${errorLine(stderr)}`;
    resolve(reason);
    port.end(new Error(reason));
  });
  const kill = (): void => {
    child.kill('SIGKILL');
    // A process that it started could hold them open, and its end would not be told.
    for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe.destroy();
  };
  return {
    port,
    pid: child.pid,
    exited,
    kill,
    ...(process.platform === 'linux' && { usage: () => usageOf(child.pid) }),
    hold(held) {
      const pipes = [child.stdin, child.stdout, child.stderr] as Partial<Socket>[];
      for (const handle of [child, ...pipes]) (held ? handle.ref : handle.unref)?.call(handle);
    },
  };
}

function usageOf(pid: number | undefined): Usage | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const [user = 0, system = 0, pages = 0] = [fields[11], fields[12], fields[21]];
    return { residentBytes: pages * 4096, cpuMs: (user + system) * 10 };
  } catch {
    return null;
  }
}

/**
 * Read permission for the kernel's own files until it has booted, nothing else, and no way to get more: no prompt, no
 * registry, no remote module, no configuration, no storage. V8 may not make code from strings.
 */
function denoArguments(readable: readonly string[], maxHeapBytes: number): string[] {
  const v8Flags = [
    `--wasm-max-mem-pages=${Math.ceil(maxHeapBytes / wasmPageBytes)}`,
    `--max-old-space-size=${javascriptHeapMb}`,
    '--disallow-code-generation-from-strings',
    // A seventh less memory, no slower.
    '--optimize-for-size',
    // For one collection, once the kernel is idle; the entry takes the function away before guest code runs.
    '--expose-gc',
  ];
  return [
    'run',
    '--quiet',
    '--no-prompt',
    '--no-remote',
    '--no-npm',
    '--cached-only',
    '--no-config',
    '--no-lock',
    '--node-modules-dir=none',
    '--allow-import=none.invalid',
    `--location=https://${randomUUID()}.invalid`,
    `--v8-flags=${v8Flags.join(',')}`,
    `--allow-read=${readable.map((path) => path.replaceAll(',', ',,')).join(',')}`,
    toPath(workerUrl('deno-supervisor.js').href),
  ];
}

function errorLine(stderr: string): string {
  const line =
    stderr
      .trim()
      .split('\n')
      .find((text) => text.includes('error')) ?? '';
  return line === '' ? '' : `: ${line.slice(0, 300)}`;
}
