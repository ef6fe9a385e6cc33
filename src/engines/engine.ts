import type { Delta } from '../image/delta.ts';
import type { ImageSource } from '../packages/image-source.ts';
import type {
  AnswerMessage,
  InitOptions,
  Question,
  ResultMessage,
  RewoundMessage,
  RunMessage,
  StopReason,
} from '../protocol/messages.ts';
import type { Progress, RichResult } from '../runtime.ts';

export type EngineKind = 'deno' | 'node' | 'browser' | 'fake';

/** A kind of place where kernels live. */
export interface Engine extends AsyncDisposable {
  readonly kind: EngineKind;
  /**
   * Starts one worker and resolves when its kernel is ready for a run. Building an image that is missing or damaged
   * is part of it, once for all workers. Rejects with `WorkerError` (`boot_failed`, `boot_timeout`) and leaves
   * nothing behind. Aborting the signal ends the boot.
   */
  start(options: StartOptions): Promise<Worker>;
}

/** Building an image may take this long: importing much for the first time does. */
export const buildTimeoutMs = 900_000;

/** Of a worker. Beside Python's heap and a copy of it: the engine, compiled code, the image's files. */
export function defaultResidentBytes(maxHeapBytes: number): number {
  return 2 * maxHeapBytes + 512 * 2 ** 20;
}

/** Of the engines that boot real kernels. */
export interface EngineOptions {
  /** False boots every worker plainly: seconds instead of milliseconds, the same results. */
  image: boolean;
  /** Default: the user's cache folder. */
  cacheDir?: string;
  /** See `RuntimeOptions.sandbox`. Default `process`. */
  sandbox?: 'process' | 'os';
}

export interface StartOptions {
  /** Default `stdlibImage`. */
  image?: ImageSource;
  /** Unique in the process; shown in logs. */
  id: string;
  /** `warmingRuns`: 0 when a run is waiting for this worker. */
  init: Pick<InitOptions, 'maxHeapBytes' | 'warmingRuns' | 'env'>;
  /** See `RuntimeOptions.maxResidentBytes`. Default: by `maxHeapBytes`. */
  maxResidentBytes?: number;
  bootTimeoutMs: number;
  onProgress?: (progress: Progress) => void;
  onWarning?: (message: string) => void;
  signal?: AbortSignal;
}

/** One place with one kernel: the host's handle on it. One run at a time. */
export interface Worker {
  readonly id: string;
  readonly pid: number | undefined;
  readonly pyodide: string;
  readonly bootMs: number;
  /** Resolves, never rejects, when the place is gone. */
  readonly exited: Promise<WorkerExit>;
  /**
   * Resolves with Python's end. Rejects with `WorkerError` when the place dies first. The kernel takes the next run
   * only after `onRewound`.
   */
  run(message: Omit<RunMessage, 'kind'>, events: RunSink): Promise<ResultMessage>;
  interrupt(runId: string, reason: StopReason): void;
  /**
   * What the state that runs with `after: 'hold'` left differs by from the image; the state stays. Not while one runs. Rejects with
   * `SessionError` `not_freezable` when it holds what can't be stored (`details.objects`), or `tasks` says so.
   */
  freeze(options: FreezeOptions): Promise<Frozen>;
  /** Puts a frozen state into a kernel that is clean. Rejects with `SessionError` `session_image` or `session_bytes`; the worker must be ended then. */
  thaw(delta: Delta): Promise<void>;
  /** Back to the image; tells, as after a run, whether that was possible. */
  rewind(): Promise<Omit<RewoundMessage, 'kind' | 'id'>>;
  /** Writes files into a kernel that holds a session's state, or removes them. Paths as of Python, absolute. */
  changeFiles(changes: readonly FileWrite[]): Promise<void>;
  /** Rejects with `WorkerError` when no answer comes in `timeoutMs`. Answered while Python computes. */
  ping(timeoutMs: number): Promise<{ heapBytes: number; residentBytes: number | null }>;
  /** Of the whole place, as the system counts it; null where that isn't known. Cheap, and doesn't need the place to answer on Linux. */
  usage(): Promise<Usage | null>;
  /** Ends the place at once; `exited` tells when it has. */
  kill(): void;
  /** Ends it in order when it's idle, by force after `graceMs`. */
  shutdown(graceMs: number): Promise<void>;
}

export interface FreezeOptions {
  tasks: 'keep' | 'cancel' | 'refuse';
}

export interface Frozen {
  delta: Delta;
  /** Names of the tasks that were cancelled. */
  cancelled: string[];
  freezeMs: number;
}

/** `bytes` null: the file or folder is removed. */
export interface FileWrite {
  path: string;
  bytes: Uint8Array | null;
}

export interface Usage {
  residentBytes: number;
  /** Of all threads, since its start. */
  cpuMs: number;
}

export interface WorkerExit {
  /** True after `kill` or `shutdown`. */
  expected: boolean;
  /** What is known of it, in plain words. */
  reason: string;
  /** The system ended it for the memory it held. */
  outOfMemory?: true;
}

export interface RunSink {
  onOutput(stream: 'stdout' | 'stderr', data: Uint8Array): void;
  onDisplay(result: Omit<RichResult, 'isMainResult'>): void;
  onRewound(message: RewoundMessage): void;
  /** Answers a question of the run, which waits; what it rejects with goes to Python. Without it every question is refused. */
  onAsk?(question: Question): Promise<Answer>;
}

export type Answer = Pick<AnswerMessage, 'body' | 'parts'>;
