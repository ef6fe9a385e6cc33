import { InstallError } from '../errors/errors.ts';
import { toWire } from '../errors/wire.ts';
import type { DecodedImage } from '../image/format.ts';
import type { Fingerprint } from '../image/header.ts';
import type {
  FreezeMessage,
  HostMessage,
  Question,
  ResultMessage,
  RewoundMessage,
  RunMessage,
  WorkerMessage,
} from '../protocol/messages.ts';
import { signalWords } from '../protocol/signals.ts';
import { wasmPageBytes } from '../util/wasm.ts';
import {
  type BootProgress,
  bootInterpreter,
  freezeInterpreter,
  type Interpreter,
  type Introduction,
  type KernelAssets,
  writeFile,
} from './boot.ts';
import { changeFiles, type FileChange } from './change-files.ts';
import { ChannelError, type HarnessFrame } from './channel.ts';
import { installDevices } from './devices.ts';
import { advanceClock, resetClock } from './environment.ts';
import { LayeredFiles } from './filesystem.ts';
import { Baseline, heapTop, MemoryLimit } from './memory.ts';
import { Output } from './output.ts';
import { homeFolder } from './pyodide-internals.ts';
import { RunStreams, type StreamHooks } from './run-streams.ts';
import { SafePoint } from './safepoint.ts';
import {
  assertFreezable,
  type FrozenState,
  freezeState,
  notFreezable,
  type StateParts,
  thawState,
} from './session-state.ts';
import { unpackForRun } from './wheels.ts';

export interface KernelOptions {
  /** See `signalWords`. */
  signals: Int32Array;
  maxHeapBytes: number;
  env: Record<string, string>;
  /** See `makeReproducible`: nobody waits then. */
  reproducible?: boolean;
  post: (message: WorkerMessage) => void;
  /** Blocks until the host's next message while a run waits for it. */
  receive: () => HostMessage;
  progress: BootProgress;
}

/** Files that a run may create, beyond which Python gets ENOSPC; their bytes are bounded by the run's memory. */
const maxFilesOfRun = 100_000;

/** Of what Python prints while it boots. */
const keptBootChars = 4000;

/** The engine's, whatever sessions do to Python's clock. */
const now: () => number = performance.now.bind(performance);

/** What warming runs with: the usual shape of a run. */
const warmRun: Omit<RunMessage, 'code'> = {
  kind: 'run',
  id: 'warm',
  filename: '<warm>',
  argv: [],
  env: {},
  stdin: '',
  globals: '["d"]',
  files: [],
  purpose: 'program',
  after: 'rewind',
  seed: null,
  figures: 'png',
  limits: {
    timeoutMs: 0,
    cpuMs: 0,
    memoryBytes: Number.MAX_SAFE_INTEGER,
    outputBytes: 1024 * 1024,
    fileBytes: 1024 * 1024,
    fileCount: 10,
    valueBytes: 1024 * 1024,
  },
};

interface KernelParts {
  gate: Gate;
  limit: MemoryLimit;
  output: Output;
  safePoint: SafePoint;
  streams: RunStreams;
}

/** Lets messages through, but for those of a warming run. */
class Gate {
  readonly #post: (message: WorkerMessage) => void;
  open = true;

  constructor(post: (message: WorkerMessage) => void) {
    this.#post = post;
  }

  post(message: WorkerMessage): void {
    if (this.open) this.#post(message);
  }
}

/** One Python interpreter, and the way back to its clean state. Synchronous: one run at a time. */
export class Kernel {
  readonly #interpreter: Interpreter;
  readonly #options: KernelOptions;
  readonly #parts: KernelParts;
  readonly #files: LayeredFiles;
  readonly #baseline: Baseline;
  readonly #image: DecodedImage | null;
  /** A session's state is in it. */
  #held = false;
  /** It was thawed, and no run has seen it since. */
  #resumed = false;

  static async boot(assets: KernelAssets, options: KernelOptions): Promise<Kernel> {
    const gate = new Gate(options.post);
    const limit = new MemoryLimit(options.maxHeapBytes);
    const output = new Output((message) => gate.post(message));
    const safePoint = new SafePoint(options.signals, (now) => output.visit(now));
    let kernel: Kernel | undefined;
    let said = '';
    const streams = new RunStreams(output, {
      post: (message) => gate.post(message),
      ask: (id, question) => {
        if (kernel === undefined) return refusal(notWhileBuilding);
        return kernel.#ask(id, question);
      },
      progress: (message) => options.progress('packages', 0, 0, message),
    });
    const introduction: Introduction = {
      prepareDevices(module) {
        installDevices(module.FS, {
          stdin: (length) => streams.stdin.take(length),
          request: (length) => streams.request.take(length),
          output: (stream, bytes) => {
            if (kernel !== undefined) output.write(stream, bytes);
            else said = (said + new TextDecoder().decode(bytes.slice())).slice(-keptBootChars);
          },
          reply: (bytes) => streams.reader.push(bytes),
          sleep: (ms) => (options.reproducible ? advanceClock(performance.now() + ms) : safePoint.sleep(ms)),
        });
        safePoint.install(module);
      },
      plan: (plan) => streams.beginBuild(plan),
      said: () => said,
      failure: () => streams.takeResult().json.failure as ReturnType<Introduction['failure']>,
    };
    const interpreter = await bootInterpreter(assets, limit, introduction, options.progress);
    const parts = { gate, limit, output, safePoint, streams };
    kernel = new Kernel(interpreter, options, parts, assets.image);
    return kernel;
  }

  private constructor(
    interpreter: Interpreter,
    options: KernelOptions,
    parts: KernelParts,
    image: DecodedImage | null,
  ) {
    this.#interpreter = interpreter;
    this.#options = options;
    this.#parts = parts;
    this.#files = new LayeredFiles(interpreter.module);
    this.#files.seal();
    this.#image = image;
    this.#baseline = new Baseline(interpreter.module, image);
    this.#reportHeap();
  }

  get python(): string {
    return this.#interpreter.python;
  }

  get heapBytes(): number {
    return this.#interpreter.module.HEAPU8.length;
  }

  /** The image of this kernel, in pieces; it must have run nothing yet. Throws `InstallError`. */
  toImage(fingerprint: Fingerprint): Promise<Uint8Array<ArrayBuffer>[]> {
    return freezeInterpreter(this.#interpreter, fingerprint);
  }

  /**
   * Runs the code, posts its output and one `result`, and then, clean again or not, one `rewound`. Throws when the
   * interpreter is beyond repair: the worker must be replaced.
   */
  run(message: RunMessage): void {
    const result = this.#execute(message);
    this.#options.post(result);
    if (message.after === 'discard') return;
    const started = now();
    const dirty = message.after === 'rewind' ? this.rewind() : null;
    const rewound: RewoundMessage = {
      kind: 'rewound',
      id: message.id,
      rewindMs: now() - started,
      heapBytes: this.heapBytes,
      dirty,
    };
    this.#options.post(rewound);
  }

  /** Runs `code` for the sake of compiled code and caches, and forgets it. Throws when that can't be done. */
  warm(code: string): void {
    this.#parts.gate.open = false;
    try {
      this.#execute({ ...warmRun, code });
    } finally {
      this.#parts.gate.open = true;
    }
    const dirty = this.rewind();
    if (dirty !== null) throw new Error(`the kernel could not be rewound: ${dirty}`);
  }

  /** Puts everything back to how it was after the boot; returns why that can't be, or null. */
  rewind(): string | null {
    const obstacle = this.#baseline.obstacle();
    if (obstacle !== undefined) return obstacle;
    this.#baseline.restore();
    this.#files.rewind();
    this.#held = this.#resumed = false;
    resetClock();
    return null;
  }

  /** What a session's runs have made of it, which stays in it. Throws `SessionError`. */
  freeze(tasks: FreezeMessage['tasks']): FrozenState & { cancelled: string[] } {
    const parts = this.#stateParts;
    // Before a task is cancelled for nothing.
    if (tasks === 'cancel') assertFreezable(parts);
    const cancelled = tasks === 'keep' || !this.#held ? [] : this.#settleTasks(tasks);
    return { ...freezeState(parts), cancelled };
  }

  /** Takes a session's state in, clean as it must be. Throws `SessionError`; the worker must be replaced then. */
  thaw(header: string, blobs: readonly Uint8Array[]): void {
    if (this.#held) throw new Error('a session is in this kernel already');
    thawState(this.#stateParts, header, blobs);
    this.#held = this.#resumed = true;
    this.#reportHeap();
  }

  /** Of a session, which may begin with them. Throws `UsageError`. */
  changeFiles(changes: readonly FileChange[]): void {
    changeFiles(this.#interpreter.module.FS, this.#files, changes);
    this.#held = true;
  }

  get #stateParts(): StateParts {
    const { limit } = this.#parts;
    const [interpreter, files, baseline, image] = [
      this.#interpreter,
      this.#files,
      this.#baseline,
      this.#image,
    ];
    return { interpreter, files, baseline, limit, image };
  }

  /** Cancelling lets the code of tasks run, for a while. */
  #settleTasks(tasks: 'cancel' | 'refuse'): string[] {
    const { gate, safePoint, streams } = this.#parts;
    gate.open = false;
    safePoint.begin(settleTimeoutMs, 0);
    try {
      streams.beginTasks(tasks);
      this.#call();
    } finally {
      safePoint.end();
      gate.open = true;
    }
    const { cancelled, left } = streams.takeResult().json;
    if (!isTexts(cancelled) || !isTexts(left)) throw new ChannelError('frame names no tasks');
    if (left.length > 0) throw notFreezable(left.map((name) => `the pending task ${name}`));
    return cancelled;
  }

  #call(): void {
    const { module, executeAddress } = this.#interpreter;
    const returned = module._PyObject_CallNoArgs(executeAddress);
    if (returned === 0) {
      module._PyErr_Clear();
      throw new Error('the Python harness raised');
    }
    module._Py_DecRef(returned);
  }

  #execute(message: RunMessage): ResultMessage {
    const { module } = this.#interpreter;
    const { output, safePoint, streams } = this.#parts;
    const { limits } = message;
    const hold = message.after === 'hold';
    const filler = this.#limitMemory(limits.memoryBytes, hold);
    const topBefore = heapTop(module);
    output.begin(message.id, limits.outputBytes);
    this.#files.setQuota({ maxBytes: limits.memoryBytes, maxNodes: maxFilesOfRun });
    streams.begin(message, this.#options.env, this.#resumed);
    this.#held ||= hold;
    this.#resumed = false;
    const refused = this.#files.writeInputs(
      homeFolder,
      message.files.map(({ path, part }) => ({ path, bytes: message.parts?.[part] ?? new Uint8Array() })),
    );
    safePoint.begin(limits.timeoutMs, limits.cpuMs);
    if (refused === undefined) {
      try {
        this.#call();
      } finally {
        // What was printed before a crash tells most about it.
        output.flush();
      }
    }
    const { runMs, cpuMs } = safePoint.end();
    this.#reportHeap();
    const frame = refused === undefined ? streams.takeResult() : failedInput(refused);
    const parts = [...frame.parts];
    const changed = this.#files.changed(homeFolder, limits.fileCount, limits.fileBytes);
    const files = changed.files.map(({ path, bytes }) => {
      parts.push(bytes.slice());
      return { path, size: bytes.length, part: parts.length - 1 };
    });
    const top = heapTop(module);
    // What the harness says is passed on as it is: it lives with the guest's code, and the host checks it all.
    const said = frame.json as unknown as Omit<ResultMessage, 'truncated'> & {
      truncated?: Partial<ResultMessage['truncated']>;
    };
    return {
      kind: 'result',
      id: message.id,
      status: said.status,
      stopped: safePoint.stopped,
      text: said.text,
      value: said.value,
      display: said.display,
      error: said.error,
      exitCode: said.exitCode,
      files,
      executionCount: said.executionCount,
      runMs,
      cpuMs,
      heapBytes: this.heapBytes,
      peakBytes: top - filler,
      deltaBytes: top - topBefore,
      truncated: {
        ...output.truncated,
        results: output.truncated.results || said.truncated?.results === true,
        value: said.truncated?.value === true,
        files: changed.truncated,
      },
      parts,
    };
  }

  /** Puts a question to the host; wheels that come in answer are unpacked. The run isn't charged for any of it. */
  #ask(id: string, question: Question): ReturnType<StreamHooks['ask']> {
    return this.#parts.safePoint.uncharged(() => {
      this.#parts.gate.post({ kind: 'ask', id, question });
      const answer = this.#options.receive();
      if (answer.kind !== 'answer' || answer.id !== id)
        throw new Error(`'${answer.kind}' in answer to a question`);
      const { error, body, parts = [] } = answer;
      if (question.kind !== 'install' || error !== null) return { error, body, parts };
      const { FS } = this.#interpreter.module;
      try {
        // All of them first: nothing half installed stays.
        const unpacked = unpackForRun(parts, this.#files.exemptBytes);
        this.#files.exempt(() => {
          for (const files of unpacked) for (const [path, bytes] of files) writeFile(FS, path, bytes);
        });
      } catch (cause) {
        if (cause instanceof InstallError) return refusal(cause);
        if (cause instanceof FS.ErrnoError) return refusal(inTheWay);
        throw cause;
      }
      return { error, body, parts: [] };
    });
  }

  /**
   * The memory of a worker never shrinks. When an earlier run had more than this one may have, the difference is taken
   * from the allocator's reach first. Returns how much. Not of a session, which would keep the hole for good: it may use what its
   * worker has already.
   */
  #limitMemory(memoryBytes: number, hold: boolean): number {
    const { module } = this.#interpreter;
    const limit = Math.min(memoryBytes, this.#options.maxHeapBytes);
    this.#parts.limit.set(limit);
    const excess = module.HEAPU8.length - Math.max(limit, heapTop(module));
    if (excess <= 0 || hold) return 0;
    module._sbrk(excess);
    return excess;
  }

  #reportHeap(): void {
    Atomics.store(this.#options.signals, signalWords.heapPages, this.heapBytes / wasmPageBytes);
  }
}

const notWhileBuilding: InstallError = new InstallError('Nothing can be installed while an image is built.', {
  reason: 'not_allowed',
  package: '',
  suggestion: 'Add the package to those of the image.',
});

const inTheWay: InstallError = new InstallError(
  'The files of a package could not be written: something else is in their place.',
  { reason: 'conflict', package: '', suggestion: 'Remove what the code has put into site-packages.' },
);

function refusal(error: InstallError): ReturnType<StreamHooks['ask']> {
  return { error: toWire(error), body: 'null', parts: [] };
}

/** What tasks may take for their end before a session is frozen. */
const settleTimeoutMs = 2000;

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}

/** What a run ends with whose input file could not be written: its path meets another's, or there is no room. */
function failedInput(path: string): HarnessFrame {
  const value = `the input file ${JSON.stringify(path)} could not be written`;
  const error = {
    name: 'OSError',
    value,
    traceback: [`OSError: ${value}`],
    frames: [],
    line: null,
    column: null,
  };
  const json = {
    status: 'error',
    text: null,
    value: null,
    display: null,
    error,
    exitCode: null,
    executionCount: 0,
  };
  return { json, parts: [] };
}
