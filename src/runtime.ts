/**
 * What every caller programs against. Types only: a local pool, a browser and a remote server all implement `Runtime`.
 */

import type { Session, SessionInfo, SessionOptions } from './session.ts';

/** One user frame of a Python traceback, outermost first. Lines and columns count from 1. */
export interface PythonFrame {
  file: string;
  line: number;
  column?: number;
  endLine?: number;
  endColumn?: number;
  function: string;
  /** The source line, without its line break, when it is known. */
  source?: string;
}

/** What Python raised, as data. */
export interface PythonErrorInfo {
  /** Class name, e.g. `ZeroDivisionError`. */
  name: string;
  /** `str(exception)`. */
  value: string;
  /** `name: value`, as the last line of a traceback shows it. */
  message: string;
  /** The traceback as Python prints it, user frames only, one string a line. */
  traceback: string[];
  /** The same as data. */
  frames: PythonFrame[];
  /** The line of the innermost frame, or of a syntax error. */
  line?: number;
  column?: number;
  /** What would help, when that is known: of a module that is missing, the package that has it. */
  hint?: string;
}

/** Stands for a Python object that has no JavaScript counterpart. */
export interface PythonRepr {
  /** Name of the Python type. */
  readonly type: string;
  readonly repr: string;
  /** `type`: no counterpart; `cycle`: contains itself; `depth`, `size`: beyond the limits of a value. */
  readonly why: 'type' | 'cycle' | 'depth' | 'size';
}

export type TypedArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

/**
 * An array of numpy, in C order: one of any number of dimensions but 0, or of one dimension whose type no typed array
 * implies. `dtype` is numpy's name. `bool` lies in a `Uint8Array` of 0 and 1, `float16` in a `Float32Array`; `complex64` and
 * `complex128` have real and imaginary parts in turn; `datetime64[unit]` and `timedelta64[unit]` count units in a
 * `BigInt64Array`, with the least number for NaT. As a global, `dtype` may be left out of arrays of two or more dimensions.
 */
export interface NdArray {
  readonly data: TypedArray;
  readonly shape: readonly number[];
  readonly dtype: string;
}

/** Numbers and times as they lie in memory, anything else item by item, with `null` for what is missing. */
export type Column = TypedArray | NdArray | Value[];

/** A table of pandas, by columns. */
export interface DataFrame {
  /** Labels as text. */
  readonly columns: readonly string[];
  /** pandas' name of each column's type, e.g. `int64`, `str`, `category`, `datetime64[us, UTC]`. */
  readonly dtypes: readonly string[];
  readonly data: readonly Column[];
  /** `null`: 0, 1, 2, … One of several levels has an array for each row. */
  readonly index: Column | null;
  /** One name a level. */
  readonly indexNames: readonly (string | null)[];
  /** Count of rows. */
  readonly length: number;
  /**
   * One object a row. Dates and times are `Date`s (pandas' naive ones are taken as UTC), durations milliseconds. Of columns
   * with the same label the last one counts. With `index`, its levels come first, by their name, else `index` or `level_0` ….
   */
  records(options?: { index?: boolean }): Record<string, Value>[];
}

/** A column of pandas. */
export interface Series {
  readonly name: string | null;
  readonly dtype: string;
  readonly data: Column;
  readonly index: Column | null;
  readonly indexNames: readonly (string | null)[];
  /** Its items, as `DataFrame.records` gives them. */
  values(): Value[];
}

/** What goes into Python as a global, and what comes out as a value. */
export type Value =
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | Date
  | TypedArray
  | PythonRepr
  | NdArray
  | DataFrame
  | Series
  | Value[]
  | Map<Value, Value>
  | Set<Value>
  | { [key: string]: Value };

/** How a run ended. Python's own exceptions are `error`; the rest are limits and losses. */
export type ExecutionStatus = 'ok' | 'error' | 'timeout' | 'interrupted' | 'oom' | 'crashed';

/** A MIME bundle: text types as strings, binary types (`image/png`, …) as base64. `application/json` is JSON text. */
export interface RichResult {
  data: Record<string, string>;
  metadata: Record<string, unknown>;
  /** True for the value of the last expression, false for `display()`. */
  isMainResult: boolean;
}

/** A new or changed file under the run's working folder. */
export interface OutputFile {
  /** Unique in the execution. */
  id: string;
  /** Relative to the working folder, with `/`. */
  path: string;
  mimeType: string;
  size: number;
  bytes: Uint8Array;
}

export interface ExecutionTimings {
  /** From the call until a worker took it. */
  queuedMs: number;
  /** Booting a worker, when the run had to wait for it. Never charged to the time limit. */
  restoreMs: number;
  /** In Python, from the first byte code to the reply, without `installMs`. */
  runMs: number;
  /** Installing packages that the run asked for. Never charged to the time limit. */
  installMs: number;
  /** Processor time used while the run lasted. */
  cpuMs: number;
  /** Freezing a session and storing it; 0 without one. */
  persistMs: number;
  totalMs: number;
}

export interface ExecutionMemory {
  /** Size of the WebAssembly heap after the run. */
  heapBytes: number;
  /** Highest address that Python's allocator had reached. */
  peakBytes: number;
  /** Growth by this run. */
  deltaBytes: number;
}

/** One finished run. A plain, JSON-safe record but for `value` and `files[].bytes`, with getters on top. */
export interface Execution {
  readonly id: string;
  readonly status: ExecutionStatus;
  /** `repr()` of the last expression, when it has a value that is not `None`. */
  readonly text?: string;
  /** The last expression, converted deeply: see `Value`. */
  readonly value?: Value;
  readonly results: readonly RichResult[];
  readonly logs: { readonly stdout: readonly string[]; readonly stderr: readonly string[] };
  /** What Python raised; for a limit or a crash, what happened, in the same shape. */
  readonly error?: PythonErrorInfo;
  /** Of `sys.exit(code)`. */
  readonly exitCode?: number;
  readonly files: readonly OutputFile[];
  readonly executionCount: number;
  readonly timings: ExecutionTimings;
  readonly memory: ExecutionMemory;
  /** What was cut at its limit. */
  readonly truncated: { stdout: boolean; stderr: boolean; value: boolean; results: boolean; files: boolean };
  /** `backend` is the engine's kind, `image` the image's name. `lost`: the worker was killed or died by this run. */
  readonly worker: {
    id: string;
    pid?: number;
    backend: string;
    pyodide: string;
    image: string;
    lost: boolean;
  };
  /** Of a run of a session: the revision that it's at now. */
  readonly session?: { readonly id: string; readonly revision: number };
  /** Of a run with `sessionBytes`: what the next one is given. Absent when the worker was lost: what was given is still good. */
  readonly sessionBytes?: Uint8Array;
  /** All of stdout as one string. */
  readonly stdout: string;
  readonly stderr: string;
  /** The first result of that type, as base64. */
  readonly png: string | undefined;
  readonly svg: string | undefined;
  readonly html: string | undefined;
  /** The value, or throws `PythonError` or `LimitError` or `WorkerError` when `status` is not `ok`. */
  unwrap(): Value | undefined;
}

/** What a run tells while it goes on, in order. */
export type RunEvent =
  | { type: 'status'; status: 'queued' | 'booting' | 'running' }
  | { type: 'progress'; stage: string; done: number; total: number; message: string }
  | { type: 'stdout'; data: Uint8Array; text: string }
  | { type: 'stderr'; data: Uint8Array; text: string }
  | { type: 'display'; result: RichResult }
  | { type: 'done'; execution: Execution };

/** `rewind`: the worker is put back to its image. `process`: a fresh worker for each run. `none`: state stays. */
export type Isolation = 'rewind' | 'process' | 'none';

/** Limits of one run. The runtime's `maxLimits` bound what a run may ask for. */
export interface RunLimits {
  /**
   * Wall time of the run in Python; booting and queueing are not charged. Default 60 000. `Infinity`, no limit, is
   * allowed unless the runtime's `maxLimits.timeoutMs` says otherwise.
   */
  timeoutMs: number;
  /** Processor time of the run. Default: no limit but `timeoutMs`. */
  cpuMs: number;
  /** Python's heap, of which Python itself takes 30 MiB. Past it Python raises `MemoryError`. Default 512 MiB. */
  memoryBytes: number;
  /** stdout, stderr and displays together. Default 10 MiB; the rest is dropped and marked. */
  outputBytes: number;
  /** All files that come back. Default 50 MiB. */
  fileBytes: number;
  /** Files that come back. Default 1000. */
  fileCount: number;
  /** The encoded value. Default 10 MiB; beyond it the value is its `repr`. */
  valueBytes: number;
}

/** Some limits; one that is undefined counts as not given. */
export type SomeLimits = { [Name in keyof RunLimits]?: RunLimits[Name] | undefined };

/** What is undefined counts as not given. */
export interface RunOptions extends SomeLimits {
  /** Shown in tracebacks. Default `<run>`. */
  filename?: string | undefined;
  /** Names for the code, each a `Value`: JSON values, bigints, dates, maps, sets, typed arrays. Else a `TypeError`. */
  globals?: Readonly<Record<string, unknown>> | undefined;
  /** Written under the working folder before the run: path → bytes or text or a stream of bytes. */
  files?: Readonly<Record<string, Uint8Array | string | AsyncIterable<Uint8Array>>> | undefined;
  /** `sys.argv[1:]`. */
  argv?: readonly string[] | undefined;
  /** Added to the runtime's environment for Python. The host's environment is never passed on. */
  env?: Readonly<Record<string, string>> | undefined;
  /** What `input()` and `sys.stdin` read; then `EOFError`. Default: empty. */
  stdin?: string | readonly string[] | undefined;
  /** Default: the runtime's. */
  isolation?: Isolation | undefined;
  /** Whose code this is. A worker runs code of one tenant only, for as long as it lives. Default: the runtime's own, which is a tenant too. */
  tenant?: string | undefined;
  /**
   * The interpreter of this run: `stdlib`, `numpy`, `data`, `science`, a name given by `vivarium image build --name`, or
   * the path of an image file. Default: the runtime's. An image that is missing is built first, which no limit of the
   * run is charged for. Paths are opened on the host: take none from whom you don't trust.
   */
  image?: string | undefined;
  /** Requirements (PEP 508) that are frozen into the run's interpreter. Rejects with `InstallError`. */
  packages?: readonly string[] | undefined;
  /**
   * Runs where another run left off that gave these as its `execution.sessionBytes`; empty to begin. Nothing of it is kept
   * here. `isolation` has no effect. Rejects with `session_bytes`, `session_image`, `not_freezable`.
   */
  sessionBytes?: Uint8Array | undefined;
  /** How figures of matplotlib that are open at the end come back. Default `png`. */
  figures?: 'png' | 'svg' | undefined;
  /** Seeds `random` (and `numpy.random` when it is imported) instead of fresh entropy. */
  seed?: number | undefined;
  /** Interrupts the run: the execution's status is `interrupted`. */
  signal?: AbortSignal | undefined;
  /** An exception of a callback interrupts the run, which then rejects with it. */
  onStdout?: ((text: string, data: Uint8Array) => void) | undefined;
  onStderr?: ((text: string, data: Uint8Array) => void) | undefined;
  onDisplay?: ((result: RichResult) => void) | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

export interface Progress {
  /** `assets`, `image`, `stdlib`, `packages`, `ready`. */
  stage: string;
  done: number;
  /** 0 when it isn't known. */
  total: number;
  message: string;
}

/**
 * A run under way: await it for the `Execution`, iterate it for its events, or both. Events are live: an iteration
 * starts with the run's present status, so begin it before awaiting anything else to see all; `done` comes in any case.
 */
export interface Run extends Promise<Execution>, AsyncIterable<RunEvent> {
  readonly id: string;
  /** Interrupts it, as the `signal` does. */
  interrupt(): void;
}

export type RuntimeStatus = 'idle' | 'booting' | 'ready' | 'degraded' | 'closing' | 'closed';

export type RestartReason =
  | 'crashed'
  | 'timeout'
  | 'interrupted'
  | 'unhealthy'
  | 'dirty'
  | 'memory'
  | 'restart'
  | 'boot_failed';
/** `image`, `tenant`: it gave way to a worker of another image, or for another tenant. */
export type RecycleReason = 'requests' | 'heap' | 'idle' | 'isolation' | 'image' | 'tenant';

/**
 * What the pool tells, as it happens. `ms` of a restart or a recycling: how long the worker had lived; `error` of a
 * restart: what was wrong with it.
 */
export type RuntimeEvent =
  | { type: 'status'; status: RuntimeStatus; previous: RuntimeStatus }
  | { type: 'worker:start'; worker: string; pid?: number; bootMs: number }
  | { type: 'worker:restart'; worker: string; pid?: number; reason: RestartReason; ms: number; error?: Error }
  | { type: 'worker:recycle'; worker: string; pid?: number; reason: RecycleReason; ms: number }
  | { type: 'worker:exit'; worker: string; pid?: number; expected: boolean }
  | { type: 'worker:boot_failed'; error: Error; attempt: number; retryInMs: number }
  | { type: 'health'; worker: string; healthy: boolean; ms: number }
  | { type: 'circuit'; open: boolean; error?: Error }
  | { type: 'progress'; progress: Progress }
  | { type: 'warning'; message: string }
  | { type: 'drain' }
  | SessionEvent;

/** Why a session gave its worker back: asked by a caller, unused for some time, others wanted the worker, or the runtime is closed. */
export type FreezeReason = 'call' | 'idle' | 'wanted' | 'close';

/** `bytes`: of the delta, as it was read or written: compressed, and without what was stored before. */
export type SessionEvent =
  | { type: 'session:thaw'; session: string; tenant: string; worker: string; ms: number; bytes: number }
  | { type: 'session:save'; session: string; tenant: string; revision: number; ms: number; bytes: number }
  | {
      type: 'session:freeze';
      session: string;
      tenant: string;
      worker: string;
      reason: FreezeReason;
      ms: number;
    }
  | { type: 'session:cull'; session: string; tenant: string }
  /** What came after that revision is lost. */
  | { type: 'session:lost'; session: string; tenant: string; revision: number; error: Error };

export interface WorkerStats {
  id: string;
  pid?: number;
  state: string;
  /** The name of its image. */
  image: string;
  /** Whose runs it takes: '' for those without `tenant`; absent as long as it has taken none. */
  tenant?: string;
  runs: number;
  heapBytes: number;
  uptimeMs: number;
}

export interface RuntimeStats {
  status: RuntimeStatus;
  workers: WorkerStats[];
  queued: number;
  running: number;
  /** Sessions that have a worker. */
  residents: number;
  /** Runs that a worker took. */
  started: number;
  /** Runs that ended with an execution, whatever its status. */
  completed: number;
  /** … with the status `error` or `oom`. */
  failed: number;
  timeouts: number;
  interrupted: number;
  crashes: number;
  /** Runs that rejected: wrong options, a full queue, no worker. */
  rejected: number;
  boots: number;
  bootFailures: number;
  restarts: number;
  recycled: number;
  rewinds: number;
  healthChecks: number;
  /** Sessions that were given a worker, and that gave one back. */
  thaws: number;
  freezes: number;
}

export interface WorkerHealth {
  worker: string;
  pid?: number;
  healthy: boolean;
  ms: number;
}

/** What every caller programs against: a local pool today, a remote server behind the same interface later. */
export interface Runtime extends AsyncDisposable {
  readonly status: RuntimeStatus;
  readonly lastError: Error | undefined;
  /** Runs `code` on a clean interpreter. Python's exceptions are in the `Execution`; failures of the system reject. */
  run(code: string, options?: RunOptions): Run;
  /**
   * Opens a session, or begins it. Several that open the same one here have it together. Rejects with `SessionError`:
   * `session_busy` when another host has it, `session_not_found`, `session_exists`, `session_limit`, `session_image`, `session_bytes`.
   */
  session(id: string, options?: SessionOptions): Promise<Session>;
  /** All that are in the store, of a tenant if it's given, by tenant and id. */
  sessions(options?: { tenant?: string | undefined }): Promise<SessionInfo[]>;
  /**
   * Ends a session for good, without opening it: its image may be gone. Rejects with `session_not_found`, and with `session_busy`
   * when another host has it.
   */
  removeSession(id: string, options?: { tenant?: string | undefined }): Promise<void>;
  stats(): RuntimeStats;
  /** Starts the pool ahead of the first run; resolves when its first worker is ready. */
  warm(): Promise<void>;
  /** Replaces every worker; runs under way finish first, queued ones wait. */
  restart(): Promise<void>;
  /** Resolves when nothing is queued or running. */
  drain(): Promise<void>;
  /** Pings every worker and replaces those that don't answer, or hold more memory than they may. */
  healthCheckAll(): Promise<WorkerHealth[]>;
  /**
   * Listens to `RuntimeEvent`s until `closed` has been told; returns the function that stops listening before. What a
   * listener throws goes to the runtime's logger and stops nothing.
   */
  subscribe(listener: (event: RuntimeEvent) => void): () => void;
  /**
   * Ends every worker. Runs under way get `graceMs` (default 5000). Queued ones reject with `closed`; nobody has to
   * await them: such a rejection is never an unhandled one. A later call with a shorter grace period hastens the first.
   * Sessions are frozen; those that aren't within the grace period are at the revision that was stored last.
   * A store that doesn't answer is waited for two seconds more; a run that it was to take then rejects with `closed`, stored or not.
   */
  close(options?: { graceMs?: number | undefined }): Promise<void>;
}

/** One thing that a runtime needs on its machine, and whether it is there. */
export interface Diagnosis {
  name: string;
  ok: boolean;
  detail: string;
  /** The command that mends it. */
  fix?: string;
}
