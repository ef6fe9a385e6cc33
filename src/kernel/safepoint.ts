import type { StopReason } from '../protocol/messages.ts';
import { signalWords, stopReasonOf } from '../protocol/signals.ts';
import type { PyodideModule } from './pyodide-internals.ts';

const SIGINT = 2;
/** After a stop, Python gets another KeyboardInterrupt at this distance if it swallowed the one before. */
const repeatMs = 50;

/**
 * Python's evaluation loop reads `Py_EmscriptenSignalBuffer[0]` every few thousand byte codes. An accessor there turns
 * that into the kernel's safe point: deadlines are checked, output that is due goes out, and a non-zero answer raises
 * `KeyboardInterrupt`. C code that runs long has no safe points: the host's grace period and kill are for that.
 */
export class SafePoint {
  readonly #signals: Int32Array;
  readonly #onVisit: (now: number) => void;
  #deadline = Number.POSITIVE_INFINITY;
  #busyLimitMs = Number.POSITIVE_INFINITY;
  #startedAt = 0;
  #sleptMs = 0;
  #repeatAt = 0;
  #active = false;
  stopped: StopReason | null = null;

  constructor(signals: Int32Array, onVisit: (now: number) => void) {
    this.#signals = signals;
    this.#onVisit = onVisit;
  }

  install(module: PyodideModule): void {
    const visit = (): number => this.visit();
    module.Py_EmscriptenSignalBuffer = {
      get 0(): number {
        return visit();
      },
      // Python clears the word after each look.
      set 0(_value: number) {},
    };
    module.HEAP8[module._Py_EMSCRIPTEN_SIGNAL_HANDLING] = 1;
  }

  /** Clears no interrupt that has come already: that is for the thread that sends them, before it hands over a run. */
  begin(timeoutMs: number, cpuMs: number): void {
    this.stopped = null;
    this.#repeatAt = 0;
    this.#startedAt = performance.now();
    this.#sleptMs = 0;
    this.#deadline = timeoutMs > 0 ? this.#startedAt + timeoutMs : Number.POSITIVE_INFINITY;
    this.#busyLimitMs = cpuMs > 0 ? cpuMs : Number.POSITIVE_INFINITY;
    this.#active = true;
  }

  /** Wall time of the run, and the part of it that its thread did not sleep: no engine has a clock for a thread. */
  end(): { runMs: number; cpuMs: number } {
    this.#active = false;
    const runMs = performance.now() - this.#startedAt;
    return { runMs, cpuMs: runMs - this.#sleptMs };
  }

  visit(): number {
    if (!this.#active) return 0;
    const now = performance.now();
    this.#onVisit(now);
    this.#look(now);
    if (this.stopped === null || now < this.#repeatAt) return 0;
    this.#repeatAt = now + repeatMs;
    return SIGINT;
  }

  /** Blocks the thread at most `ms`, and returns early when the run is to stop. */
  sleep(ms: number): void {
    const now = performance.now();
    // While the thread sleeps nothing else comes: all output is due.
    this.#onVisit(Number.POSITIVE_INFINITY);
    this.#look(now);
    if (this.stopped !== null || !(ms > 0)) return;
    const wait = Math.min(ms, this.#deadline - now);
    if (wait <= 0) return;
    Atomics.wait(this.#signals, signalWords.interrupt, 0, wait);
    this.#sleptMs += performance.now() - now;
  }

  /** Does what the run waits for; it isn't charged for that time. */
  uncharged<T>(work: () => T): T {
    const started = performance.now();
    this.#onVisit(Number.POSITIVE_INFINITY);
    try {
      return work();
    } finally {
      const ms = performance.now() - started;
      this.#startedAt += ms;
      this.#deadline += ms;
    }
  }

  #look(now: number): void {
    if (this.stopped !== null) return;
    const code = Atomics.load(this.#signals, signalWords.interrupt);
    if (code !== 0) this.stopped = stopReasonOf(code);
    else if (now >= this.#deadline) this.stopped = 'timeout';
    else if (now - this.#startedAt - this.#sleptMs >= this.#busyLimitMs) this.stopped = 'cpu';
  }
}
