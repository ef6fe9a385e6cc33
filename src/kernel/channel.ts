/**
 * Frames between the kernel and the Python harness, over two devices of Emscripten's file system: no JavaScript object
 * is ever handed to Python. `u32 LE body length | u32 LE JSON length | JSON | parts`, the JSON with `parts: [length…]`.
 */

export interface HarnessFrame {
  json: Record<string, unknown>;
  parts: Uint8Array[];
}

export class ChannelError extends Error {
  override readonly name = 'ChannelError';
}

export function encodeHarnessFrame(json: Record<string, unknown>, parts: readonly Uint8Array[]): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify({ ...json, parts: parts.map((part) => part.length) }));
  const size = parts.reduce((sum, part) => sum + part.length, 4 + text.length);
  const frame = new Uint8Array(4 + size);
  const view = new DataView(frame.buffer);
  view.setUint32(0, size, true);
  view.setUint32(4, text.length, true);
  frame.set(text, 8);
  let offset = 8 + text.length;
  for (const part of parts) {
    frame.set(part, offset);
    offset += part.length;
  }
  return frame;
}

/** Collects what the harness writes. Hostile code can write there too: everything is checked. */
export class HarnessReader {
  readonly #onFrame: (frame: HarnessFrame) => void;
  #buffer = new Uint8Array(16 * 1024);
  #length = 0;
  #maxBytes = 0;

  constructor(onFrame: (frame: HarnessFrame) => void) {
    this.#onFrame = onFrame;
  }

  begin(maxBytes: number): void {
    this.#length = 0;
    this.#maxBytes = maxBytes;
    if (this.#buffer.length > 1024 * 1024) this.#buffer = new Uint8Array(16 * 1024);
  }

  /** Whether part of a frame is waiting for its rest. */
  get incomplete(): boolean {
    return this.#length > 0;
  }

  push(chunk: Uint8Array): void {
    const needed = this.#length + chunk.length;
    if (needed > this.#maxBytes + 8) throw new ChannelError('frame is larger than the limits of its run');
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
      grown.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = grown;
    }
    this.#buffer.set(chunk, this.#length);
    this.#length = needed;
    let start = 0;
    for (;;) {
      const left = this.#length - start;
      if (left < 4) break;
      const size = new DataView(this.#buffer.buffer, start).getUint32(0, true);
      if (size > this.#maxBytes) throw new ChannelError('frame is larger than the limits of its run');
      if (left < 4 + size) break;
      this.#onFrame(decode(this.#buffer.subarray(start + 4, start + 4 + size)));
      start += 4 + size;
    }
    if (start > 0) {
      this.#buffer.copyWithin(0, start, this.#length);
      this.#length -= start;
    }
  }
}

function decode(body: Uint8Array): HarnessFrame {
  if (body.length < 4) throw new ChannelError('frame is too short');
  const jsonLength = new DataView(body.buffer, body.byteOffset).getUint32(0, true);
  if (4 + jsonLength > body.length) throw new ChannelError('frame has an impossible length');
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(body.subarray(4, 4 + jsonLength)));
  } catch (cause) {
    throw new ChannelError('frame is not JSON', { cause });
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new ChannelError('frame is not an object');
  }
  const record = json as Record<string, unknown>;
  const lengths = record.parts;
  if (!Array.isArray(lengths)) throw new ChannelError('frame has no parts');
  const parts: Uint8Array[] = [];
  let offset = 4 + jsonLength;
  for (const length of lengths as unknown[]) {
    if (
      !Number.isSafeInteger(length) ||
      (length as number) < 0 ||
      offset + (length as number) > body.length
    ) {
      throw new ChannelError('frame has an impossible part');
    }
    parts.push(body.slice(offset, offset + (length as number)));
    offset += length as number;
  }
  if (offset !== body.length) throw new ChannelError('frame and its parts disagree');
  return { json: record, parts };
}
