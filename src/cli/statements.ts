import type { Session } from '../session.ts';
import type { LineSource } from './lines.ts';

type Check = (code: string) => ReturnType<Session['check']>;

/** A line of this form is whole by itself, and no Python. */
const magic = /^[%!]/;
/** What goes on with a block although it isn't indented. */
const sameBlock = /^(?:(?:elif|else|except|finally)\b|#)/;
/** Ends with an empty line, or a line that isn't indented, and with nothing else. */
const block = /^(?:@|(?:async|class|def|for|if|try|while|with)\b)/;

const prompts = { first: '>>> ', more: '... ' };

/** Puts lines together to what Python can run. */
export class Statements {
  readonly #lines: LineSource;
  readonly #check: Check;
  /** Belongs to the next one. */
  #left: string | undefined;

  constructor(lines: LineSource, check: Check) {
    this.#lines = lines;
    this.#check = check;
  }

  /** Undefined when there are no more. */
  async next(): Promise<string | undefined> {
    let code: string | undefined;
    for (;;) {
      const text = await this.#line(code === undefined ? prompts.first : prompts.more);
      if (text === 'dropped') code = undefined;
      else if (text === undefined) return code === undefined ? undefined : `${code}\n`;
      else if (code === undefined) {
        if (text.line.trim() === '') continue;
        if (magic.test(text.line) || !(await this.#isOpen(text.line))) return text.line;
        code = text.line;
      } else if (await this.#endsBefore(text.line, code)) {
        this.#left = text.line;
        return `${code}\n`;
      } else {
        code = `${code}\n${text.line}`;
        if (!(await this.#isOpen(code))) return code;
      }
    }
  }

  async #line(prompt: string): Promise<{ line: string } | 'dropped' | undefined> {
    if (this.#left !== undefined) {
      const line = this.#left;
      this.#left = undefined;
      return { line };
    }
    const line = await this.#lines.next(prompt);
    if (line.kind === 'line') return { line: line.text };
    return line.kind === 'dropped' ? 'dropped' : undefined;
  }

  /** Whether more lines are to come. */
  async #isOpen(code: string): Promise<boolean> {
    const last = code.slice(code.lastIndexOf('\n') + 1);
    const isMore = code.includes('\n');
    if (isMore && (last.trim() === '' || block.test(code))) {
      // What is there already tells it without Python.
      const next = await this.#lines.peek();
      if (next !== undefined) {
        if (last.trim() === '' && (/^\s|^$/.test(next) || sameBlock.test(next))) return true;
        if (/^\s+\S/.test(last)) return true;
      }
    }
    // Spaces alone are an empty line.
    return (await this.#check(code.replace(/\n[ \t]+$/, '\n'))) === 'incomplete';
  }

  /** A line that isn't indented ends a block that could end there. */
  async #endsBefore(line: string, code: string): Promise<boolean> {
    if (!block.test(code) || code.endsWith('\\') || line === '' || /^\s/.test(line) || sameBlock.test(line))
      return false;
    return (await this.#check(`${code}\n`)) !== 'incomplete';
  }
}
