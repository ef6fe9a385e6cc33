import { randomUUID } from 'node:crypto';
import { InstallError, LimitError, VivariumError, WorkerError } from '../errors/errors.ts';
import { toWire } from '../errors/wire.ts';
import { assertBlobs, type Delta, parseDeltaHeader } from '../image/delta.ts';
import {
  type AskMessage,
  type InitOptions,
  protocolVersion,
  type ResultMessage,
  type RewoundMessage,
  type RunMessage,
  type StopReason,
} from '../protocol/messages.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { Channel, type EventMessage } from '../rpc/channel.ts';
import type { Port } from '../rpc/port.ts';
import {
  defaultResidentBytes,
  type FileWrite,
  type FreezeOptions,
  type Frozen,
  type RunSink,
  type StartOptions,
  type Usage,
  type Worker,
  type WorkerExit,
} from './engine.ts';
import type { TakeImage } from './image-cache.ts';

const usageTimeoutMs = 5000;
/** Freezing, thawing and rewinding copy memory and do nothing else. */
const stateTimeoutMs = 60_000;
const maxDeltaBlobs = 300_000;

/** What an engine starts: a pipe to it, and a way to end it. */
export interface Place {
  port: Port;
  readonly pid: number | undefined;
  kill(): void;
  /** Where the system tells it. */
  usage?(): Usage | null;
  /** Nothing more is read from it until that is over: more comes than can be taken. */
  pauseUntil?(over: Promise<void>): void;
  /** Keeps the host's process alive while true. */
  hold(held: boolean): void;
  /** Resolves, never rejects. */
  exited: Promise<PlaceEnd>;
  /** Called at each of these points of a run. */
  onRun?(point: RunPoint, run: string): void;
}

export type PlaceEnd = Omit<WorkerExit, 'expected'>;

export type RunPoint = 'run.sent' | 'run.asked' | 'run.answered' | 'run.result' | 'run.rewound';

/** The host's handle on any worker that speaks the protocol, whatever its place is. */
export class ChannelWorker implements Worker {
  readonly id: string;
  readonly pid: number | undefined;
  readonly pyodide: string;
  readonly bootMs: number;
  readonly exited: Promise<WorkerExit>;
  readonly #place: Place;
  readonly #channel: Channel;
  readonly #maxDeltaBytes: number;
  #pending = 0;
  #expected = false;

  /** Boots the kernel in the place, or ends the place and, once that is gone, rejects. */
  static async start(
    place: Place,
    init: InitOptions,
    options: StartOptions,
    onImage?: TakeImage,
  ): Promise<ChannelWorker> {
    const channel = new Channel(place.port);
    place.exited.then(({ reason, outOfMemory }) =>
      channel.fail(outOfMemory ? new LimitError('memory', reason) : new WorkerError('crashed', reason)),
    );
    try {
      const ready = await channel.call(
        { kind: 'init', id: randomUUID(), version: protocolVersion, options: init },
        {
          timeoutMs: options.bootTimeoutMs,
          timeoutCode: 'boot_timeout',
          ...(options.signal === undefined ? {} : { signal: options.signal }),
          onEvent(event) {
            if (event.kind === 'image') for (const part of event.parts) takePiece(place, onImage, part);
            if (event.kind !== 'progress') return;
            const { stage, done, total, message } = event;
            options.onProgress?.({ stage, done, total, message });
          },
        },
      );
      if (ready.version !== protocolVersion) {
        throw new WorkerError(
          'boot_failed',
          `the worker speaks protocol ${ready.version}, not ${protocolVersion}`,
        );
      }
      return new ChannelWorker(place, channel, ready, options);
    } catch (error) {
      place.kill();
      await place.exited;
      throw bootFailure(error);
    }
  }

  private constructor(
    place: Place,
    channel: Channel,
    ready: { pyodide: string; bootMs: number },
    { id, init, maxResidentBytes }: StartOptions,
  ) {
    this.#place = place;
    this.#channel = channel;
    this.id = id;
    this.pid = place.pid;
    // It can't have more in memory.
    this.#maxDeltaBytes = maxResidentBytes ?? defaultResidentBytes(init.maxHeapBytes);
    this.pyodide = ready.pyodide;
    this.bootMs = ready.bootMs;
    this.exited = place.exited.then((end) => ({ expected: this.#expected, ...end }));
    // Once the channel has failed nothing the place says counts any more.
    channel.closed.then(() => place.kill());
    place.hold(false);
  }

  async run(message: Omit<RunMessage, 'kind'>, events: RunSink): Promise<ResultMessage> {
    const { id, after } = message;
    this.#hold();
    try {
      const reply = this.#channel.call(
        { kind: 'run', ...message },
        { onEvent: (event) => this.#tell(event, events) },
      );
      this.#place.onRun?.('run.sent', id);
      const result = await reply;
      this.#place.onRun?.('run.result', id);
      if (after === 'discard') {
        this.#channel.release(id);
        this.#release();
      }
      return result;
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  #tell(event: EventMessage, events: RunSink): void {
    switch (event.kind) {
      case 'stdout':
      case 'stderr':
        for (const part of event.parts) events.onOutput(event.kind, part);
        return;
      case 'display':
        events.onDisplay({ data: event.data, metadata: event.metadata });
        return;
      case 'rewound':
        this.#release();
        this.#place.onRun?.('run.rewound', event.id);
        events.onRewound(event);
        return;
      case 'ask':
        this.#place.onRun?.('run.asked', event.id);
        void this.#answer(event, events);
        return;
      case 'progress':
      case 'image':
      case 'delta':
        return;
      default:
        event satisfies never;
    }
  }

  /** The run waits for it: there is an answer in any case. */
  async #answer({ id, question }: AskMessage, { onAsk }: RunSink): Promise<void> {
    const refusal = { body: 'null', parts: [] };
    try {
      if (onAsk === undefined) throw notAsked;
      const answer = await onAsk(question);
      this.#channel.notify({ kind: 'answer', id, error: null, ...answer });
    } catch (error) {
      // Where in the host it came from is nothing that code may know.
      const told = { ...toWire(error), stack: null, cause: null };
      this.#channel.notify({ kind: 'answer', id, error: told, ...refusal });
    }
    this.#place.onRun?.('run.answered', id);
  }

  async freeze({ tasks }: FreezeOptions): Promise<Frozen> {
    const blobs: Uint8Array[] = [];
    let bytes = 0;
    const onEvent = (event: EventMessage): void => {
      if (event.kind !== 'delta') return;
      for (const part of event.parts) bytes += part.byteLength;
      if (bytes > this.#maxDeltaBytes || blobs.length > maxDeltaBlobs)
        throw new ProtocolError('a delta larger than any session can be');
      blobs.push(...event.parts);
    };
    return this.#held(async () => {
      const id = randomUUID();
      const reply = await this.#channel.call(
        { kind: 'freeze', id, tasks },
        { onEvent, timeoutMs: stateTimeoutMs },
      );
      const { cancelled, freezeMs } = reply;
      const header = this.#parsed(() => {
        const parsed = parseDeltaHeader(reply.header);
        assertBlobs(parsed, blobs);
        return parsed;
      });
      return { delta: { header, blobs }, cancelled, freezeMs };
    });
  }

  async thaw({ header, blobs }: Delta): Promise<void> {
    await this.#held(async () => {
      const id = randomUUID();
      for (const blob of blobs) this.#channel.notify({ kind: 'thaw', id, header: null, parts: [blob] });
      const text = JSON.stringify(header);
      await this.#channel.call({ kind: 'thaw', id, header: text }, { timeoutMs: stateTimeoutMs });
    });
  }

  async rewind(): Promise<Omit<RewoundMessage, 'kind' | 'id'>> {
    return this.#held(async () => {
      const message = { kind: 'rewind', id: randomUUID() } as const;
      const { rewindMs, heapBytes, dirty } = await this.#channel.call(message, { timeoutMs: stateTimeoutMs });
      return { rewindMs, heapBytes, dirty };
    });
  }

  async changeFiles(changes: readonly FileWrite[]): Promise<void> {
    const parts: Uint8Array[] = [];
    const named = changes.map(({ path, bytes }) => ({
      path,
      part: bytes === null ? null : parts.push(bytes) - 1,
    }));
    await this.#held(async () => {
      const message = { kind: 'change_files', id: randomUUID(), changes: named, parts } as const;
      await this.#channel.call(message, { timeoutMs: stateTimeoutMs });
    });
  }

  /** What doesn't fit comes from a kernel that isn't ours any more: it ends the worker. */
  #parsed<T>(parse: () => T): T {
    try {
      return parse();
    } catch (cause) {
      const error = new WorkerError('protocol', (cause as Error).message, { cause });
      this.#channel.fail(error);
      throw error;
    }
  }

  async #held<T>(work: () => Promise<T>): Promise<T> {
    this.#hold();
    try {
      return await work();
    } finally {
      this.#release();
    }
  }

  interrupt(runId: string, reason: StopReason): void {
    this.#channel.notify({ kind: 'interrupt', id: runId, reason });
  }

  async ping(timeoutMs: number): Promise<{ heapBytes: number; residentBytes: number | null }> {
    return this.#held(async () => {
      const pong = await this.#channel.call({ kind: 'ping', id: randomUUID() }, { timeoutMs });
      const residentBytes = this.#place.usage?.()?.residentBytes ?? pong.residentBytes;
      return { heapBytes: pong.heapBytes, residentBytes };
    });
  }

  async usage(): Promise<Usage | null> {
    if (this.#place.usage) return this.#place.usage();
    const { residentBytes } = await this.ping(usageTimeoutMs);
    return residentBytes === null ? null : { residentBytes, cpuMs: 0 };
  }

  kill(): void {
    this.#expected = true;
    this.#place.hold(true);
    this.#place.kill();
  }

  async shutdown(graceMs: number): Promise<void> {
    this.#expected = true;
    this.#place.hold(true);
    this.#channel.notify({ kind: 'shutdown' });
    const timer = setTimeout(() => this.#place.kill(), graceMs);
    await this.#place.exited;
    clearTimeout(timer);
  }

  /** An idle worker doesn't keep the host's process alive; one that has something to do does. */
  #hold(): void {
    this.#pending += 1;
    if (this.#pending === 1) this.#place.hold(true);
  }

  #release(): void {
    this.#pending -= 1;
    if (this.#pending === 0) this.#place.hold(false);
  }
}

const notAsked: InstallError = new InstallError('Nothing can be installed here.', {
  reason: 'not_allowed',
  package: '',
  suggestion: '',
});

/** What is thrown here ends the channel, and with it the place. */
function takePiece(place: Place, onImage: TakeImage | undefined, bytes: Uint8Array): void {
  if (onImage === undefined) throw new ProtocolError("'image' in a boot that builds none");
  const taken = onImage(bytes);
  place.pauseUntil?.(taken);
}

/** Whatever goes wrong in a boot is `boot_failed`, but for `boot_timeout`, `install` and what the caller's signal says. */
function bootFailure(error: unknown): unknown {
  const own = ['boot_timeout', 'boot_failed', 'install'];
  if (!(error instanceof VivariumError) || own.includes(error.code)) return error;
  return new WorkerError('boot_failed', `the worker did not boot: ${error.message}`, {
    cause: error,
    details: error.details,
  });
}
