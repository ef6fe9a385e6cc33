/** Boots a kernel, gives it runs one after another, and tells what it posted and what its memory was in between. */
import { createHash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { type DecodedImage, decodeImage, type ImageBytes } from '../../src/image/format.ts';
import { type Fingerprint, pageBytes } from '../../src/image/header.ts';
import { type InstalledPackages, noPackages } from '../../src/kernel/boot.ts';
import { disguiseRealm, makeReproducible } from '../../src/kernel/environment.ts';
import { Kernel } from '../../src/kernel/kernel.ts';
import { heapTop } from '../../src/kernel/memory.ts';
import type { PyodideGlue, PyodideModule } from '../../src/kernel/pyodide-internals.ts';
import type { AnswerMessage, RunMessage, WorkerMessage } from '../../src/protocol/messages.ts';
import { signalWords } from '../../src/protocol/signals.ts';
import type { Surroundings } from './inside.ts';

export const fingerprint: Fingerprint = { pyodide: '1', buildId: '2', kernelHash: '3', lockHash: '' };

export interface KernelScript {
  image?: ImageBytes;
  /** Freeze an image after the boot. */
  freeze?: boolean;
  maxHeapBytes?: number;
  packages?: InstalledPackages;
  runs: RunMessage[];
  /** What the host says, in this order, when a run asks. */
  answers?: AnswerMessage[];
  /** The same random numbers and times in every thread: what else could make two builds differ? */
  sameEntropy?: boolean;
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
  image: ImageBytes | undefined;
  booted: MemoryState;
  /** Bytes of the heap that aren't what the image's pages say, by address: how long. */
  unlike: [start: number, bytes: number][];
  runs: { messages: WorkerMessage[]; thrown: string | undefined; after: MemoryState }[];
}

function shared(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

const data = workerData as Surroundings & KernelScript;
let module: PyodideModule | undefined;

function state(): MemoryState {
  if (module === undefined) throw new Error('no module');
  const heap = module.HEAPU8;
  const top = heapTop(module);
  return {
    heap: createHash('sha256').update(heap.subarray(0, top)).digest('hex'),
    restIsZero: module.HEAPU32.subarray(top / 4).every((word) => word === 0),
    top,
    stack: module.stackSave(),
    table: module.wasmTable.length,
    libraries: Object.keys(module.LDSO.loadedLibsByHandle).length,
  };
}

/** Where the heap is not what the image says it is, pages that it leaves out being zero. */
function unlikeImage({ header, pages }: DecodedImage): KernelReport['unlike'] {
  if (module === undefined) throw new Error('no module');
  const heap = module.HEAPU8;
  // What the main module has from the start may be more.
  const said = new Uint8Array(heap.length);
  let offset = 0;
  for (const [first, count] of header.pages) {
    const bytes = count * pageBytes;
    said.set(pages.subarray(offset, offset + bytes), first * pageBytes);
    offset += bytes;
  }
  const found: KernelReport['unlike'] = [];
  if (heap.length < header.heapBytes) found.push([heap.length, header.heapBytes - heap.length]);
  for (let at = 0; at < said.length; at += 1) {
    if (heap[at] === said[at]) continue;
    const start = at;
    while (at < said.length && heap[at] !== said[at]) at += 1;
    found.push([start, at - start]);
  }
  return found;
}

const imported = (await import(data.glueUrl)) as PyodideGlue;
const glue: PyodideGlue = {
  default: async (settings) => {
    module = await imported.default(settings);
    return module;
  },
};
const port = parentPort;
if (data.sameEntropy === true) makeReproducible();
disguiseRealm();

let messages: WorkerMessage[] = [];
const restored = data.image === undefined ? null : decodeImage(data.image, fingerprint);
const answers = [...(data.answers ?? [])];
const kernel = await Kernel.boot(
  {
    glue,
    wasm: data.wasm,
    stdlib: data.stdlib,
    image: restored,
    packages: data.packages ?? noPackages,
  },
  {
    signals: new Int32Array(new SharedArrayBuffer(signalWords.length * 4)),
    maxHeapBytes: data.maxHeapBytes ?? 256 * 2 ** 20,
    env: {},
    reproducible: data.sameEntropy === true,
    post: (message) => messages.push(message),
    receive() {
      const answer = answers.shift();
      if (answer === undefined) throw new Error('nobody answers');
      return answer;
    },
    progress: () => {},
  },
);
const booted = state();
const unlike = restored === null ? [] : unlikeImage(restored);
const [first, contents] = data.freeze === true ? await kernel.toImage(fingerprint) : [];
const image =
  first === undefined || contents === undefined
    ? undefined
    : { first: shared(first), files: shared(contents) };
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
port?.postMessage({ image, booted, unlike, runs } satisfies KernelReport);
