import type { LookupFunction } from 'node:net';
import { InstallError } from '../errors/errors.ts';
import { type Clock, systemClock } from '../util/clock.ts';
import { AddressError } from '../util/public-address.ts';
import { trace } from '../util/trace.ts';
import type { FetchBudget } from './fetch-budget.ts';
import type { Sources } from './sources.ts';
import { type Reply, Transport } from './transport.ts';

/** A failure that another attempt may not meet. */
export class TransientError extends Error {
  override readonly name = 'TransientError';
  /** So long the server wants to be left alone. */
  readonly waitMs: number;

  constructor(message: string, options: ErrorOptions & { waitMs?: number } = {}) {
    super(message, options);
    this.waitMs = options.waitMs ?? 0;
  }
}

/** Failures in a row, without a byte gained between them, until it is given up. */
const maxFailures = 5;
/** Also when each attempt gains a little. */
const maxAttempts = 100;
const firstDelayMs = 250;
/** Who asks for more is given up: somebody waits for the answer. */
const maxWaitMs = 60_000;
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

export interface HttpOptions {
  clock?: Clock | undefined;
  /** Resolves names. Default: the system's. */
  lookup?: LookupFunction | undefined;
}

/** What a request is made for. */
export interface Asking {
  signal?: AbortSignal | undefined;
  /** Whose count it is on. Default: nobody's. */
  budget?: FetchBudget | undefined;
}

export interface Opened extends Reply {
  /** After redirects. */
  url: string;
}

/**
 * Requests to the sources: with their credentials, with another try when the line is bad, never when offline. To origins that the
 * operator named; where those lead, only to public addresses.
 */
export class Http {
  readonly #sources: Sources;
  readonly #clock: Clock;
  readonly #transport: Transport;

  constructor(sources: Sources, { clock = systemClock, lookup }: HttpOptions = {}) {
    this.#sources = sources;
    this.#clock = clock;
    this.#transport = new Transport(lookup);
  }

  /** Ends the connections that are kept. */
  close(): void {
    this.#transport.close();
  }

  /**
   * One request, following redirects but none from https to http. Throws `TransientError` when the server can't be
   * reached or is busy, `InstallError` (`network`, `not_allowed`) when it is not to be asked.
   */
  async open(
    url: string,
    init: Asking & { method?: 'GET' | 'HEAD'; headers?: Record<string, string> },
  ): Promise<Opened> {
    if (this.#sources.offline)
      throw networkError(
        url,
        'it is not in the cache, and --offline forbids to fetch it',
        'run it once without --offline, or name a folder with the wheels by --mirror',
      );
    let at = url;
    for (let hop = 0; hop <= maxRedirects; hop++) {
      const target = URL.canParse(at) ? new URL(at) : undefined;
      if (target === undefined || !/^https?:$/.test(target.protocol))
        throw networkError(url, 'it leads to something else than http: or https:');
      init.budget?.request();
      trace('fetch', { url: withoutCredentials(at) });
      const reply = await this.#request(url, target, init);
      const { status, headers, body } = reply;
      if (status >= 300 && status < 400 && headers.location !== undefined) {
        body.destroy();
        const next = URL.canParse(headers.location, at) ? new URL(headers.location, at).href : '';
        if (target.protocol === 'https:' && /^http:/i.test(next))
          throw networkError(url, 'it redirects from https: to http:');
        at = next;
        continue;
      }
      if (status === 408 || status === 429 || status >= 500) {
        body.destroy();
        throw new TransientError(`the server answers ${status}`, { waitMs: retryAfter(headers) });
      }
      if (status === 401 || status === 403 || status === 407) {
        body.destroy();
        throw networkError(
          url,
          `the server answers ${status}: credentials are missing or wrong`,
          'put them into the URL of PIP_INDEX_URL or of the mirror',
        );
      }
      return { ...reply, url: target.href };
    }
    throw networkError(url, 'it redirects without end');
  }

  async #request(
    url: string,
    target: URL,
    init: Asking & { method?: 'GET' | 'HEAD'; headers?: Record<string, string> },
  ): Promise<Reply> {
    // A redirect to another origin gets that origin's credentials, never this one's.
    const authorization = this.#sources.authorization(target.href);
    const headers = { ...init.headers, ...(authorization === undefined ? {} : { authorization }) };
    const trusted = this.#sources.names(target.href);
    // What a page or a redirect says is no word of the operator's.
    target.username = '';
    target.password = '';
    const silent = new AbortController();
    using _timer = this.#clock.setTimeout(() => silent.abort(new TransientError('no answer came')), stallMs);
    const signal = AbortSignal.any([silent.signal, ...(init.signal === undefined ? [] : [init.signal])]);
    try {
      return await this.#transport.request(target, {
        method: init.method ?? 'GET',
        headers,
        signal,
        trusted,
      });
    } catch (error) {
      init.signal?.throwIfAborted();
      if (error instanceof AddressError) throw notPublic(url, target, error);
      throw new TransientError(causeOf(error), { cause: error });
    }
  }

  /**
   * Tries until it works, or fails in another way than with `TransientError`. `gained` tells how much of the work
   * is done: an attempt that got on is no failure in a row.
   */
  async retry<T>(
    url: string,
    attempt: () => Promise<T>,
    options: { signal?: AbortSignal | undefined; gained?: () => number } = {},
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
        if (error.waitMs > maxWaitMs) {
          const seconds = Math.ceil(error.waitMs / 1000);
          throw networkError(url, `${error.message}, for ${seconds} s`, 'try again later', error);
        }
        await this.#wait(Math.max(error.waitMs, firstDelayMs * 2 ** (failures - 1)), signal);
      }
    }
  }

  /** The body's chunks. Throws `TransientError` when it breaks off, or when nothing comes for 30 s. */
  async *chunks({ body }: Opened, { signal, budget }: Asking = {}): AsyncGenerator<Uint8Array> {
    const pieces: AsyncIterator<Uint8Array> = body[Symbol.asyncIterator]();
    try {
      for (;;) {
        const { promise: stalled, reject } = Promise.withResolvers<never>();
        using _timer = this.#clock.setTimeout(
          () => reject(new TransientError('nothing came any more')),
          stallMs,
        );
        const { done, value } = await Promise.race([pieces.next(), stalled]);
        if (done) return;
        budget?.bytes(value.length);
        yield value;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof TransientError || error instanceof InstallError) throw error;
      throw new TransientError(causeOf(error), { cause: error });
    } finally {
      body.destroy();
    }
  }

  /** A whole page, also one that says 404. */
  page(url: string, headers: Record<string, string> = {}, asking: Asking = {}): Promise<Page> {
    return this.retry(
      url,
      async () => {
        const opened = await this.open(url, { headers, ...asking });
        const chunks: Uint8Array[] = [];
        let length = 0;
        for await (const chunk of this.chunks(opened, asking)) {
          length += chunk.length;
          if (length > maxPageBytes) throw networkError(url, `it is larger than ${maxPageBytes} bytes`);
          chunks.push(chunk);
        }
        const { status, url: at, headers: told } = opened;
        return { status, url: at, headers: told, bytes: new Uint8Array(Buffer.concat(chunks)) };
      },
      asking,
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

/** `target`: where it leads. The address itself is nobody's business who can't look it up. */
function notPublic(url: string, target: URL, cause: AddressError): InstallError {
  const shown = withoutCredentials(url);
  const led = target.href === new URL(shown).href ? '' : ` (by ${target.origin})`;
  const suggestion = `if ${target.origin} is meant, name it as the mirror or by PIP_EXTRA_INDEX_URL`;
  return new InstallError(
    `${shown} can't be fetched: it leads to an address that is not public${led}; ${suggestion}`,
    { reason: 'not_allowed', package: '', suggestion, url: shown },
    cause,
  );
}

/** Seconds or a date, as milliseconds from now. */
function retryAfter(headers: Record<string, string>): number {
  const value = headers['retry-after'] ?? '';
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? 0 : Math.max(0, ms);
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
