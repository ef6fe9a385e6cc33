import type { Message } from '../protocol/envelope.ts';
import { encodeFrame, FrameDecoder } from '../protocol/frames.ts';
import type { Port } from './port.ts';

export interface StreamPortOptions {
  /** Writes chunks in order; they must not change until they are written. */
  write: (chunks: Uint8Array[]) => void;
  /** Called once, when either side ends the port. */
  close?: () => void;
  /**
   * Host's side: a token that goes out with the first frame only, and that every frame received has to carry. It is
   * for the worker's supervisor alone: guest code that gets hold of the pipe can't forge a frame.
   */
  auth?: string;
}

/** A port over a pair of byte streams: the owner of the streams feeds it by `receive` and `end`. */
export class StreamPort implements Port {
  readonly #options: StreamPortOptions;
  readonly #decoder: FrameDecoder;
  #greeted = false;
  #closed = false;
  #onMessage: ((message: unknown) => void) | undefined;
  /** What came before `onMessage` was set. */
  #early: unknown[] = [];
  onClose: ((error?: Error) => void) | undefined;

  constructor(options: StreamPortOptions) {
    this.#options = options;
    this.#decoder = new FrameDecoder(options.auth === undefined ? {} : { auth: options.auth });
  }

  get onMessage(): ((message: unknown) => void) | undefined {
    return this.#onMessage;
  }

  set onMessage(listener: ((message: unknown) => void) | undefined) {
    this.#onMessage = listener;
    if (listener === undefined) return;
    for (const message of this.#early.splice(0)) listener(message);
  }

  /** Throws `ProtocolError` when the message exceeds the limits of a frame; nothing is written then. */
  send(message: Message): void {
    if (this.#closed) return;
    const { auth } = this.#options;
    this.#options.write(encodeFrame(message, auth === undefined || this.#greeted ? {} : { auth }));
    this.#greeted = true;
  }

  /** Bytes from the other side; the chunk may be reused afterwards. */
  receive(chunk: Uint8Array): void {
    if (this.#closed) return;
    try {
      for (const message of this.#decoder.push(chunk)) this.#deliver(message);
    } catch (error) {
      if (error !== this.#decoder.failure) throw error;
    }
    if (this.#decoder.failure !== undefined) this.#finish(this.#decoder.failure);
  }

  /** The stream from the other side has ended. */
  end(error?: Error): void {
    this.#finish(error ?? (this.#decoder.partial ? new Error('the stream ended within a frame') : undefined));
  }

  close(): void {
    this.#finish(undefined);
  }

  #deliver(message: unknown): void {
    if (this.#closed) return;
    if (this.#onMessage === undefined) this.#early.push(message);
    else this.#onMessage(message);
  }

  #finish(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.close?.();
    this.onClose?.(error);
  }
}
