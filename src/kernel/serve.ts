import { InstallError, VivariumError, WorkerError } from '../errors/errors.ts';
import { toWire } from '../errors/wire.ts';
import {
  type ChangeFilesMessage,
  type FreezeMessage,
  type HostMessage,
  type InitMessage,
  protocolVersion,
  type RewindMessage,
  type ThawMessage,
  type WorkerMessage,
} from '../protocol/messages.ts';
import type { BootProgress, KernelAssets } from './boot.ts';
import { Kernel } from './kernel.ts';
import { warmScripts } from './python-files.ts';

/** What an engine's entry supplies to a kernel's thread. */
export interface KernelHost {
  post(message: WorkerMessage): void;
  /** Blocks until the host's next message. */
  receive(): HostMessage;
  /** Loads the bytes that the kernel boots from. Called once, before the realm loses its platform. */
  loadAssets(init: InitMessage, progress: BootProgress): Promise<KernelAssets>;
  /** Gives up every permission the thread still has. Called once all is loaded, before any code of packages or guests. */
  lockDown(): void;
  /** Called once, when the kernel has been idle: the boot leaves much behind that the engine would keep for long. */
  collectGarbage?: () => void;
  signals: Int32Array;
}

type StateMessage = FreezeMessage | ThawMessage | RewindMessage | ChangeFilesMessage;

const idleMs = 200;
// The realm loses them before the kernel boots.
const { setTimeout, clearTimeout } = globalThis;
const now: () => number = performance.now.bind(performance);
const chunkBytes = 16 * 1024 * 1024;

/** The message loop of a kernel's thread: one `init`, then runs. Returns the handler for what the host sends. */
export function serveKernel(host: KernelHost): (message: HostMessage) => void {
  const started = now();
  let kernel: Kernel | undefined;

  const boot = async (init: InitMessage): Promise<void> => {
    if (init.version !== protocolVersion) {
      throw new Error(`host speaks protocol ${init.version}, this worker ${protocolVersion}`);
    }
    const progress: BootProgress = (stage, done, total, message) =>
      host.post({ kind: 'progress', id: init.id, stage, done, total, message });
    // The assets are large: nothing may refer to them once the kernel has booted.
    const booted = await Kernel.boot(await loadAssets(init, progress), {
      signals: host.signals,
      maxHeapBytes: init.options.maxHeapBytes,
      env: init.options.env,
      reproducible: init.options.mode === 'build',
      post: (message) => host.post(message),
      receive: () => host.receive(),
      progress,
    });
    if (init.options.mode === 'build') {
      for (const piece of await booted.toImage(init.options.fingerprint)) postImage(init.id, piece);
    } else {
      for (let run = 0; run < init.options.warmingRuns; run += 1) {
        for (const script of warmScripts) booted.warm(script);
      }
    }
    kernel = booted;
    progress('ready', 1, 1, 'ready');
    host.post({
      kind: 'ready',
      id: init.id,
      version: protocolVersion,
      pyodide: init.options.fingerprint.pyodide,
      python: booted.python,
      heapBytes: booted.heapBytes,
      bootMs: now() - started,
    });
    tidyWhenIdle();
  };

  const loadAssets = async (init: InitMessage, progress: BootProgress): Promise<KernelAssets> => {
    const assets = await host.loadAssets(init, progress);
    // Before the boot: packages may have code that runs in it.
    host.lockDown();
    return assets;
  };

  let { collectGarbage } = host;
  let idle: ReturnType<typeof setTimeout> | undefined;
  const tidyWhenIdle = (): void => {
    if (collectGarbage === undefined) return;
    clearTimeout(idle);
    idle = setTimeout(() => {
      collectGarbage?.();
      collectGarbage = undefined;
    }, idleMs);
  };

  /** A frame is bounded, and an image may be larger. */
  const postImage = (id: string, bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length; at += chunkBytes)
      host.post({ kind: 'image', id, parts: [bytes.slice(at, at + chunkBytes)] });
  };

  const fail = (id: string | null, error: VivariumError): void => {
    host.post({ kind: 'error', id, error: toWire(error) });
  };

  /** A delta's blobs, as they come. */
  let arriving: Uint8Array[] = [];

  const serveState = (booted: Kernel, message: StateMessage): void => {
    const startedAt = now();
    const { id } = message;
    switch (message.kind) {
      case 'freeze': {
        const { text, blobs, cancelled } = booted.freeze(message.tasks);
        for (const blob of blobs) host.post({ kind: 'delta', id, parts: [blob] });
        const freezeMs = now() - startedAt;
        host.post({ kind: 'frozen', id, header: text, cancelled, freezeMs });
        return;
      }
      case 'thaw': {
        arriving.push(...(message.parts ?? []));
        if (message.header === null) return;
        const blobs = arriving;
        arriving = [];
        booted.thaw(message.header, blobs);
        const thawMs = now() - startedAt;
        host.post({ kind: 'thawed', id, heapBytes: booted.heapBytes, thawMs });
        return;
      }
      case 'rewind': {
        const dirty = booted.rewind();
        const rewindMs = now() - startedAt;
        host.post({ kind: 'rewound', id, rewindMs, heapBytes: booted.heapBytes, dirty });
        return;
      }
      case 'change_files': {
        const { changes, parts = [] } = message;
        booted.changeFiles(
          changes.map(({ path, part }) => ({ path, bytes: part === null ? null : (parts[part] ?? null) })),
        );
        host.post({ kind: 'changed', id });
        return;
      }
      default:
        message satisfies never;
    }
  };

  return (message) => {
    switch (message.kind) {
      case 'init':
        boot(message).catch((error: unknown) => fail(message.id, bootError(error)));
        return;
      case 'run':
        try {
          if (kernel === undefined) throw new Error('run before the kernel was ready');
          kernel.run(message);
          tidyWhenIdle();
        } catch (error) {
          // The interpreter is beyond repair, so the worker is: its host ends it.
          fail(null, crash(error));
        }
        return;
      case 'freeze':
      case 'thaw':
      case 'rewind':
      case 'change_files':
        try {
          if (kernel === undefined) throw new Error(`${message.kind} before the kernel was ready`);
          serveState(kernel, message);
        } catch (error) {
          fail(message.id, error instanceof VivariumError ? error : crash(error));
        }
        return;
      case 'ping':
      case 'answer':
      case 'interrupt':
      case 'shutdown':
        // The thread that owns this one answers these: this one may be computing.
        return;
      default:
        message satisfies never;
    }
  };
}

/** `details.name` tells the host a bad image (`ImageError`) from other failures. */
function bootError(error: unknown): VivariumError {
  if (error instanceof InstallError) return error;
  const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) };
  return new WorkerError('boot_failed', `the kernel did not boot: ${message}`, {
    cause: error,
    details: { name },
  });
}

function crash(error: unknown): WorkerError {
  return new WorkerError('crashed', crashReason(error), { cause: error });
}

function crashReason(error: unknown): string {
  if (error instanceof RangeError && /call stack/i.test(error.message))
    return 'Python overflowed the C stack: recursion too deep for it to catch';
  if (error instanceof WebAssembly.RuntimeError) return `Python crashed: ${error.message}`;
  const status: unknown = (error as { status?: unknown } | null)?.status;
  if (typeof status === 'number') return `the code ended Python's process with status ${status}`;
  return `Python crashed: ${error instanceof Error ? error.message : String(error)}`;
}
