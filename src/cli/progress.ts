import { clearLine, cursorTo } from 'node:readline';
import type { Writable } from 'node:stream';
import { styleText } from 'node:util';
import type { Progress } from '../runtime.ts';
import { type Clock, systemClock, type Timer } from '../util/clock.ts';
import { printable } from './table.ts';
import { formatBytes } from './values.ts';

/** A terminal, or what stands for one in tests. */
export interface Screen extends Writable {
  columns?: number;
}

export interface ProgressBarOptions {
  /** Nothing is shown before: most starts are over by then. Default 300. */
  delayMs?: number;
  clock?: Clock;
}

const barWidth = 20;
const redrawMs = 100;

/**
 * One line on a terminal: stage, bar, bytes, seconds. It appears when the work takes longer than `delayMs`, and leaves
 * no trace.
 */
export class ProgressBar {
  readonly #screen: Screen;
  readonly #clock: Clock;
  readonly #startedAt: number;
  #timer: Timer;
  #latest: Progress | undefined;
  #visible = false;
  #stopped = false;

  constructor(screen: Screen, options: ProgressBarOptions = {}) {
    this.#screen = screen;
    this.#clock = options.clock ?? systemClock;
    this.#startedAt = this.#clock.now();
    this.#timer = this.#drawIn(options.delayMs ?? 300);
  }

  /** What is shown from the next drawing on. */
  update(progress: Progress): void {
    this.#latest = progress;
  }

  #drawIn(ms: number): Timer {
    return this.#clock.setTimeout(() => this.#draw(), ms, { unref: true });
  }

  #draw(): void {
    this.#timer = this.#drawIn(redrawMs);
    if (this.#latest === undefined) return;
    this.#visible = true;
    cursorTo(this.#screen, 0);
    this.#screen.write(this.#line(this.#latest));
    clearLine(this.#screen, 1);
  }

  /** Wipes the line, for good. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#timer.cancel();
    if (!this.#visible) return;
    cursorTo(this.#screen, 0);
    clearLine(this.#screen, 0);
  }

  #line({ stage, done, total, message }: Progress): string {
    // A stage of one step has no share to show.
    const known = total > 1;
    const filled = known ? Math.round(Math.min(1, done / total) * barWidth) : 0;
    const bar = known ? `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}` : '';
    // Nothing to count yet, or ever: the message tells.
    const amount =
      total === 0
        ? done === 0
          ? ''
          : formatAmount(done)
        : known
          ? `${formatAmount(done)} of ${formatAmount(total)}`
          : '';
    const seconds = `${((this.#clock.now() - this.#startedAt) / 1000).toFixed(1)}s`;
    const used = stage.length + bar.length + amount.length + seconds.length + 5;
    const room = (this.#screen.columns || 80) - used;
    const tail = room > 4 ? printable(message.slice(0, room)) : '';
    const paint = (style: 'cyan' | 'dim', text: string) => styleText(style, text, { stream: this.#screen });
    const parts = [paint('cyan', stage), bar, amount, tail === '' ? '' : paint('dim', tail), seconds];
    return parts.filter((part) => part !== '').join(' ');
  }
}

/** Large numbers are bytes; small ones are steps. */
function formatAmount(amount: number): string {
  return amount < 1000 ? String(amount) : formatBytes(amount);
}
