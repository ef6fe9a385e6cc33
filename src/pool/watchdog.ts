import type { Usage, Worker } from '../engines/engine.ts';
import type { Clock, Timer } from '../util/clock.ts';
import { whatStopped } from './execution.ts';
import type { Job, SlotLoss } from './job.ts';

/** How far beyond its limit a worker gets is what it can take in this time. Runs that end sooner cost a timer. */
const intervalMs = 25;
/** The kernel counts one thread's time, and holds a run to it; the process also compiles and collects garbage. */
const cpuFactor = 2;
const cpuSlackMs = 1000;

const mebibyte = 2 ** 20;

/**
 * Looks at what a worker's whole place uses, as the system counts it, from the start of a run until it's clean again:
 * memory that isn't Python's own, and processor time that a kernel no longer counts honestly.
 */
export class Watchdog {
  readonly #worker: Pick<Worker, 'usage'>;
  readonly #clock: Clock;
  readonly #maxResidentBytes: number;
  readonly #bite: (loss: SlotLoss) => void;
  #timer: Timer | undefined;
  #job: Job | undefined;
  /** Processor time at the first look. */
  #cpuBefore: number | undefined;

  constructor(
    worker: Pick<Worker, 'usage'>,
    clock: Clock,
    maxResidentBytes: number,
    bite: (loss: SlotLoss) => void,
  ) {
    this.#worker = worker;
    this.#clock = clock;
    this.#maxResidentBytes = maxResidentBytes;
    this.#bite = bite;
  }

  watch(job: Job): void {
    this.#job = job;
    this.#cpuBefore = undefined;
    this.#schedule(job);
  }

  /** The worker is clean, or on its way out. */
  end(): void {
    this.#job = undefined;
    this.#timer?.cancel();
  }

  #schedule(job: Job): void {
    this.#timer = this.#clock.setTimeout(() => void this.#look(job), intervalMs, { unref: true });
  }

  async #look(job: Job): Promise<void> {
    let usage: Usage | null | undefined;
    try {
      usage = await this.#worker.usage();
    } catch {
      // It didn't answer this time: whether that lasts is for deadlines and health checks to find out.
    }
    if (this.#job !== job || usage === null) return;
    const loss = usage && (memoryLoss(usage, this.#maxResidentBytes) ?? this.#cpuLoss(usage, job));
    if (loss) this.#bite(loss);
    else this.#schedule(job);
  }

  #cpuLoss({ cpuMs }: Usage, { limits, unpackMs, settled }: Job): SlotLoss | undefined {
    this.#cpuBefore ??= cpuMs;
    const used = cpuMs - this.#cpuBefore;
    if (settled || used <= cpuFactor * (limits.cpuMs + unpackMs) + cpuSlackMs) return undefined;
    const message = `${whatStopped(limits, 'cpu')} The code's worker went on to ${Math.floor(used)} ms and was killed.`;
    return { code: 'timeout', message };
  }
}

/** Why a worker that uses so much has to go, if it has. */
export function memoryLoss({ residentBytes }: Usage, maxResidentBytes: number): SlotLoss | undefined {
  if (residentBytes <= maxResidentBytes) return undefined;
  const [held, limit] = [Math.ceil(residentBytes / mebibyte), Math.floor(maxResidentBytes / mebibyte)];
  const message =
    `The code made its worker hold ${held} MiB of memory, more than the ${limit} MiB allowed: the worker was killed, and ` +
    'what the code had left in it is lost. Let the code hold less at a time, or raise maxResidentBytes.';
  return { code: 'memory', message };
}
