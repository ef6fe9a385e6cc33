/** Boots a kernel, gives it runs one after another, and tells what it posted and what its memory was in between. */
import { createHash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { decodeImage, type Fingerprint } from '../../src/image/format.ts';
import type { PackageFiles } from '../../src/kernel/boot.ts';
import { disguiseRealm } from '../../src/kernel/environment.ts';
import { Kernel } from '../../src/kernel/kernel.ts';
import { heapTop } from '../../src/kernel/memory.ts';
import type { PyodideGlue, PyodideModule } from '../../src/kernel/pyodide-internals.ts';
import type { RunMessage, WorkerMessage } from '../../src/protocol/messages.ts';
import { signalWords } from '../../src/protocol/signals.ts';
import type { Surroundings } from './inside.ts';

export const fingerprint: Fingerprint = { pyodide: '1', buildId: '2', kernelHash: '3', lockHash: '' };

export interface KernelScript {
  image?: Uint8Array;
  /** Freeze an image after the boot. */
  freeze?: boolean;
  maxHeapBytes?: number;
  packages?: PackageFiles;
  runs: RunMessage[];
}

export interface MemoryState {
  /** SHA-256 of the heap up to the allocator's end. */
  heap: string;
  restIsZero: boolean;
  top: number;
  stack: number;
  table: number;
  libraries: number;
}

export interface KernelReport {
  image: Uint8Array | undefined;
  booted: MemoryState;
  runs: { messages: WorkerMessage[]; thrown: string | undefined; after: MemoryState }[];
}

const data = workerData as Surroundings & KernelScript;
let module: PyodideModule | undefined;

function state(): MemoryState {
  if (module === undefined) throw new Error('no module');
  const heap = module.HEAPU8;
  const top = heapTop(module);
  return {
    heap: createHash('sha256').update(heap.subarray(0, top)).digest('hex'),
    restIsZero: heap.subarray(top).every((byte) => byte === 0),
    top,
    stack: module.stackSave(),
    table: module.wasmTable.length,
    libraries: Object.keys(module.LDSO.loadedLibsByHandle).length,
  };
}

const imported = (await import(data.glueUrl)) as PyodideGlue;
const glue: PyodideGlue = {
  default: async (settings) => {
    module = await imported.default(settings);
    return module;
  },
};
const port = parentPort;
disguiseRealm();

let messages: WorkerMessage[] = [];
const kernel = await Kernel.boot(
  {
    glue,
    wasm: data.wasm,
    stdlib: data.stdlib,
    image: data.image === undefined ? null : decodeImage(data.image, fingerprint),
    packages: data.packages ?? { files: new Map(), imports: [] },
  },
  {
    signals: new Int32Array(new SharedArrayBuffer(signalWords.length * 4)),
    maxHeapBytes: data.maxHeapBytes ?? 256 * 2 ** 20,
    env: {},
    post: (message) => messages.push(message),
    progress: () => {},
  },
);
const booted = state();
const image = data.freeze === true ? await kernel.freeze(fingerprint) : undefined;
const runs: KernelReport['runs'] = [];
for (const run of data.runs) {
  messages = [];
  let thrown: string | undefined;
  try {
    kernel.run(run);
  } catch (error) {
    thrown = String(error);
  }
  runs.push({ messages, thrown, after: state() });
  if (thrown !== undefined) break;
}
port?.postMessage({ image, booted, runs } satisfies KernelReport);
