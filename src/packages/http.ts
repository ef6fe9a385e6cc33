import { InstallError } from '../errors/errors.ts';
import { type Clock, systemClock } from '../util/clock.ts';
import { trace } from '../util/trace.ts';
import type { Sources } from './sources.ts';

/** A failure that another attempt may not meet. */
export class TransientError extends Error {
  override readonly name = 'TransientError';
}

/** Failures in a row, without a byte gained between them, until it is given up. */
const maxFailures = 5;
/** Also when each attempt gains a little. */
const maxAttempts = 100;
const firstDelayMs = 250;
const stallMs = 30_000;
const maxRedirects = 10;
const maxPageBytes = 64 * 1024 * 1024;

export interface Page {
  status: number;
  /** After redirects. */
  url: string;
  /** Names in lower case. */
  headers: Record<string, string>;
  bytes: Uint8Array;
}

/** Requests to the sources: with their credentials, with another try when the line is bad, never when offline. */
export class Http {
  readonly #sources: Sources;
  readonly #clock: Clock;

  constructor(sources: Sources, clock: Clock = systemClock) {
    this.#sources = sources;
    this.#clock = clock;
  }

  /**
   * One request, following redirects but none from https to http. Throws `TransientError` when the server can't be
   * reached or is busy, `InstallError` (`network`) when it is not to be asked.
   */
  async open(
    url: string,
    init: { method?: 'GET' | 'HEAD'; headers?: Record<string, string>; signal?: AbortSignal },
  ): Promise<Response> {
    if (this.#sources.offline)
      throw networkError(
        url,
        'it is not in the cache, and --offline forbids to fetch it',
        'run it once without --offline, or name a folder with the wheels by --mirror',
      );
    let at = url;
    for (let hop = 0; hop <= maxRedirects; hop++) {
      if (!/^https?:/i.test(at)) throw networkError(url, 'it leads to something else than http: or https:');
      // A redirect to another origin gets that origin's credentials, never this one's.
      const authorization = this.#sources.authorization(at);
      const headers = { ...init.headers, ...(authorization === undefined ? {} : { authorization }) };
      trace('fetch', { url: withoutCredentials(at) });
      let response: Response;
      const silent = new AbortController();
      using _timer = this.#clock.setTimeout(
        () => silent.abort(new TransientError('no answer came')),
        stallMs,
      );
      const signal = AbortSignal.any([silent.signal, ...(init.signal === undefined ? [] : [init.signal])]);
      try {
        response = await fetch(at, { ...init, headers, redirect: 'manual', signal });
      } catch (error) {
        init.signal?.throwIfAborted();
        throw new TransientError(causeOf(error), { cause: error });
      }
      const location = response.headers.get('location');
      if (response.status >= 300 && response.status < 400 && location !== null) {
        await response.body?.cancel();
        const next = URL.canParse(location, at) ? new URL(location, at).href : '';
        if (/^https:/i.test(at) && /^http:/i.test(next))
          throw networkError(url, 'it redirects from https: to http:');
        at = next;
        continue;
      }
      if (response.status === 408 || response.status === 429 || response.status >= 500) {
        await response.body?.cancel();
        throw new TransientError(`the server answers ${response.status}`);
      }
      if (response.status === 401 || response.status === 403 || response.status === 407) {
        await response.body?.cancel();
        throw networkError(
          url,
          `the server answers ${response.status}: credentials are missing or wrong`,
          'put them into the URL of PIP_INDEX_URL or of the mirror',
        );
      }
      return response;
    }
    throw networkError(url, 'it redirects without end');
  }

  /**
   * Tries until it works, or fails in another way than with `TransientError`. `gained` tells how much of the work
   * is done: an attempt that got on is no failure in a row.
   */
  async retry<T>(
    url: string,
    attempt: () => Promise<T>,
    options: { signal?: AbortSignal; gained?: () => number } = {},
  ): Promise<T> {
    const { signal, gained = () => 0 } = options;
    let failures = 0;
    for (let attempts = 1; ; attempts++) {
      signal?.throwIfAborted();
      const before = gained();
      try {
        return await attempt();
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof TransientError)) throw error;
        failures = gained() > before ? 1 : failures + 1;
        if (failures >= maxFailures || attempts >= maxAttempts) {
          throw networkError(url, `${error.message} (tried ${attempts} times)`, undefined, error);
        }
        await this.#wait(firstDelayMs * 2 ** (failures - 1), signal);
      }
    }
  }

  /** The body's chunks. Throws `TransientError` when it breaks off, or when nothing comes for 30 s. */
  async *chunks(response: Response, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const reader = response.body?.getReader();
    if (reader === undefined) return;
    try {
      for (;;) {
        const { promise: stalled, reject } = Promise.withResolvers<never>();
        using _timer = this.#clock.setTimeout(
          () => reject(new TransientError('nothing came any more')),
          stallMs,
        );
        const { done, value } = await Promise.race([reader.read(), stalled]);
        if (done) return;
        yield value;
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw error instanceof TransientError ? error : new TransientError(causeOf(error), { cause: error });
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }

  /** A whole page, also one that says 404. */
  page(url: string, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Page> {
    const init = { headers, ...(signal === undefined ? {} : { signal }) };
    return this.retry(
      url,
      async () => {
        const response = await this.open(url, init);
        const chunks: Uint8Array[] = [];
        let length = 0;
        for await (const chunk of this.chunks(response, signal)) {
          length += chunk.length;
          if (length > maxPageBytes) throw networkError(url, `it is larger than ${maxPageBytes} bytes`);
          chunks.push(chunk);
        }
        return {
          status: response.status,
          url: response.url === '' ? url : response.url,
          headers: Object.fromEntries(response.headers),
          bytes: new Uint8Array(Buffer.concat(chunks)),
        };
      },
      init,
    );
  }

  async #wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    using _timer = this.#clock.setTimeout(resolve, ms);
    const abort = (): void => resolve();
    signal?.addEventListener('abort', abort);
    await promise;
    signal?.removeEventListener('abort', abort);
  }
}

export function networkError(
  url: string,
  problem: string,
  suggestion = 'check the connection, or name a folder with the wheels by --mirror',
  cause?: unknown,
): InstallError {
  const shown = withoutCredentials(url);
  return new InstallError(
    `${shown} can't be fetched: ${problem}; ${suggestion}`,
    { reason: 'network', package: '', suggestion, url: shown },
    cause,
  );
}

function withoutCredentials(url: string): string {
  if (!URL.canParse(url)) return url;
  const parsed = new URL(url);
  parsed.username = '';
  parsed.password = '';
  return parsed.href;
}

/** Of a failed `fetch`, whose own message is always the same. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const { code, message } = (cause ?? error) as { code?: unknown; message?: unknown };
  return typeof code === 'string' ? code : typeof message === 'string' ? message : String(error);
}
