import { readFile, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Worker as Thread } from 'node:worker_threads';
import { WorkerError } from '../../errors/errors.ts';
import {
  decodeImage,
  type ImageBytes,
  libraryBytes,
  splitImage,
  unreadable,
  verifyImage,
} from '../../image/format.ts';
import type { Fingerprint } from '../../image/header.ts';
import { stdlibImage } from '../../packages/image-source.ts';
import type { Message } from '../../protocol/envelope.ts';
import { signalWords, stopCode } from '../../protocol/signals.ts';
import { createMailbox, sendMail } from '../../rpc/mailbox.ts';
import type { Port } from '../../rpc/port.ts';
import { wasmPageBytes } from '../../util/wasm.ts';
import { findAssets, workerUrl } from '../assets.ts';
import { ChannelWorker, type Place, type PlaceEnd } from '../channel-worker.ts';
import type { Engine, EngineOptions, StartOptions } from '../engine.ts';
import { defaultCacheDir, ImageCache } from '../image-cache.ts';
import { type StartInMode, startPlainly, startWithImage } from '../start-with-image.ts';
import type { ThreadData, WebAssemblyModule } from './start.ts';

const javascriptHeapMb = 512;

/**
 * A thread of this process for each worker, with compiled modules and the image's bytes shared between them. Faster to
 * start and smaller than `deno`, but no boundary: only for code that is trusted as much as the program itself.
 */
export function createNodeEngine(options: EngineOptions): Engine {
  const cache = new ImageCache(options.cacheDir ?? defaultCacheDir());
  const assets = findAssets();
  const shared = assets.then(async ({ wasmUrl, stdlibUrl }) => ({
    wasm: await compile(wasmUrl),
    stdlib: share(await readFile(fileURLToPath(stdlibUrl))),
  }));
  // Reported by the first start.
  shared.catch(() => {});
  const images = new Map<string, Promise<SharedImage>>();

  const start = async (startOptions: StartOptions): Promise<ChannelWorker> => {
    const { glueUrl, fingerprint: installed } = await assets;
    const { image: source = stdlibImage } = startOptions;
    const fingerprint = { ...installed, lockHash: source.lockHash };
    const { wasm, stdlib } = await shared;

    const loadImage = async (path: string): Promise<SharedImage> => {
      // A file that was replaced is another image.
      const { mtimeMs, size } = await stat(path).catch(unreadable);
      const key = `${path}\n${mtimeMs}\n${size}`;
      const loading = images.get(key) ?? readImage(path, fingerprint);
      images.set(key, loading);
      loading.catch(() => images.delete(key));
      return loading;
    };

    const inMode: StartInMode = async ({ mode, imagePath, packages, onImage }, bootOptions) => {
      const image = imagePath === null ? null : await loadImage(imagePath).catch(imageFailure);
      const signals = new Int32Array(new SharedArrayBuffer(signalWords.length * 4));
      const mailbox = createMailbox();
      const wheels = await Promise.all(packages.wheels.map(({ url }) => readFile(new URL(url))));
      const { bytes = null, libraries = [] } = image ?? {};
      const place = launch({ signals, mailbox, glueUrl, wasm, stdlib, image: bytes, libraries, wheels });
      return ChannelWorker.start(
        place,
        { ...bootOptions.init, mode, assets: null, packages, fingerprint },
        bootOptions,
        onImage,
      );
    };
    return options.image
      ? startWithImage(cache, source, fingerprint, inMode, startOptions)
      : startPlainly(source, fingerprint, inMode, startOptions);
  };

  return { kind: 'node', start, async [Symbol.asyncDispose]() {} };
}

/** An image as threads share it: its bytes, and its libraries compiled. */
interface SharedImage {
  bytes: ImageBytes;
  libraries: WebAssemblyModule[];
}

async function readImage(path: string, fingerprint: Fingerprint): Promise<SharedImage> {
  const bytes = splitImage(await readFile(path).catch(unreadable));
  const decoded = decodeImage(bytes, fingerprint);
  await verifyImage(bytes);
  const libraries = await Promise.all(libraryBytes(decoded).map(compileBytes));
  return { bytes: { first: share(bytes.first), files: share(bytes.files) }, libraries };
}

function imageFailure(error: unknown): never {
  if (!(error instanceof Error)) throw error;
  throw new WorkerError('boot_failed', error.message, { cause: error, details: { name: error.name } });
}

async function compile(wasmUrl: string): Promise<WebAssemblyModule> {
  return compileBytes(await readFile(fileURLToPath(wasmUrl)));
}

function compileBytes(bytes: Uint8Array): Promise<WebAssemblyModule> {
  // Node's types leave the functions of this namespace to the DOM's.
  const { WebAssembly } = globalThis as unknown as {
    WebAssembly: { compile(bytes: Uint8Array): Promise<WebAssemblyModule> };
  };
  return WebAssembly.compile(bytes);
}

function share(bytes: Uint8Array): Uint8Array {
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  return shared;
}

function launch(data: ThreadData): Place {
  const thread = new Thread(workerUrl('node-kernel.js'), {
    workerData: data,
    env: {},
    argv: [],
    execArgv: [],
    stdin: false,
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: javascriptHeapMb },
  });
  // Nothing is meant to be written there; unread, it would pile up.
  thread.stdout.resume();
  thread.stderr.resume();
  const { promise: exited, resolve } = Promise.withResolvers<PlaceEnd>();
  let failure = '';
  let ended = false;
  const port = new ThreadPort(thread, data.signals, data.mailbox);
  thread.on('error', (error) => {
    failure = `: ${error instanceof Error ? error.message : String(error)}`;
  });
  thread.on('exit', (code) => {
    ended = true;
    const reason = `the worker's thread ended with code ${code}${failure}`;
    resolve({ reason });
    port.onClose?.(new Error(reason));
  });
  return {
    port,
    pid: undefined,
    exited,
    kill: () => {
      if (!ended) void thread.terminate();
    },
    hold(held) {
      if (held) thread.ref();
      else thread.unref();
    },
  };
}

/** Messages to and from a thread. What must be answered while Python computes is answered here. */
class ThreadPort implements Port {
  readonly #thread: Thread;
  readonly #signals: Int32Array;
  readonly #mailbox: SharedArrayBuffer;
  #running: string | null = null;
  onMessage: ((message: unknown) => void) | undefined;
  onClose: ((error?: Error) => void) | undefined;

  constructor(thread: Thread, signals: Int32Array, mailbox: SharedArrayBuffer) {
    this.#thread = thread;
    this.#mailbox = mailbox;
    this.#signals = signals;
    thread.on('message', (message: unknown) => {
      if ((message as { kind?: unknown } | null)?.kind === 'result') this.#running = null;
      this.onMessage?.(message);
    });
    // Nobody takes the mail any more.
    thread.on('exit', () => {
      this.#running = null;
    });
  }

  send(message: Message): void {
    switch (message.kind) {
      case 'run':
        this.#running = message.id;
        Atomics.store(this.#signals, signalWords.interrupt, 0);
        break;
      case 'answer':
        // The thread is blocked in Python until it has it all.
        if (message.id === this.#running)
          void sendMail(this.#mailbox, message, () => this.#running !== message.id);
        return;
      case 'interrupt':
        if (message.id === this.#running) {
          Atomics.store(this.#signals, signalWords.interrupt, stopCode(message.reason));
          Atomics.notify(this.#signals, signalWords.interrupt);
        }
        return;
      case 'ping': {
        const heapBytes = Atomics.load(this.#signals, signalWords.heapPages) * wasmPageBytes;
        const pong = { kind: 'pong', id: message.id, busy: this.#running, heapBytes, residentBytes: null };
        queueMicrotask(() => this.onMessage?.(pong));
        return;
      }
      case 'shutdown':
        this.close();
        return;
      default:
    }
    // What a session is thawed from stays the caller's, and may lie in memory that can't be handed over.
    const parts = message.kind === 'run' ? (message.parts ?? []) : [];
    this.#thread.postMessage(
      message,
      parts.map((part) => part.buffer as ArrayBuffer),
    );
  }

  close(): void {
    void this.#thread.terminate();
  }
}
