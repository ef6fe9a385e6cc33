import { lookup as systemLookup } from 'node:dns';
import { type Agent, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import { pipeline, type Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip } from 'node:zlib';
import { checkHost, publicLookup } from '../util/public-address.ts';

export interface Reply {
  status: number;
  /** Names in lower case. */
  headers: Record<string, string>;
  /** Unpacked. Its owner reads it to its end or destroys it. */
  body: Readable;
}

export interface TransportRequest {
  method: 'GET' | 'HEAD';
  headers: Record<string, string>;
  signal: AbortSignal;
  /** The operator named this origin: it may be anywhere. */
  trusted: boolean;
}

/**
 * One request, as HTTP has it: no redirects, no retries. Node's own client rather than `fetch`, which doesn't let the addresses be
 * checked that it connects to. Behind a proxy (`NODE_USE_ENV_PROXY`) names are the proxy's to resolve, and its to refuse: only hosts
 * written as addresses are checked here.
 */
export class Transport {
  readonly #lookup: LookupFunction;
  readonly #checked: LookupFunction;
  readonly #proxied: boolean;
  /** Not the process's own: a connection of theirs may have been made by anybody, to anywhere. */
  readonly #agents: Record<'http:' | 'https:', Agent>;

  constructor(lookup: LookupFunction = systemLookup) {
    this.#lookup = lookup;
    this.#checked = publicLookup(lookup);
    const flags = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(/\s+/)];
    this.#proxied = process.env.NODE_USE_ENV_PROXY === '1' || flags.includes('--use-env-proxy');
    const options = { keepAlive: true, ...(this.#proxied && { proxyEnv: process.env }) };
    this.#agents = { 'http:': new HttpAgent(options), 'https:': new HttpsAgent(options) };
  }

  close(): void {
    for (const agent of Object.values(this.#agents)) agent.destroy();
  }

  /** Rejects with `AddressError` for what isn't public, else with the socket's errors. */
  request(url: URL, { method, headers, signal, trusted }: TransportRequest): Promise<Reply> {
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    if (!trusted) checkHost(url);
    const isHttps = url.protocol === 'https:';
    const request = (isHttps ? httpsRequest : httpRequest)(url, {
      method,
      headers: { 'user-agent': 'vivarium', accept: '*/*', 'accept-encoding': 'gzip, br', ...headers },
      signal,
      lookup: trusted ? this.#lookup : this.#proxied ? this.#beforeProxy(url) : this.#checked,
      agent: this.#agents[isHttps ? 'https:' : 'http:'],
    });
    // Stays: a request that was answered may still fail.
    request.on('error', reject);
    request.on('response', (response) => resolve(replyOf(response, method)));
    request.end();
    return promise;
  }

  /** A proxy is the operator's, wherever it is: each name but the URL's own is a proxy's. */
  #beforeProxy({ hostname }: URL): LookupFunction {
    return (name, options, callback) =>
      (name === hostname ? this.#checked : this.#lookup)(name, options, callback);
  }
}

function replyOf(response: IncomingMessage, method: string): Reply {
  const headers = Object.fromEntries(
    Object.entries(response.headers).filter((one): one is [string, string] => typeof one[1] === 'string'),
  );
  const body = method === 'HEAD' ? response : unpacked(response, headers['content-encoding'] ?? '');
  return { status: response.statusCode ?? 0, headers, body };
}

function unpacked(response: IncomingMessage, encoding: string): Readable {
  const unpack = unpackers.get(encoding.toLowerCase())?.();
  // Whoever reads is told of errors by what is read.
  return unpack === undefined ? response : pipeline(response, unpack, () => undefined);
}

const unpackers = new Map([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['br', createBrotliDecompress],
]);
