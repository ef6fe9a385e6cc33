import { fromEnvelope, type Message, toEnvelope } from './envelope.ts';
import { parseJson } from './json.ts';
import { protocolLimits } from './limits.ts';
import { ProtocolError } from './protocol-error.ts';
import { encodeUtf8 } from './text.ts';

/**
 * Messages on a byte stream. A frame is
 *
 *     u32 LE  bytes that follow this number
 *     u32 LE  bytes of JSON
 *     JSON    the envelope, see `envelope.ts`
 *     …       binary parts, back to back; their lengths stand in the envelope
 */
const headerBytes = 8;

/** Chunks up to this size are joined before they are written; larger ones are passed on uncopied. */
const joinBytes = 16 * 1024;

/**
 * One frame as chunks to be written in order. Large parts are not copied: they must not change until they are written.
 * `auth` is a token that only the sender and the receiver know. Throws `ProtocolError` when the frame is too large.
 */
export function encodeFrame(message: Message, options: { auth?: string } = {}): Uint8Array[] {
  const json = encodeUtf8(JSON.stringify(toEnvelope(message, options.auth)));
  const parts = ('parts' in message ? message.parts : undefined) ?? [];
  const total = parts.reduce((sum, part) => sum + part.byteLength, headerBytes + json.length);
  checkLengths(total - 4, json.length);
  if (parts.length > protocolLimits.maxParts) throw new ProtocolError(`frame: ${parts.length} parts`);
  const header = new Uint8Array(headerBytes);
  const view = new DataView(header.buffer);
  view.setUint32(0, total - 4, true);
  view.setUint32(4, json.length, true);
  return join([header, json, ...parts]);
}

function join(pieces: Uint8Array[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let small: Uint8Array[] = [];
  let smallBytes = 0;
  const flush = () => {
    if (smallBytes > 0) chunks.push(concat(small, smallBytes));
    small = [];
    smallBytes = 0;
  };
  for (const piece of pieces) {
    if (piece.byteLength > joinBytes) {
      flush();
      chunks.push(piece);
    } else {
      small.push(piece);
      smallBytes += piece.byteLength;
      if (smallBytes > 4 * joinBytes) flush();
    }
  }
  flush();
  return chunks;
}

function concat(pieces: Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}

function checkLengths(body: number, json: number): void {
  if (body + 4 > protocolLimits.maxFrameBytes) {
    throw new ProtocolError(`frame: ${body + 4} bytes, at most ${protocolLimits.maxFrameBytes}`);
  }
  if (json > protocolLimits.maxJsonBytes) {
    throw new ProtocolError(`frame: ${json} bytes of JSON, at most ${protocolLimits.maxJsonBytes}`);
  }
  if (body < 4 + json) throw new ProtocolError(`frame: ${json} bytes of JSON in a body of ${body}`);
}

/**
 * Bytes in any chunks → flat messages, still to be parsed. Memory follows the bytes that have arrived, never the
 * lengths that a frame claims. After the first failure it stays failed.
 */
export class FrameDecoder {
  readonly #expected: string | undefined;
  /** The frame under way when it spans chunks; it never holds bytes of the next one. */
  #buffer = new Uint8Array(headerBytes);
  #used = 0;
  #frameBytes = 0;
  #auth: string | undefined;
  #failure: ProtocolError | undefined;

  /** With `auth`, frames that carry another token, or none, are refused. */
  constructor(options: { auth?: string } = {}) {
    this.#expected = options.auth;
  }

  /** The token of the latest frame that carried one. */
  get auth(): string | undefined {
    return this.#auth;
  }

  get failure(): ProtocolError | undefined {
    return this.#failure;
  }

  /** True when the bytes so far end in the middle of a frame. */
  get partial(): boolean {
    return this.#used > 0;
  }

  /**
   * The messages that `chunk` completes; the chunk itself may be reused afterwards. Throws `ProtocolError`, but when
   * whole frames came before the bad one it returns those, sets `failure`, and throws from the next call on.
   */
  push(chunk: Uint8Array): unknown[] {
    if (this.#failure !== undefined) throw this.#failure;
    const messages: unknown[] = [];
    try {
      for (let at = 0; at < chunk.length; ) at = this.#take(chunk, at, messages);
    } catch (error) {
      this.#failure =
        error instanceof ProtocolError ? error : new ProtocolError('frame: unreadable', { cause: error });
      this.#buffer = new Uint8Array(0);
      if (messages.length === 0) throw this.#failure;
    }
    return messages;
  }

  /** Reads a step further and returns where it stopped. */
  #take(chunk: Uint8Array, at: number, messages: unknown[]): number {
    if (this.#used === 0 && chunk.length - at >= headerBytes) {
      const end = at + readHeader(chunk, at);
      if (end <= chunk.length) {
        messages.push(this.#decode(chunk.subarray(at, end), false));
        return end;
      }
    }
    const wanted = this.#used < headerBytes ? headerBytes : this.#frameBytes;
    const end = Math.min(chunk.length, at + wanted - this.#used);
    this.#append(chunk.subarray(at, end), wanted);
    if (this.#used === headerBytes) this.#frameBytes = readHeader(this.#buffer, 0);
    if (this.#used >= headerBytes && this.#used === this.#frameBytes) {
      const frame = this.#buffer.subarray(0, this.#used);
      this.#buffer = new Uint8Array(headerBytes);
      this.#used = 0;
      messages.push(this.#decode(frame, true));
    }
    return end;
  }

  #append(bytes: Uint8Array, wanted: number): void {
    const needed = this.#used + bytes.length;
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.min(wanted, Math.max(needed, 2 * this.#buffer.length)));
      grown.set(this.#buffer.subarray(0, this.#used));
      this.#buffer = grown;
    }
    this.#buffer.set(bytes, this.#used);
    this.#used = needed;
  }

  #decode(frame: Uint8Array, owned: boolean): unknown {
    const jsonEnd = headerBytes + view(frame).getUint32(4, true);
    const { message, parts, auth } = fromEnvelope(parseJson(frame.subarray(headerBytes, jsonEnd), 'frame'));
    if (auth !== undefined) this.#auth = auth;
    if (this.#expected !== undefined && auth !== this.#expected)
      throw new ProtocolError('frame: wrong token');
    const lengths = parts ?? [];
    if (lengths.length > protocolLimits.maxParts) throw new ProtocolError(`frame: ${lengths.length} parts`);
    const sum = lengths.reduce((total, length) => total + length, 0);
    if (sum !== frame.length - jsonEnd) {
      throw new ProtocolError(`frame: parts of ${sum} bytes in ${frame.length - jsonEnd}`);
    }
    return parts === undefined ? message : { ...message, parts: split(frame, jsonEnd, lengths, owned) };
  }
}

/**
 * Each part has a buffer of its own, so that it can be transferred alone and a small one does not keep a large frame
 * alive. Only a part that is most of an owned frame stays where it is, and there is at most one of those.
 */
function split(frame: Uint8Array, start: number, lengths: number[], owned: boolean): Uint8Array[] {
  let at = start;
  return lengths.map((length) => {
    const part = frame.subarray(at, at + length);
    at += length;
    return owned && 2 * length > frame.buffer.byteLength ? part : new Uint8Array(part);
  });
}

/** Bytes of the whole frame that starts at `at`. */
function readHeader(bytes: Uint8Array, at: number): number {
  const header = view(bytes);
  const body = header.getUint32(at, true);
  checkLengths(body, header.getUint32(at + 4, true));
  return body + 4;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
