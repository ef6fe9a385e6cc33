import type { Question, RunMessage } from '../../protocol/messages.ts';
import type { RichResult, Value } from '../../runtime.ts';
import type { Usage } from '../engine.ts';
import type { FakeState } from './fake-state.ts';

/** What a scripted worker is asked to run. */
export interface FakeRun {
  readonly code: string;
  readonly message: Omit<RunMessage, 'kind'>;
  readonly worker: string;
  /** The name of the worker's image. */
  readonly image: string;
  /** Counts the runs of this worker from 1. */
  readonly count: number;
  /** What the worker holds: for the script to change. */
  readonly state: FakeState;
}

/** What a worker does between runs of a session. */
export interface FakeWork {
  readonly what: 'freeze' | 'thaw' | 'change_files' | 'rewind';
  readonly worker: string;
}

/** How that goes: by default at once and well. */
export interface FakeWorkOutcome {
  delayMs?: number;
  /** What it rejects with after the delay. */
  error?: Error;
  /** After the delay the worker dies. */
  crash?: boolean;
}

/** What a run asks of the host. */
export interface FakeAsk {
  question: Question;
  /** Time in Python before it. Default 0. */
  afterMs?: number;
  /** Goes on when it is refused. Else that is what Python raised. */
  catches?: boolean;
}

/** What becomes of a run; `{}` is a success without a value. */
export interface FakeOutcome {
  stdout?: string | Uint8Array | readonly (string | Uint8Array)[];
  stderr?: string | Uint8Array | readonly (string | Uint8Array)[];
  displays?: readonly Omit<RichResult, 'isMainResult'>[];
  value?: Value;
  /** `repr()` of the value. */
  text?: string;
  /** MIME bundle of the value. */
  display?: Omit<RichResult, 'isMainResult'>;
  /** What Python raised. */
  error?: { name: string; value: string };
  exitCode?: number;
  files?: Record<string, string | Uint8Array>;
  /** Asked one after another, before the delay. What is answered: `FakeWorker.answers`. */
  asks?: readonly FakeAsk[];
  /** Time in Python, by the clock. `Infinity`: until the run's deadline or an interrupt. Default 0. */
  delayMs?: number;
  /** Neither the deadline nor an interrupt ends it: only the worker's end does. */
  unstoppable?: boolean;
  /** The kernel forgets its own deadline; an interrupt ends it. */
  forgetsDeadline?: boolean;
  /** After the delay the worker dies; a text says of what. */
  crash?: boolean | string;
  /** Python's heap from now on. Default 32 MiB. */
  heapBytes?: number;
  /** Default: at once and clean. `dirty`: why it can't be clean. `delayMs: Infinity`: it never comes back. */
  rewind?: { delayMs?: number; dirty?: string };
}

export interface FakeBoot {
  /** Default 0; longer than the boot's timeout for one that times out. */
  delayMs?: number;
  /** What `start` rejects with after the delay. */
  error?: Error;
}

/** What fake workers do. */
export interface FakeScript {
  /** An exception thrown here is what Python raised. Default: every run succeeds without a value. */
  run?: (run: FakeRun) => FakeOutcome;
  work?: (work: FakeWork) => FakeWorkOutcome;
  /** `attempt` counts all boots from 1. */
  boot?: (boot: { readonly id: string; readonly attempt: number; readonly image: string }) => FakeBoot;
  /** Whether a worker answers a ping. Default true. */
  ping?: (worker: string) => boolean;
  /** Whether a worker that is told to ends in order, and not only by force. Default true. */
  shutdown?: (worker: string) => boolean;
  /** What a worker's place uses, asked while it runs something; what is thrown here it doesn't answer. Default: not known. */
  usage?: (worker: string) => Usage | null;
}
