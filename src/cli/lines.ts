import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

/** `dropped`: Ctrl-C, with what was typed so far. */
export type Line = { kind: 'line'; text: string } | { kind: 'dropped' } | { kind: 'end' };

/** Where what is entered comes from, line by line. */
export interface LineSource {
  next(prompt: string): Promise<Line>;
  /** The line that follows, which stays. Undefined at the end, and as long as it hasn't been typed. */
  peek(): Promise<string | undefined>;
  /** Ctrl-C: of what waits for a line, or will. */
  drop(): void;
  /** A run has the terminal, until the next line is asked for. False: Ctrl-C has come before. */
  rest(): boolean;
  close(): void;
}

/** A file or a pipe. */
export class PipedLines implements LineSource {
  readonly #lines: AsyncIterator<string>;
  #ahead: Promise<IteratorResult<string>> | undefined;

  constructor(input: Readable) {
    this.#lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]();
  }

  async next(): Promise<Line> {
    const { done, value } = await this.#look();
    if (done) return { kind: 'end' };
    this.#ahead = undefined;
    return { kind: 'line', text: value };
  }

  async peek(): Promise<string | undefined> {
    const { done, value } = await this.#look();
    return done ? undefined : value;
  }

  #look(): Promise<IteratorResult<string>> {
    this.#ahead ??= this.#lines.next();
    return this.#ahead;
  }

  drop(): void {}

  rest(): boolean {
    return true;
  }

  close(): void {}
}
