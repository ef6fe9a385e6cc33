/**
 * Bytes to a thread that is blocked in Python. One slot of shared memory, filled by the sender and emptied by the
 * receiver in turns: a message of any size goes through it in pieces.
 *
 * Layout: a word with the count of bytes in the slot, 0 when it is empty, then the slot.
 */

import { encodeFrame, FrameDecoder } from '../protocol/frames.ts';
import type { HostMessage } from '../protocol/messages.ts';
import { parseHostMessage } from '../protocol/parse.ts';

const wordBytes = 4;
const slotBytes = 1024 * 1024;
/** How long a sender leaves the receiver alone before it looks again. */
const pollMs = 1;

export function createMailbox(): SharedArrayBuffer {
  return new SharedArrayBuffer(wordBytes + slotBytes);
}

/**
 * Resolves when the receiver has taken the last piece. Senders must not overlap; `ended` stops one that nobody reads.
 * Throws `ProtocolError` at once when the message is too large.
 */
export function sendMail(
  mailbox: SharedArrayBuffer,
  message: HostMessage,
  ended: () => boolean = () => false,
): Promise<void> {
  return deliver(mailbox, encodeFrame(message), ended);
}

async function deliver(
  mailbox: SharedArrayBuffer,
  chunks: readonly Uint8Array[],
  ended: () => boolean,
): Promise<void> {
  const words = new Int32Array(mailbox, 0, 1);
  const slot = new Uint8Array(mailbox, wordBytes);
  const emptied = async (): Promise<boolean> => {
    while (Atomics.load(words, 0) !== 0) {
      if (ended()) return false;
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
    return true;
  };
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += slotBytes) {
      if (!(await emptied())) return;
      const piece = chunk.subarray(at, at + slotBytes);
      slot.set(piece);
      Atomics.store(words, 0, piece.length);
      Atomics.notify(words, 0);
    }
  }
  await emptied();
}

/** The receiver's end. */
export class MailReader {
  readonly #mailbox: SharedArrayBuffer;
  readonly #decoder = new FrameDecoder();

  constructor(mailbox: SharedArrayBuffer) {
    this.#mailbox = mailbox;
  }

  /** Blocks the thread until a whole message is there. Throws `ProtocolError`. */
  next(): HostMessage {
    for (;;) {
      const [message] = this.#decoder.push(takePiece(this.#mailbox));
      if (message !== undefined) return parseHostMessage(message);
    }
  }
}

function takePiece(mailbox: SharedArrayBuffer): Uint8Array {
  const words = new Int32Array(mailbox, 0, 1);
  while (Atomics.load(words, 0) === 0) Atomics.wait(words, 0, 0);
  const piece = new Uint8Array(mailbox, wordBytes, Atomics.load(words, 0)).slice();
  Atomics.store(words, 0, 0);
  return piece;
}
