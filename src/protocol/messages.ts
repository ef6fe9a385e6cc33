/**
 * Everything that crosses the border between a host and a worker, by direction. Types only.
 *
 * `id` names the call a message belongs to. `parts` are binary parts: raw after the JSON envelope on a byte stream,
 * transferred with `postMessage`. Every reply is `unknown` until `parse.ts` has looked at it: the worker runs hostile code.
 */

/** Raised by one whenever a message changes its meaning; the first frame of each side names it. */
export const protocolVersion = 3;

// ---- host → worker -------------------------------------------------------------------------------------------------

/** The first message. Answered by `progress`… and `ready`, or `error`. */
export interface InitMessage {
  kind: 'init';
  id: string;
  version: number;
  /** Absolute paths or URLs of what the worker boots from, and how; engines define more in `InitOptions`. */
  options: InitOptions;
  parts?: Uint8Array[];
}

export interface InitOptions {
  /** `build`: boot plainly and freeze an image; `restore`: boot from the image; `plain`: boot plainly, no image. */
  mode: 'build' | 'restore' | 'plain';
  /** Ceiling of the WebAssembly memory for the worker's whole life. */
  maxHeapBytes: number;
  /** How often a script is run and forgotten before `ready`: cold WebAssembly code makes the first runs slow. */
  warmingRuns: number;
  /** Environment of Python for every run. */
  env: Record<string, string>;
  /** Where the worker finds what it boots from, as URLs; null where the engine hands the bytes over by itself. */
  assets: { glueUrl: string; wasmUrl: string; stdlibUrl: string; imageUrl: string | null } | null;
  /** What is installed before the image is taken; an image that is restored has it all. */
  packages: BuildPackages;
  /** What the image must fit, or will be stamped with. */
  fingerprint: { pyodide: string; buildId: string; kernelHash: string; lockHash: string };
}

/** Packages of an image: installed, imported and warmed, in that order. All empty for the standard library alone. */
export interface BuildPackages {
  /** Verified wheels, as `file:` URLs that the engine reads or lets the worker read. */
  wheels: { fileName: string; url: string }[];
  /** Modules that are imported. */
  imports: string[];
  /** Scripts that are run, and forgotten but for what the interpreter learned and the files they left. */
  warm: { filename: string; code: string }[];
}

/** Runs code. Answered by output events and one `result` (or `error`), then one `rewound` when the kernel is clean. */
export interface RunMessage {
  kind: 'run';
  id: string;
  /**
   * `program`; `prompt`: as entered at one, so that its expressions are printed; or, between the runs of a session, what is being typed at a prompt:
   * `check` asks whether it's whole, `complete` what it may go on with. To these two the value is the answer, and they count as no run.
   */
  purpose: 'program' | 'prompt' | 'check' | 'complete';
  code: string;
  filename: string;
  argv: string[];
  env: Record<string, string>;
  /** Text for stdin; then end of file. */
  stdin: string;
  /** WireValue object (`["d", …]`) as JSON text; buffers are `parts` by index. */
  globals: string;
  /** Written under the working folder; `part` is an index into `parts`. */
  files: { path: string; part: number }[];
  /**
   * `rewind`: the kernel is put back to its image afterwards. `none`: its state stays, but for the names of the run. `hold`: all of it stays, as a
   * session's. `discard`: it will be ended.
   */
  after: 'rewind' | 'none' | 'hold' | 'discard';
  seed: number | null;
  /** How open figures of matplotlib come back. */
  figures: 'png' | 'svg';
  limits: {
    /** 0 stands for no limit of the kernel's own. */
    timeoutMs: number;
    cpuMs: number;
    memoryBytes: number;
    outputBytes: number;
    fileBytes: number;
    fileCount: number;
    valueBytes: number;
  };
  parts?: Uint8Array[];
}

/** Stops a run: `KeyboardInterrupt` in Python. */
export interface InterruptMessage {
  kind: 'interrupt';
  /** The run's id. */
  id: string;
  reason: StopReason;
}

/** Answers an `ask`: with an error, or a body and parts as the question says. */
export interface AnswerMessage {
  kind: 'answer';
  /** The run's id. */
  id: string;
  error: WireError | null;
  /** JSON text: of `install` the packages as `{name, version}[]`, of `fetch` the status, URL and headers. */
  body: string;
  /** Of `install`: wheels to be unpacked. Of `fetch`: one part, the response's bytes. */
  parts?: Uint8Array[];
}

/** Between runs of a session. Answered by `delta`… and `frozen`, or `error`. */
export interface FreezeMessage {
  kind: 'freeze';
  id: string;
  /** What becomes of asyncio tasks that are pending. */
  tasks: 'keep' | 'cancel' | 'refuse';
}

/** To a kernel that is clean: a delta's blobs in order, a part each, then in the last message the header. Answered, then, by `thawed` or `error`. */
export interface ThawMessage {
  kind: 'thaw';
  id: string;
  /** JSON text of a `DeltaHeader`, or null: more is to come. */
  header: string | null;
  parts?: Uint8Array[];
}

/** Between runs. Answered by one `rewound`. */
export interface RewindMessage {
  kind: 'rewind';
  id: string;
}

/** Between runs of a session: writes files, or removes what is there. Answered by `changed` or `error`. */
export interface ChangeFilesMessage {
  kind: 'change_files';
  id: string;
  /** Absolute paths; `part` is an index into `parts`, null removes. */
  changes: { path: string; part: number | null }[];
  parts?: Uint8Array[];
}

export interface PingMessage {
  kind: 'ping';
  id: string;
}

/** Ends the worker at once, and with it a run under way. */
export interface ShutdownMessage {
  kind: 'shutdown';
}

export type HostMessage =
  | InitMessage
  | RunMessage
  | AnswerMessage
  | FreezeMessage
  | ThawMessage
  | RewindMessage
  | ChangeFilesMessage
  | InterruptMessage
  | PingMessage
  | ShutdownMessage;

// ---- worker → host -------------------------------------------------------------------------------------------------

export type StopReason = 'timeout' | 'cpu' | 'interrupted';

export interface ReadyMessage {
  kind: 'ready';
  id: string;
  version: number;
  pyodide: string;
  python: string;
  heapBytes: number;
  /** From the worker's first instruction to now. */
  bootMs: number;
}

/** With `mode: 'build'`, before `ready`: the image file's bytes, in order, piece by piece. */
export interface ImageMessage {
  kind: 'image';
  id: string;
  parts: Uint8Array[];
}

export interface ProgressMessage {
  kind: 'progress';
  id: string;
  stage: string;
  done: number;
  total: number;
  message: string;
}

/** Output as it is produced; the bytes are `parts[0]`. */
export interface OutputMessage {
  kind: 'stdout' | 'stderr';
  id: string;
  parts: Uint8Array[];
}

/** A rich display: MIME type → text, or base64 for binary types. */
export interface DisplayMessage {
  kind: 'display';
  id: string;
  data: Record<string, string>;
  metadata: Record<string, unknown>;
}

/** How Python ended. */
export interface ResultMessage {
  kind: 'result';
  id: string;
  status: 'ok' | 'error';
  /** Set when a limit stopped it, whatever Python made of that. */
  stopped: StopReason | null;
  text: string | null;
  /** Index of the part with the `WireValue` as JSON, or null for no value; its own buffers are later parts. */
  value: number | null;
  /** MIME bundle of the last expression, or null. */
  display: { data: Record<string, string>; metadata: Record<string, unknown> } | null;
  error: WirePythonError | null;
  /** Of `sys.exit`. */
  exitCode: number | null;
  /** `part` is an index into `parts`. */
  files: { path: string; size: number; part: number }[];
  executionCount: number;
  runMs: number;
  cpuMs: number;
  heapBytes: number;
  peakBytes: number;
  deltaBytes: number;
  truncated: { stdout: boolean; stderr: boolean; value: boolean; results: boolean; files: boolean };
  parts?: Uint8Array[];
}

export interface WirePythonError {
  name: string;
  value: string;
  traceback: string[];
  frames: {
    file: string;
    line: number;
    column: number | null;
    endLine: number | null;
    endColumn: number | null;
    function: string;
    source: string | null;
  }[];
  line: number | null;
  column: number | null;
}

/** One or more blobs of a delta, in order, before `frozen`. */
export interface DeltaMessage {
  kind: 'delta';
  id: string;
  parts: Uint8Array[];
}

export interface FrozenMessage {
  kind: 'frozen';
  id: string;
  /** JSON text of a `DeltaHeader`. */
  header: string;
  /** Names of the tasks that were cancelled. */
  cancelled: string[];
  freezeMs: number;
}

export interface ThawedMessage {
  kind: 'thawed';
  id: string;
  heapBytes: number;
  thawMs: number;
}

export interface ChangedMessage {
  kind: 'changed';
  id: string;
}

/** After `result`, or in answer to `rewind`: the kernel is clean again, or says why it can't be (`dirty`) and must be replaced. */
export interface RewoundMessage {
  kind: 'rewound';
  id: string;
  rewindMs: number;
  heapBytes: number;
  dirty: string | null;
}

/** A run waits, without its clock, for the host to do something. One at a time; answered by one `answer`. */
export interface AskMessage {
  kind: 'ask';
  /** The run's id. */
  id: string;
  question: Question;
}

export type Question =
  /** `micropip.install`: requirements as PEP 508 has them. */
  | { kind: 'install'; requirements: string[] }
  /** Of the resolver only. Header names in lower case. */
  | { kind: 'fetch'; url: string; headers: Record<string, string> };

/** An error as it crosses a border. `code` is one of `errors/codes.ts`, checked on arrival. */
export interface WireError {
  code: string;
  message: string;
  details: Record<string, unknown>;
  stack: string | null;
  cause: WireError | null;
}

/** The call `id` failed, or, with `id: null`, the worker as a whole. */
export interface ErrorMessage {
  kind: 'error';
  id: string | null;
  error: WireError;
}

export interface PongMessage {
  kind: 'pong';
  id: string;
  /** The run under way. */
  busy: string | null;
  heapBytes: number;
  /** Of the process, when the worker has one of its own. */
  residentBytes: number | null;
}

export type WorkerMessage =
  | ReadyMessage
  | ImageMessage
  | ProgressMessage
  | OutputMessage
  | DisplayMessage
  | ResultMessage
  | RewoundMessage
  | DeltaMessage
  | FrozenMessage
  | ThawedMessage
  | ChangedMessage
  | AskMessage
  | ErrorMessage
  | PongMessage;
