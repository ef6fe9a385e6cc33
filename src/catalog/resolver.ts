import { randomUUID } from 'node:crypto';
import type { Answer, Engine, StartOptions } from '../engines/engine.ts';
import { InternalError } from '../errors/errors.ts';
import { loadDistribution, micropipLock } from '../packages/distribution.ts';
import { defineImage, imageSource } from '../packages/image-definition.ts';
import { type ImageSource, stdlibImage } from '../packages/image-source.ts';
import type { ResolveRequest, ResolverKernel } from '../packages/resolve.ts';
import type { WheelCache } from '../packages/wheel-cache.ts';
import type { Question, ResultMessage, RunMessage } from '../protocol/messages.ts';
import { decodeValue, encodeValue } from '../protocol/value-codec.ts';
import type { Progress, Value } from '../runtime.ts';

/** Of the resolver's own interpreter. */
const memoryBytes = 512 * 1024 * 1024;
const bootTimeoutMs = 60_000;
/** Of micropip's own work; fetching has limits of its own. */
const timeoutMs = 120_000;
const valueBytes = 64 * 1024 * 1024;

export interface ResolverOptions {
  /** Started for each question, and ended. */
  engine: () => Promise<Engine>;
  wheels: WheelCache;
  onProgress?: (progress: Progress) => void;
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
    const { engine, onProgress } = this.#options;
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
    try {
      const result = await worker.run(runMessage(code, globals), {
        onOutput: () => {},
        onDisplay: () => {},
        onRewound: () => {},
        ...(onFetch && { onAsk: (question) => fetchFor(question, onFetch) }),
      });
      return resultValue(result);
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
    const distribution = await loadDistribution(wheels.sources, pyodide, wheels.http);
    const lock = micropipLock(distribution, pyodide);
    return imageSource(defineImage('micropip', lock, { imports: ['vivarium._resolve_image'] }), wheels);
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
