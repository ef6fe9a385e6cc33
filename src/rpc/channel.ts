import type { ErrorCode } from '../errors/codes.ts';
import { UsageError, type VivariumError, WorkerError } from '../errors/errors.ts';
import { fromWire, toVivariumError } from '../errors/wire.ts';
import type {
  AnswerMessage,
  AskMessage,
  ChangedMessage,
  ChangeFilesMessage,
  DeltaMessage,
  DisplayMessage,
  ErrorMessage,
  FreezeMessage,
  FrozenMessage,
  ImageMessage,
  InitMessage,
  InterruptMessage,
  OutputMessage,
  PingMessage,
  PongMessage,
  ProgressMessage,
  ReadyMessage,
  ResultMessage,
  RewindMessage,
  RewoundMessage,
  RunMessage,
  ShutdownMessage,
  ThawedMessage,
  ThawMessage,
  WorkerMessage,
} from '../protocol/messages.ts';
import { parseWorkerMessage } from '../protocol/parse.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { type Clock, systemClock, type Timer } from '../util/clock.ts';
import type { Port } from './port.ts';

export type CallMessage =
  | InitMessage
  | RunMessage
  | FreezeMessage
  | ThawMessage
  | RewindMessage
  | ChangeFilesMessage
  | PingMessage;
export type EventMessage =
  | ProgressMessage
  | ImageMessage
  | OutputMessage
  | DisplayMessage
  | AskMessage
  | DeltaMessage
  | RewoundMessage;

/** Which message answers which. */
export interface Replies {
  init: ReadyMessage;
  run: ResultMessage;
  freeze: FrozenMessage;
  thaw: ThawedMessage;
  rewind: RewoundMessage;
  change_files: ChangedMessage;
  ping: PongMessage;
}

const replyKinds = {
  init: 'ready',
  run: 'result',
  freeze: 'frozen',
  thaw: 'thawed',
  rewind: 'rewound',
  change_files: 'changed',
  ping: 'pong',
} as const;

const eventKinds: Readonly<Record<CallMessage['kind'], readonly EventMessage['kind'][]>> = {
  init: ['progress', 'image'],
  run: ['progress', 'stdout', 'stderr', 'display', 'ask', 'rewound'],
  freeze: ['delta'],
  thaw: [],
  rewind: [],
  change_files: [],
  ping: [],
};

const allEventKinds: ReadonlySet<string> = new Set(Object.values(eventKinds).flat());

export interface CallOptions {
  /** What the worker tells in between. After a `run`'s reply too, up to its `rewound` or until `release`. */
  onEvent?: (event: EventMessage) => void;
  /** Default: none. */
  timeoutMs?: number;
  /** Code of the `WorkerError` when time is up. Default `crashed`. */
  timeoutCode?: Extract<ErrorCode, 'crashed' | 'boot_timeout'>;
  /** Gives up waiting and rejects with the signal's reason; the worker is not told. */
  signal?: AbortSignal;
}

export interface ChannelOptions {
  clock?: Clock;
  /** Default `parseWorkerMessage`. */
  parse?: (message: unknown) => WorkerMessage;
}

/** A call that the worker may still send messages for. */
interface Call {
  readonly kind: CallMessage['kind'];
  /** The worker has sent its reply. The caller may have given up long before. */
  answered: boolean;
  onEvent: ((event: EventMessage) => void) | undefined;
  /** Only the first outcome counts. */
  settle(outcome: { reply: WorkerMessage } | { error: unknown }): void;
}

/**
 * The host's end of a port: calls by id, their replies and events. Whatever the worker sends that does not fit (not
 * parseable, an unknown id, a reply of the wrong kind or a second one) fails the whole channel, for its code is hostile.
 */
export class Channel {
  readonly #port: Port;
  readonly #clock: Clock;
  readonly #parse: (message: unknown) => WorkerMessage;
  readonly #calls = new Map<string, Call>();
  readonly #closed = Promise.withResolvers<VivariumError>();
  #failure: VivariumError | undefined;

  constructor(port: Port, options: ChannelOptions = {}) {
    this.#port = port;
    this.#clock = options.clock ?? systemClock;
    this.#parse = options.parse ?? parseWorkerMessage;
    port.onClose = (error) => this.fail(closeError(error));
    port.onMessage = (message) => this.#receive(message);
  }

  /** Resolves, never rejects, with what ended the channel. */
  get closed(): Promise<VivariumError> {
    return this.#closed.promise;
  }

  get failure(): VivariumError | undefined {
    return this.#failure;
  }

  /**
   * Sends a request and resolves with its reply. Rejects with the worker's error, a `WorkerError` when time is up or
   * the channel ends, a `UsageError` when the message is too large to be sent.
   */
  call<M extends CallMessage>(message: M, options: CallOptions = {}): Promise<Replies[M['kind']]> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const { id, kind } = message;
    const { signal, timeoutMs = Infinity, timeoutCode = 'crashed' } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#calls.has(id)) return Promise.reject(new UsageError('usage', `a call '${id}' is under way`));

    const { promise, resolve, reject } = Promise.withResolvers<WorkerMessage>();
    const call: Call = {
      kind,
      answered: false,
      onEvent: options.onEvent,
      settle(outcome) {
        timer?.cancel();
        signal?.removeEventListener('abort', abort);
        if ('error' in outcome) reject(outcome.error);
        else resolve(outcome.reply);
      },
    };
    // The call stays known, so that a late answer is dropped and not taken for a forged one.
    const giveUp = (error: unknown) => {
      call.onEvent = undefined;
      call.settle({ error });
    };
    const abort = () => giveUp(signal?.reason);
    signal?.addEventListener('abort', abort);
    const timer: Timer | undefined =
      timeoutMs === Infinity
        ? undefined
        : this.#clock.setTimeout(
            () => giveUp(new WorkerError(timeoutCode, `no answer to '${kind}' within ${timeoutMs} ms`)),
            timeoutMs,
            { unref: true },
          );
    this.#calls.set(id, call);
    try {
      this.#port.send(message);
    } catch (error) {
      if (error instanceof ProtocolError) {
        this.#calls.delete(id);
        call.settle({ error: tooLarge(error) });
      } else {
        this.fail(unreachable(error));
      }
    }
    // Its kind is checked against `replyKinds` when it comes.
    return promise as Promise<unknown> as Promise<Replies[M['kind']]>;
  }

  /**
   * Sends what has no answer. After the channel has ended it does nothing. Throws `UsageError` when the message is too
   * large to be sent.
   */
  notify(message: AnswerMessage | InterruptMessage | ShutdownMessage | ThawMessage): void {
    if (this.#failure !== undefined) return;
    try {
      this.#port.send(message);
    } catch (error) {
      if (error instanceof ProtocolError) throw tooLarge(error);
      this.fail(unreachable(error));
    }
  }

  /** Delivers no more events of an answered call, and takes none: for a `run` that no `rewound` follows. */
  release(id: string): void {
    if (this.#calls.get(id)?.answered === true) this.#calls.delete(id);
  }

  /** Ends the channel: closes the port and rejects every pending call, once. */
  fail(error: VivariumError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of calls) call.settle({ error });
    this.#port.close();
    this.#closed.resolve(error);
  }

  #receive(message: unknown): void {
    if (this.#failure !== undefined) return;
    try {
      this.#dispatch(this.#parse(message));
    } catch (error) {
      this.fail(toVivariumError(error));
    }
  }

  #dispatch(message: WorkerMessage): void {
    if (message.kind === 'error') {
      this.#error(message);
      return;
    }
    const { id, kind } = message;
    const call = this.#calls.get(id);
    if (call === undefined) throw new ProtocolError(`'${kind}' for no call`);
    // `rewound` is both: it follows a run, and answers a `rewind`.
    if (isEvent(message) && kind !== replyKinds[call.kind]) this.#event(id, call, message);
    else if (call.answered || kind !== replyKinds[call.kind]) throw misplaced(kind, call);
    else {
      this.#answer(id, call);
      call.settle({ reply: message });
    }
  }

  #error({ id, error }: ErrorMessage): void {
    if (id === null) {
      this.fail(fromWire(error));
      return;
    }
    const call = this.#calls.get(id);
    if (call === undefined) throw new ProtocolError(`'error' for no call`);
    if (call.answered) throw misplaced('error', call);
    this.#answer(id, call);
    call.settle({ error: fromWire(error) });
  }

  /** A `run` stays known until its `rewound`. */
  #answer(id: string, call: Call): void {
    call.answered = true;
    if (call.kind !== 'run') this.#calls.delete(id);
  }

  #event(id: string, call: Call, event: EventMessage): void {
    if (!eventKinds[call.kind].includes(event.kind)) throw misplaced(event.kind, call);
    if (event.kind === 'rewound') {
      if (!call.answered) throw misplaced('rewound', call);
      this.#calls.delete(id);
    }
    if (event.kind === 'ask' && call.answered) throw misplaced('ask', call);
    call.onEvent?.(event);
  }
}

function isEvent(message: Exclude<WorkerMessage, ErrorMessage>): message is EventMessage {
  return allEventKinds.has(message.kind);
}

function misplaced(kind: WorkerMessage['kind'], call: Call): ProtocolError {
  return new ProtocolError(`'${kind}' ${call.answered ? 'after the answer' : 'in answer'} to '${call.kind}'`);
}

function closeError(error: Error | undefined): VivariumError {
  if (error === undefined) return new WorkerError('crashed', 'the worker is gone');
  if (error instanceof ProtocolError) return toVivariumError(error);
  return new WorkerError('crashed', `the worker is gone: ${error.message}`, { cause: error });
}

function tooLarge(cause: ProtocolError): UsageError {
  return new UsageError('usage', `can't be sent: ${cause.message}`, { cause });
}

function unreachable(cause: unknown): VivariumError {
  return new WorkerError('crashed', 'the worker could not be reached', { cause });
}
