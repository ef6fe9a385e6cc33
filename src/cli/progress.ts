import { clearLine, cursorTo } from 'node:readline';
import type { Writable } from 'node:stream';
import { styleText } from 'node:util';
import type { Progress } from '../runtime.ts';
import { formatBytes } from './values.ts';

/** A terminal, or what stands for one in tests. */
export interface Screen extends Writable {
  columns?: number;
}

export interface ProgressBarOptions {
  /** Nothing is shown before: most starts are over by then. Default 300. */
  delayMs?: number;
  now?: () => number;
}

const barWidth = 20;
const redrawMs = 50;

/**
 * One line on a terminal: stage, bar, bytes. It appears when the work takes longer than `delayMs`, and leaves no trace.
 */
export class ProgressBar {
  readonly #screen: Screen;
  readonly #now: () => number;
  readonly #showAt: number;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #visible = false;
  #stopped = false;

  constructor(screen: Screen, options: ProgressBarOptions = {}) {
    this.#screen = screen;
    this.#now = options.now ?? (() => performance.now());
    this.#showAt = this.#now() + (options.delayMs ?? 300);
  }

  update(progress: Progress): void {
    const now = this.#now();
    if (this.#stopped || now < this.#showAt || now - this.#drawnAt < redrawMs) return;
    this.#drawnAt = now;
    this.#visible = true;
    cursorTo(this.#screen, 0);
    this.#screen.write(this.#line(progress));
    clearLine(this.#screen, 1);
  }

  /** Wipes the line, for good. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    if (!this.#visible) return;
    cursorTo(this.#screen, 0);
    clearLine(this.#screen, 0);
  }

  #line({ stage, done, total, message }: Progress): string {
    // A stage of one step has no share to show.
    const known = total > 1;
    const filled = known ? Math.round(Math.min(1, done / total) * barWidth) : 0;
    const bar = known ? `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}` : '';
    const amount = known ? formatShare(done, total) : '';
    const room = (this.#screen.columns ?? 80) - stage.length - bar.length - amount.length - 4;
    const tail = room > 4 ? message.slice(0, room) : '';
    const paint = (style: 'cyan' | 'dim', text: string) => styleText(style, text, { stream: this.#screen });
    return [paint('cyan', stage), bar, amount, paint('dim', tail)].filter((part) => part !== '').join(' ');
  }
}

/** Large totals are bytes; small ones are steps. */
function formatShare(done: number, total: number): string {
  return total < 1000 ? `${done} of ${total}` : `${formatBytes(done)} of ${formatBytes(total)}`;
}
