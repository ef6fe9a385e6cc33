import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Completion } from '../session.ts';
import type { Line, LineSource } from './lines.ts';

/** Python's own step. */
const indent = '    ';

/** A terminal that is typed at. */
export interface Keyboard extends Readable {
  setRawMode?(raw: boolean): unknown;
}

export interface TerminalOptions {
  input: Keyboard;
  /** Where the prompts are shown. */
  output: Writable;
  /** Former lines, the newest first. */
  history: readonly string[];
  historySize: number;
  complete(line: string): Promise<Completion>;
  /** Each line that was entered. */
  onLine(line: string): void;
}

/** Lines with an editor, a history and completion: those of Node. */
export class TerminalLines implements LineSource {
  readonly #input: Keyboard;
  readonly #output: Writable;
  readonly #readline: Interface;
  /** Entered, and not asked for as yet: a paste has many. */
  readonly #entered: string[] = [];
  #waiting: ((line: Line) => void) | undefined;
  #dropped = false;
  #ended = false;

  constructor({ input, output, history, historySize, complete, onLine }: TerminalOptions) {
    this.#input = input;
    this.#output = output;
    this.#readline = createInterface({
      input,
      output,
      terminal: true,
      history: [...history],
      historySize,
      completer: completer(complete),
    });
    this.#readline.on('line', (line) => {
      onLine(line);
      this.#entered.push(line);
      this.#give();
    });
    this.#readline.on('SIGINT', () => this.drop());
    this.#readline.on('close', () => {
      if (this.#waiting) this.#output.write('\n');
      this.#ended = true;
      this.#give();
    });
  }

  next(prompt: string): Promise<Line> {
    const { promise, resolve } = Promise.withResolvers<Line>();
    this.#waiting = resolve;
    if (!this.#give()) {
      this.#input.setRawMode?.(true);
      this.#readline.setPrompt(prompt);
      this.#readline.prompt();
    }
    return promise;
  }

  async peek(): Promise<string | undefined> {
    return this.#entered[0];
  }

  /** Python's prompt leaves what was typed where it is, and begins anew. */
  drop(): void {
    this.#entered.length = 0;
    const isFirst = !this.#dropped;
    this.#dropped = true;
    if (!this.#waiting) {
      if (isFirst) this.#output.write('KeyboardInterrupt\n');
      return;
    }
    this.#readline.write(null, { ctrl: true, name: 'e' });
    this.#output.write('\nKeyboardInterrupt\n');
    this.#readline.setPrompt('');
    this.#readline.write(null, { ctrl: true, name: 'u' });
    this.#give();
  }

  /** Keys are the terminal's again: Ctrl-C is a signal, and what is typed waits. */
  rest(): boolean {
    if (this.#dropped) return false;
    if (this.#ended) return true;
    this.#readline.pause();
    this.#input.setRawMode?.(false);
    return true;
  }

  close(): void {
    this.#readline.close();
  }

  /** Whether there was a line, or the end, for who waits. */
  #give(): boolean {
    const waiting = this.#waiting;
    if (!waiting || (this.#entered.length === 0 && !this.#ended && !this.#dropped)) return false;
    this.#waiting = undefined;
    if (this.#dropped) {
      this.#dropped = false;
      waiting({ kind: 'dropped' });
      return true;
    }
    const text = this.#entered.shift();
    waiting(text === undefined ? { kind: 'end' } : { kind: 'line', text });
    return true;
  }
}

type Completed = [matches: string[], word: string];

function completer(complete: TerminalOptions['complete']) {
  return (line: string, done: (error: Error | null, completed: Completed) => void): void => {
    if (line.trim() === '') {
      done(null, [[indent], '']);
      return;
    }
    complete(line).then(
      ({ word, matches }) => done(null, [[...matches], word]),
      () => done(null, [[], line]),
    );
  };
}
