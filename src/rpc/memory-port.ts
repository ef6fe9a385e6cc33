import type { Message } from '../protocol/envelope.ts';
import type { Port } from './port.ts';

/** Two ports joined in memory, for tests: delivery is asynchronous and in order, messages are copied. */
export function memoryPorts(): [MemoryPort, MemoryPort] {
  const left = new MemoryPort();
  const right = new MemoryPort();
  left.peer = right;
  right.peer = left;
  return [left, right];
}

export class MemoryPort implements Port {
  /** Set by `memoryPorts`. */
  peer: MemoryPort | undefined;
  #onMessage: ((message: unknown) => void) | undefined;
  #early: unknown[] = [];
  #closed = false;
  onClose: ((error?: Error) => void) | undefined;

  get onMessage(): ((message: unknown) => void) | undefined {
    return this.#onMessage;
  }

  set onMessage(listener: ((message: unknown) => void) | undefined) {
    this.#onMessage = listener;
    if (listener === undefined) return;
    for (const message of this.#early.splice(0)) listener(message);
  }

  send(message: Message): void {
    this.sendRaw(message);
  }

  /** Anything at all, as hostile code might send it. */
  sendRaw(message: unknown): void {
    if (this.#closed) return;
    const copy: unknown = structuredClone(message);
    queueMicrotask(() => this.peer?.deliver(copy));
  }

  deliver(message: unknown): void {
    if (this.#closed) return;
    if (this.#onMessage === undefined) this.#early.push(message);
    else this.#onMessage(message);
  }

  /** Ends both ports; the other one after what is on its way has arrived. */
  close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    queueMicrotask(() => this.peer?.close(error));
    this.onClose?.(error);
  }
}
