import type { OutputMessage } from '../protocol/messages.ts';

/** A tail of output waits at most this long for more, while Python computes. */
const batchMs = 10;
const batchBytes = 64 * 1024;

type StreamName = 'stdout' | 'stderr';

/**
 * Collects what Python writes to stdout and stderr into messages: in order over both streams, byte-exact, batched by
 * time and size, and cut at the run's limit.
 */
export class Output {
  readonly #post: (message: OutputMessage) => void;
  #id = '';
  #stream: StreamName = 'stdout';
  #pending = new Uint8Array(batchBytes);
  #length = 0;
  #postedAt = 0;
  #budget = 0;
  readonly truncated: { stdout: boolean; stderr: boolean; results: boolean } = {
    stdout: false,
    stderr: false,
    results: false,
  };

  constructor(post: (message: OutputMessage) => void) {
    this.#post = post;
  }

  begin(id: string, maxBytes: number): void {
    this.#id = id;
    this.#length = 0;
    this.#postedAt = 0;
    this.#budget = maxBytes;
    this.truncated.stdout = this.truncated.stderr = this.truncated.results = false;
  }

  write(stream: StreamName, bytes: Uint8Array): void {
    let rest = bytes;
    if (rest.length > this.#budget) {
      rest = rest.subarray(0, this.#budget);
      this.truncated[stream] = true;
    }
    this.#budget -= rest.length;
    if (stream !== this.#stream) {
      this.flush();
      this.#stream = stream;
    }
    while (rest.length > 0) {
      const room = Math.min(rest.length, batchBytes - this.#length);
      this.#pending.set(rest.subarray(0, room), this.#length);
      this.#length += room;
      rest = rest.subarray(room);
      if (this.#length === batchBytes) this.flush();
    }
    this.visit(performance.now());
  }

  /** Takes `bytes` of the output limit for a display; false when there is no room for it. */
  charge(bytes: number): boolean {
    if (bytes > this.#budget) {
      this.truncated.results = true;
      return false;
    }
    this.#budget -= bytes;
    return true;
  }

  visit(now: number): void {
    if (this.#length > 0 && now - this.#postedAt >= batchMs) this.flush();
  }

  flush(): void {
    if (this.#length === 0) return;
    const bytes = this.#pending.slice(0, this.#length);
    this.#length = 0;
    this.#postedAt = performance.now();
    this.#post({ kind: this.#stream, id: this.#id, parts: [bytes] });
  }
}
