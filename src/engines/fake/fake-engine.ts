import { WorkerError } from '../../errors/errors.ts';
import { stdlibImage } from '../../packages/image-source.ts';
import type { Clock } from '../../util/clock.ts';
import type { Engine, StartOptions, Worker } from '../engine.ts';
import type { FakeScript } from './fake-script.ts';
import { FakeWorker } from './fake-worker.ts';

/** An engine without Python: a script says what workers do, and all time is its clock's. */
export class FakeEngine implements Engine {
  readonly kind = 'fake';
  /** Every worker that has booted, also those that are gone. */
  readonly workers: FakeWorker[] = [];
  /** What each boot was started with. */
  readonly starts: StartOptions[] = [];
  disposed = false;
  readonly #script: FakeScript;
  readonly #clock: Clock;

  constructor(script: FakeScript, clock: Clock) {
    this.#script = script;
    this.#clock = clock;
  }

  /** Every run that its workers took. */
  get runs(): FakeWorker['runs'][number][] {
    return this.workers.flatMap((worker) => worker.runs);
  }

  /** Workers that are there now. */
  get alive(): FakeWorker[] {
    return this.workers.filter((worker) => worker.alive);
  }

  async start(options: StartOptions): Promise<Worker> {
    this.starts.push(options);
    const { id, image = stdlibImage } = options;
    const boot = this.#script.boot?.({ id, attempt: this.starts.length, image: image.name }) ?? {};
    options.onProgress?.({ stage: 'ready', done: 0, total: 1, message: 'Booting a fake worker.' });
    const delayMs = boot.delayMs ?? 0;
    if (delayMs > 0) await this.#wait(delayMs, options);
    if (options.signal?.aborted) throw new WorkerError('boot_failed', 'The boot was aborted.');
    if (boot.error) throw boot.error;
    const place = { id, image, bootMs: delayMs, pid: this.workers.length + 1 };
    const worker = new FakeWorker(place, this.#script, this.#clock);
    this.workers.push(worker);
    return worker;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disposed = true;
    for (const worker of this.alive) worker.kill();
  }

  #wait(delayMs: number, { signal, bootTimeoutMs }: StartOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = delayMs > bootTimeoutMs;
      const timer = this.#clock.setTimeout(
        () =>
          late ? reject(new WorkerError('boot_timeout', `No worker after ${bootTimeoutMs} ms.`)) : resolve(),
        Math.min(delayMs, bootTimeoutMs),
      );
      const abort = () => {
        timer.cancel();
        reject(new WorkerError('boot_failed', 'The boot was aborted.'));
      };
      if (signal?.aborted) abort();
      else signal?.addEventListener('abort', abort, { once: true });
    });
  }
}
