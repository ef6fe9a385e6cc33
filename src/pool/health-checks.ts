import type { WorkerHealth } from '../runtime.ts';
import type { Timer } from '../util/clock.ts';
import type { PoolContext } from './context.ts';
import type { Slot } from './slot.ts';

/** Pings live workers, idle and busy, now and then or when asked, and has those replaced that are silent or hold too much memory. */
export class HealthChecks {
  readonly #context: PoolContext;
  readonly #live: () => Slot[];
  #timer: Timer | undefined;
  #ended = false;

  constructor(context: PoolContext, live: () => Slot[]) {
    this.#context = context;
    this.#live = live;
  }

  /** To be called when there are live workers; the checks end with the last of them. */
  schedule(): void {
    const { clock, options } = this.#context;
    if (this.#timer || this.#ended || options.healthCheckIntervalMs === 0) return;
    const check = async () => {
      await this.checkAll();
      this.#timer = undefined;
      if (this.#live().length > 0) this.schedule();
    };
    this.#timer = clock.setTimeout(() => void check(), options.healthCheckIntervalMs, { unref: true });
  }

  end(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }

  checkAll(): Promise<WorkerHealth[]> {
    return Promise.all(this.#live().map((slot) => this.#check(slot)));
  }

  async #check(slot: Slot): Promise<WorkerHealth> {
    const { clock, options, telemetry } = this.#context;
    const startedAt = clock.now();
    const answers = await slot.ping(options.healthCheckTimeoutMs);
    const excess = answers ? await slot.excess() : undefined;
    const healthy = answers && !excess;
    const health = { ...slot.identity, healthy, ms: clock.now() - startedAt };
    telemetry.emit({ type: 'health', ...health });
    const message = `The worker did not answer a health check for ${options.healthCheckTimeoutMs} ms and was killed.`;
    if (!healthy && slot.live) slot.abandon(excess ?? { code: 'crashed', reason: 'unhealthy', message });
    return health;
  }
}
