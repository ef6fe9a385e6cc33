import type { RuntimeEvent, RuntimeStats } from '../runtime.ts';
import { attempt, Listeners } from './listeners.ts';
import type { Logger } from './runtime-options.ts';

export type Counters = Omit<RuntimeStats, 'status' | 'workers' | 'queued' | 'running' | 'residents'>;

/** Counts what happens, tells it to listeners, and logs what an operator wants to read. */
export class Telemetry {
  readonly counters: Counters = {
    started: 0,
    completed: 0,
    failed: 0,
    timeouts: 0,
    interrupted: 0,
    crashes: 0,
    rejected: 0,
    boots: 0,
    bootFailures: 0,
    restarts: 0,
    recycled: 0,
    rewinds: 0,
    healthChecks: 0,
    thaws: 0,
    freezes: 0,
  };
  readonly #logger: Logger | undefined;
  readonly listeners: Listeners;

  constructor(logger: Logger | undefined) {
    this.#logger = logger;
    this.listeners = new Listeners(logger);
  }

  emit(event: RuntimeEvent): void {
    this.#count(event);
    attempt(() => this.#log(event));
    this.listeners.tell(event);
  }

  #count(event: RuntimeEvent): void {
    const { counters } = this;
    if (event.type === 'worker:start') counters.boots++;
    else if (event.type === 'worker:boot_failed') counters.bootFailures++;
    else if (event.type === 'worker:restart') counters.restarts++;
    else if (event.type === 'worker:recycle') counters.recycled++;
    else if (event.type === 'health') counters.healthChecks++;
    else if (event.type === 'session:thaw') counters.thaws++;
    else if (event.type === 'session:freeze') counters.freezes++;
  }

  #log(event: RuntimeEvent): void {
    const logger = this.#logger;
    if (!logger) return;
    if (event.type === 'worker:start') {
      logger.info({ worker: event.worker, pid: event.pid, ms: event.bootMs }, 'worker started');
    } else if (event.type === 'worker:restart') {
      const { worker, pid, ms, reason } = event;
      logger.warn({ worker, pid, ms, reason }, `worker replaced: ${reason}`);
    } else if (event.type === 'worker:recycle') {
      const { worker, pid, ms, reason } = event;
      logger.info({ worker, pid, ms, reason }, `worker recycled: ${reason}`);
    } else if (event.type === 'worker:boot_failed') {
      const { error, attempt, retryInMs } = event;
      logger.warn({ error, attempt, retryInMs }, 'worker did not start');
    } else if (event.type === 'circuit') {
      if (event.open) logger.error({ error: event.error }, 'workers do not start: runs are refused');
      else logger.info({}, 'workers start again');
    } else if (event.type === 'warning') {
      logger.warn({}, event.message);
    } else if (event.type === 'session:lost') {
      const { session, tenant, revision, error } = event;
      logger.warn({ session, tenant, revision, error }, `session is back at revision ${revision}`);
    }
  }
}
