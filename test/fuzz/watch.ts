/** Runs the loop of one target in a thread, and ends it when an input takes all time or all memory. */
import { Worker } from 'node:worker_threads';

export interface LoopData {
  /** URL of the target. */
  module: string;
  corpusDir: string;
  /** 0: only what is kept. */
  seconds: number;
  seed: number;
  /** For one input: the machine may be busy, so it is long. */
  timeoutMs: number;
  /** How many inputs were begun, the present one's length, its bytes. */
  shared: SharedArrayBuffer;
}

export type FromLoop =
  | { kind: 'failure'; input: Uint8Array; why: string }
  | { kind: 'done'; execs: number; cpuSeconds: number; percent: number; corpus: number };

export interface Failure {
  input: Uint8Array;
  why: string;
}

export interface Outcome {
  failures: Failure[];
  /** Absent when the thread was ended. */
  done?: Extract<FromLoop, { kind: 'done' }>;
}

const lookMs = 100;
const maxResidentBytes = 3 * 1024 ** 3;
const maxHeapMiB = 768;
const maxInputBytes = 1024 * 1024;

export function watch(data: Omit<LoopData, 'shared'>): Promise<Outcome> {
  const shared = new SharedArrayBuffer(8 + maxInputBytes);
  const words = new Int32Array(shared, 0, 2);
  const outcome: Outcome = { failures: [] };
  const worker = new Worker(new URL('loop.ts', import.meta.url), {
    workerData: { ...data, shared } satisfies LoopData,
    // The stack is that of a program's main thread.
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMiB, stackSizeMb: 1 },
  });
  const fail = (why: string): void => {
    outcome.failures.push({ input: new Uint8Array(shared, 8, words[1]).slice(), why });
  };
  let begun = 0;
  let since = performance.now();
  const timer = setInterval(() => {
    const count = Atomics.load(words, 0);
    if (count !== begun) {
      begun = count;
      since = performance.now();
    }
    const resident = process.memoryUsage.rss();
    if (begun > 0 && performance.now() - since > data.timeoutMs) fail(`no end after ${data.timeoutMs} ms`);
    else if (resident > maxResidentBytes) fail(`${Math.round(resident / 1024 ** 2)} MiB resident`);
    else return;
    clearInterval(timer);
    void worker.terminate();
  }, lookMs);
  return new Promise((resolve, reject) => {
    worker.on('message', (message: FromLoop) => {
      if (message.kind === 'failure') outcome.failures.push(message);
      else outcome.done = message;
    });
    worker.on('error', (error: NodeJS.ErrnoException) => {
      clearInterval(timer);
      if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') fail(`more than ${maxHeapMiB} MiB of heap`);
      else reject(error);
    });
    worker.on('exit', () => {
      clearInterval(timer);
      resolve(outcome);
    });
  });
}
