import type { Usage, Worker } from '../engines/engine.ts';
import type { Clock, Timer } from '../util/clock.ts';
import { whatStopped } from './execution.ts';
import type { Job, SlotLoss } from './job.ts';

/** How far beyond its limit a worker gets is what it can take in this time. Runs that end sooner cost a timer. */
const intervalMs = 25;
/** The kernel counts one thread's time, and holds a run to it; the process also compiles and collects garbage. */
const cpuFactor = 2;
const cpuSlackMs = 1000;
/** A kernel that idles collects its garbage, and V8 compiles what was hot: measured, all is done after a second. */
const restMs = 500;
const restIntervalMs = 1500;
/** Between two looks at an idle worker. A health check takes some milliseconds. */
const idleCpuMs = 250;

const mebibyte = 2 ** 20;

/**
 * Looks at what a worker's whole place uses, as the system counts it, from the start of its first run: memory that isn't
 * Python's own, and processor time that a kernel no longer counts honestly. That a run has ended is only what the
 * kernel says, so it goes on, slowly, while the worker idles.
 */
export class Watchdog {
  readonly #worker: Pick<Worker, 'usage'>;
  readonly #clock: Clock;
  readonly #maxResidentBytes: number;
  readonly #bite: (loss: SlotLoss) => void;
  #timer: Timer | undefined;
  #watching: Watching | undefined;

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

  /** It runs. */
  watch(job: Job): void {
    let before: number | undefined;
    this.#start({
      everyMs: intervalMs,
      cpuLoss(cpuMs) {
        before ??= cpuMs;
        return runLoss(cpuMs - before, job);
      },
    });
  }

  /** It does something for the host. */
  work(): void {
    this.#start({ everyMs: intervalMs, cpuLoss: () => undefined });
  }

  /** It says that it's clean. */
  rest(): void {
    let before: number | undefined;
    this.#start({
      firstMs: restMs,
      everyMs: restIntervalMs,
      cpuLoss(cpuMs) {
        const used = cpuMs - (before ?? cpuMs);
        before = cpuMs;
        return used > idleCpuMs ? idleLoss(used) : undefined;
      },
    });
  }

  /** It is on its way out. */
  end(): void {
    this.#watching = undefined;
    this.#timer?.cancel();
  }

  #start(watching: Watching): void {
    this.end();
    this.#watching = watching;
    this.#schedule(watching, watching.firstMs);
  }

  #schedule(watching: Watching, ms: number = watching.everyMs): void {
    this.#timer = this.#clock.setTimeout(() => void this.#look(watching), ms, { unref: true });
  }

  async #look(watching: Watching): Promise<void> {
    let usage: Usage | null | undefined;
    try {
      usage = await this.#worker.usage();
    } catch {
      // It isn't known this time: whether that lasts is for deadlines and health checks to find out.
    }
    if (this.#watching !== watching || usage === null) return;
    const loss = usage && (memoryLoss(usage, this.#maxResidentBytes) ?? watching.cpuLoss(usage.cpuMs));
    if (loss) this.#bite(loss);
    else this.#schedule(watching);
  }
}

interface Watching {
  readonly firstMs?: number;
  readonly everyMs: number;
  /** Why it has to go with so much processor time used since its start, if it has. */
  cpuLoss(cpuMs: number): SlotLoss | undefined;
}

function runLoss(used: number, { limits, unpackMs, settled }: Job): SlotLoss | undefined {
  if (settled || used <= cpuFactor * (limits.cpuMs + unpackMs) + cpuSlackMs) return undefined;
  const message = `${whatStopped(limits, 'cpu')} The code's worker went on to ${Math.floor(used)} ms and was killed.`;
  return { code: 'timeout', message };
}

function idleLoss(used: number): SlotLoss {
  const message = `The worker used ${Math.floor(used)} ms of processor time while it had nothing to do, and was killed.`;
  return { code: 'crashed', reason: 'unhealthy', message };
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
