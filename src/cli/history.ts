import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import envPaths from 'env-paths';

/** Lines that are remembered. */
export const historyLines = 1000;
/** A file that has so many is cut to the newest. */
const mostLines = 2 * historyLines;
const mostBytes = 2 ** 20;
/** What was typed may be a secret. */
const mode = 0o600;

/** The lines that were typed at prompts, of this user. */
export class History {
  readonly #path: string;
  #last: string | undefined;
  /** Why it isn't kept. */
  #problem: string | undefined;

  constructor(path: string = join(envPaths('vivarium', { suffix: '' }).data, 'repl_history')) {
    this.#path = path;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  /** The newest first. */
  read(): string[] {
    const lines = this.#attempt(() => this.#read()) ?? [];
    this.#last = lines.at(-1);
    return lines.slice(-historyLines).reverse();
  }

  #read(): string[] {
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    // Made when it isn't there, and nobody else's to read.
    appendFileSync(this.#path, '', { mode });
    chmodSync(this.#path, mode);
    const text = readFileSync(this.#path, 'utf8');
    const lines = text.split('\n').filter((line) => line !== '');
    if (lines.length <= mostLines && text.length <= mostBytes) return lines;
    const kept = lines.slice(-historyLines).filter((line) => line.length <= mostBytes / historyLines);
    const temporary = `${this.#path}.${process.pid}`;
    try {
      writeFileSync(temporary, kept.map((line) => `${line}\n`).join(''), { mode, flag: 'wx' });
      renameSync(temporary, this.#path);
    } finally {
      rmSync(temporary, { force: true });
    }
    return kept;
  }

  /** At once: another prompt may be open, and this one may be ended by force. */
  add(line: string): void {
    if (line.trim() === '' || line === this.#last || this.#problem !== undefined) return;
    this.#last = line;
    this.#attempt(() => appendFileSync(this.#path, `${line}\n`, { mode }));
  }

  /** A prompt without a history is still one. */
  #attempt<T>(action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : String(error);
      return undefined;
    }
  }
}
