import { randomUUID } from 'node:crypto';
import type { Answer, Engine, StartOptions, Worker } from '../engines/engine.ts';
import { InternalError } from '../errors/errors.ts';
import { micropipLock } from '../packages/distribution.ts';
import { defineImage, imageSource } from '../packages/image-definition.ts';
import { type ImageSource, stdlibImage } from '../packages/image-source.ts';
import type { ResolveRequest, ResolverKernel } from '../packages/resolve.ts';
import type { WheelCache } from '../packages/wheel-cache.ts';
import type { Question, ResultMessage, RunMessage } from '../protocol/messages.ts';
import { decodeValue, encodeValue } from '../protocol/value-codec.ts';
import type { Progress, Value } from '../runtime.ts';
import { type Clock, systemClock, type Timer } from '../util/clock.ts';

/** Of the resolver's own interpreter. */
const memoryBytes = 512 * 1024 * 1024;
/** Of its whole worker, as the defaults of a runtime have it. */
const maxResidentBytes = 2 * memoryBytes + 512 * 1024 * 1024;
const bootTimeoutMs = 60_000;
/** Of micropip's own work; fetching has limits of its own. */
const timeoutMs = 120_000;
/** For Python to end by itself, before the worker is killed. */
const graceMs = 5000;
const lookIntervalMs = 100;
const valueBytes = 64 * 1024 * 1024;

export interface ResolverOptions {
  /** Started for each question, and ended. */
  engine: () => Promise<Engine>;
  wheels: WheelCache;
  onProgress?: (progress: Progress) => void;
  clock?: Clock;
}

type OnFetch = Parameters<ResolverKernel['run']>[1];

/** micropip in a worker of its own, whose only way out are the pages that the host fetches for it. */
export class EngineResolver implements ResolverKernel {
  readonly #options: ResolverOptions;
  #image: Promise<ImageSource> | undefined;

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  async run(request: ResolveRequest, onFetch: OnFetch, signal?: AbortSignal): Promise<unknown> {
    const code = 'from vivarium import _resolve\nawait _resolve.resolve(request)';
    this.#image ??= this.#findImage();
    this.#image.catch(() => {
      this.#image = undefined;
    });
    return this.#evaluate(await this.#image, code, { request }, onFetch, signal);
  }

  /** Top-level modules that a script imports and the standard library doesn't have. */
  async importsOf(source: string, signal?: AbortSignal): Promise<string[]> {
    const code = 'from vivarium import _resolve\n_resolve.imports_of(source)';
    // Without micropip: nothing has to be there for it.
    const found = await this.#evaluate(stdlibImage, code, { source }, undefined, signal);
    return Array.isArray(found) ? found.filter((name) => typeof name === 'string') : [];
  }

  async #evaluate(
    image: ImageSource,
    code: string,
    globals: Record<string, unknown>,
    onFetch: OnFetch | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Value | undefined> {
    const { engine, onProgress, clock = systemClock } = this.#options;
    const start: StartOptions = {
      id: `resolver-${randomUUID().slice(0, 8)}`,
      image,
      init: { maxHeapBytes: memoryBytes, warmingRuns: 0, env: {} },
      bootTimeoutMs,
      ...(onProgress && { onProgress }),
      ...(signal && { signal }),
    };
    const worker = await (await engine()).start(start);
    const stop = (): void => worker.kill();
    signal?.addEventListener('abort', stop);
    using bounds = new Bounds(worker, clock);
    try {
      signal?.throwIfAborted();
      const running = worker.run(runMessage(code, globals), {
        onOutput: () => {},
        onDisplay: () => {},
        onRewound: () => {},
        ...(onFetch && { onAsk: (question) => bounds.pause(() => fetchFor(question, onFetch)) }),
      });
      // Which of them rejects first when the worker is killed.
      running.catch(() => {});
      return resultValue(await Promise.race([running, bounds.exceeded]));
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', stop);
      worker.kill();
    }
  }

  async #findImage(): Promise<ImageSource> {
    const { wheels } = this.#options;
    const pyodide = await wheels.pyodide();
    const distribution = await wheels.distribution();
    const lock = micropipLock(distribution, pyodide);
    return imageSource(defineImage('micropip', lock, { imports: ['vivarium._resolve_image'] }), wheels);
  }
}

/** What the host holds a resolver to, whatever goes on inside. */
class Bounds implements Disposable {
  /** Rejects, if it comes to that. */
  readonly exceeded: Promise<never>;
  readonly #worker: Worker;
  readonly #clock: Clock;
  readonly #fail: (error: InternalError) => void;
  #leftMs = timeoutMs + graceMs;
  #startedAt: number;
  #deadline: Timer | undefined;
  #look: Timer | undefined;
  #pauses = 0;
  #ended = false;

  constructor(worker: Worker, clock: Clock) {
    this.#worker = worker;
    this.#clock = clock;
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {});
    this.exceeded = promise;
    this.#fail = (error) => {
      reject(error);
      worker.kill();
    };
    this.#startedAt = clock.now();
    this.#run();
    this.#lookLater();
  }

  /** The time that the host takes isn't the resolver's. */
  async pause<T>(work: () => Promise<T>): Promise<T> {
    if (this.#pauses++ === 0) {
      this.#deadline?.cancel();
      this.#leftMs -= this.#clock.now() - this.#startedAt;
    }
    try {
      return await work();
    } finally {
      if (--this.#pauses === 0) this.#run();
    }
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#deadline?.cancel();
    this.#look?.cancel();
  }

  #run(): void {
    if (this.#ended) return;
    this.#startedAt = this.#clock.now();
    const late = `the resolver took more than ${timeoutMs + graceMs} ms and was killed`;
    this.#deadline = this.#clock.setTimeout(
      () => this.#fail(new InternalError('internal', late)),
      this.#leftMs,
    );
  }

  #lookLater(): void {
    this.#look = this.#clock.setTimeout(() => void this.#lookAtMemory(), lookIntervalMs, { unref: true });
  }

  async #lookAtMemory(): Promise<void> {
    // One that doesn't answer has its deadline.
    const usage = await this.#worker.usage().catch(() => undefined);
    if (this.#ended || usage === null) return;
    if (usage === undefined || usage.residentBytes <= maxResidentBytes) this.#lookLater();
    else
      this.#fail(
        new InternalError(
          'internal',
          `the resolver held ${usage.residentBytes} bytes of memory and was killed`,
        ),
      );
  }
}

async function fetchFor(question: Question, onFetch: OnFetch): Promise<Answer> {
  if (question.kind !== 'fetch') throw new InternalError('internal', 'the resolver asked to install');
  const { bytes, ...page } = await onFetch(question.url, question.headers);
  return { body: JSON.stringify(page), parts: [bytes] };
}

function runMessage(code: string, globals: Record<string, unknown>): Omit<RunMessage, 'kind'> {
  const { json, parts } = encodeValue(globals, { name: 'globals' });
  return {
    id: randomUUID(),
    code,
    filename: '<resolver>',
    argv: [],
    env: {},
    stdin: '',
    globals: json,
    files: [],
    purpose: 'program',
    after: 'discard',
    seed: null,
    figures: 'png',
    limits: {
      timeoutMs,
      cpuMs: 0,
      memoryBytes,
      outputBytes: 1024 * 1024,
      fileBytes: 0,
      fileCount: 0,
      valueBytes,
    },
    parts,
  };
}

function resultValue(result: ResultMessage): Value | undefined {
  if (result.status === 'error') {
    const text = result.error?.traceback.join('\n') ?? 'no reason given';
    throw new InternalError('internal', `the resolver failed: ${text}`);
  }
  const { value, parts = [] } = result;
  return value === null ? undefined : decodeValue(parts[value] ?? 'null', parts);
}
