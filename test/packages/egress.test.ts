/** T24 (and T20 to T22, as far as they concern packages): where sources may lead the host. Counted is what connects, not only what is answered. */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer, type LookupFunction, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { InstallError } from '../../src/errors/errors.ts';
import { FetchBudget } from '../../src/packages/fetch-budget.ts';
import { Http } from '../../src/packages/http.ts';
import { resolveSources, type SourceOptions } from '../../src/packages/sources.ts';
import { WheelCache } from '../../src/packages/wheel-cache.ts';
import { systemClock } from '../../src/util/clock.ts';
import { selfSigned } from './certificate.ts';
import { makeWheel, wanted } from './make-wheel.ts';
import { hastyClock, serve, type TestServer } from './server.ts';

const root = mkdtempSync(join(tmpdir(), 'vivarium-egress-'));
afterAll(() => rm(root, { recursive: true, force: true }));

const wheel = makeWheel('prize');

// ---- what must not be reached --------------------------------------------------------------------------------------

let canary: { port: number; hits: () => number; servers: Server[] };
beforeAll(async () => {
  let hits = 0;
  const listen = async (host: string, port: number): Promise<Server | undefined> => {
    const server = createServer((socket) => {
      hits++;
      socket.destroy();
    });
    const { promise, resolve } = Promise.withResolvers<boolean>();
    server.once('error', () => resolve(false)).listen(port, host, () => resolve(true));
    return (await promise) ? server : undefined;
  };
  const first = await listen('127.0.0.1', 0);
  if (first === undefined) throw new Error('no loopback');
  const { port } = first.address() as AddressInfo;
  const second = await listen('::1', port);
  canary = { port, hits: () => hits, servers: [first, second].filter((one) => one !== undefined) };
});
afterAll(() => Promise.all(canary.servers.map((one) => new Promise((resolve) => one.close(resolve)))));
afterEach(() => {
  vi.unstubAllEnvs();
  expect(canary.hits()).toBe(0);
});

const lookedUp = new Map([
  ['127.0.0.1.nip.example', ['127.0.0.1']],
  ['six.example', ['::1']],
  ['both.example', ['10.0.0.8', '::1']],
  ['metadata.example', ['169.254.169.254']],
  ['ula.example', ['fd00:ec2::254']],
  ['mapped.example', ['::ffff:127.0.0.1']],
  ['nat64.example', ['64:ff9b::7f00:1']],
  ['shared.example', ['100.64.0.1']],
  ['multicast.example', ['224.0.0.1']],
]);
const lookup: LookupFunction = (name, _options, callback) => {
  const found = lookedUp.get(name.replace(/\.$/, ''));
  // What no test names is nowhere: nothing leaves this machine.
  if (found === undefined) callback(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), []);
  else
    callback(
      null,
      found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
};

const hosts = [
  '127.0.0.1',
  '127.1',
  '2130706433',
  '0x7f000001',
  '0x7f.0.0.1',
  '0177.0.0.1',
  '017700000001',
  '127.0.0.1.',
  '１２７.0.0.1',
  '0.0.0.0',
  '0',
  'localhost',
  'LOCALHOST.',
  'x.localhost',
  '[::1]',
  '[::]',
  '[0:0:0:0:0:0:0:1]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[64:ff9b::7f00:1]',
  '[fd00::1]',
  '[fe80::1]',
  '10.0.0.1',
  '100.64.0.1',
  '169.254.169.254',
  '172.16.0.1',
  '192.168.0.1',
  '224.0.0.1',
  '255.255.255.255',
  ...lookedUp.keys(),
  '127.0.0.1.nip.example.',
];

function sources(env: Record<string, string> = {}, options: SourceOptions = {}) {
  return resolveSources(options, env);
}

function cache(env: Record<string, string>, options: SourceOptions = {}): WheelCache {
  const cacheDir = mkdtempSync(join(root, 'cache-'));
  return new WheelCache({ cacheDir, sources: sources(env, options), clock: hastyClock, lookup });
}

async function refusal(promise: Promise<unknown>): Promise<InstallError> {
  return promise.then(
    () => expect.unreachable(),
    (error: unknown) => error as InstallError,
  );
}

const notPublic = expect.stringContaining('leads to an address that is not public');

describe('T20, T24: a lock or a requirement that names a private address', () => {
  test.each(hosts)('http://%s', async (host) => {
    const url = `http://${host}:${canary.port}/${wheel.fileName}`;
    const wheels = cache({ PIP_INDEX_URL: 'http://127.0.0.1:9/simple' });
    const fetching = [
      wheels.fetch([wanted(wheel, { kind: 'index', url })]),
      wheels.fetchUrl(url, { name: 'prize', fileName: wheel.fileName }),
    ];
    for (const error of await Promise.all(fetching.map(refusal)))
      expect(error).toMatchObject({
        reason: 'not_allowed',
        details: { package: 'prize' },
        message: notPublic,
      });
  });
});

describe('T21, T24: an index that redirects to a private address', () => {
  let index: TestServer;
  let location = '';
  beforeAll(async () => {
    index = await serve((_, response) => void response.writeHead(302, { location }).end());
  });
  afterAll(() => index[Symbol.asyncDispose]());

  // A header is ASCII.
  test.each(hosts.filter((host) => /^[!-~]+$/.test(host)))('http://%s', async (host) => {
    location = `http://${host}:${canary.port}/`;
    const http = new Http(sources({ PIP_INDEX_URL: index.url }), { clock: hastyClock, lookup });
    const error = await refusal(http.page(index.url));
    expect(error).toMatchObject({ reason: 'not_allowed', message: notPublic });
    // Also for an operator's eyes: what was asked for, and where it led.
    expect(error.message).toContain(index.url);
  });

  test('also when the way there is long, and over its own origin', async () => {
    let hops = 0;
    await using server = await serve((_, response) => {
      const next = hops++ < 5 ? `/${hops}` : `http://127.0.0.1:${canary.port}/`;
      response.writeHead(307, { location: next }).end();
    });
    const http = new Http(sources({ PIP_INDEX_URL: server.url }), { clock: hastyClock, lookup });
    expect(await refusal(http.page(server.url))).toMatchObject({ reason: 'not_allowed', message: notPublic });
    expect(server.requests).toHaveLength(6);
  });

  test('50 hops: no more than ten', async () => {
    let hops = 0;
    await using server = await serve((_, response) =>
      hops++ < 50 ? void response.writeHead(302, { location: `/${hops}` }).end() : void response.end('there'),
    );
    const http = new Http(sources({ PIP_INDEX_URL: server.url }), { clock: hastyClock, lookup });
    expect(await refusal(http.page(server.url))).toMatchObject({
      reason: 'network',
      message: expect.stringContaining('redirects without end'),
    });
    expect(server.requests).toHaveLength(11);
  });

  test.each([
    'file:///etc/passwd',
    'ftp://127.0.0.1/',
    'data:,x',
    'javascript:1',
    'http://',
    '//[',
    'http://%00/',
  ])('to %s: nowhere', async (place) => {
    location = place;
    const http = new Http(sources({ PIP_INDEX_URL: index.url }), { clock: hastyClock, lookup });
    expect(await refusal(http.page(index.url))).toMatchObject({ code: 'install' });
  });
});

test('T21: from https: to http: nothing is followed, to a named origin neither', async () => {
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
  let plain = 0;
  await using target = await serve((_, response) => {
    plain++;
    response.end();
  });
  const secure = createTlsServer(selfSigned(), (request, response) => {
    if (request.url === '/') response.writeHead(302, { location: target.url }).end();
    else response.end('fine');
  });
  await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
  try {
    const url = `https://127.0.0.1:${(secure.address() as AddressInfo).port}/`;
    const http = new Http(sources({ PIP_INDEX_URL: url, PIP_EXTRA_INDEX_URL: target.url }), { lookup });
    expect(await refusal(http.page(url))).toMatchObject({
      reason: 'network',
      message: expect.stringContaining('redirects from https: to http:'),
    });
    expect(plain).toBe(0);
    expect((await http.page(`${url}x`)).status).toBe(200);
    // Checked as any other when nobody named it.
    const stranger = new Http(sources(), { lookup });
    expect(await refusal(stranger.page(`${url}x`))).toMatchObject({ reason: 'not_allowed' });
  } finally {
    secure.closeAllConnections();
    secure.close();
  }
});

test('T22: each connection is made to an address of the very lookup that was checked', async () => {
  const url = `http://rebinding.example:${canary.port}/`;
  const stop = new AbortController();
  let answers = 0;
  const rebinding: LookupFunction = (_name, _options, callback) => {
    answers++;
    // The first answer is fine. Nobody connects to it: that would leave this machine.
    if (answers === 1) stop.abort(new Error('stopped by the test'));
    callback(null, [{ address: answers === 1 ? '1.1.1.1' : '127.0.0.1', family: 4 }]);
  };
  const http = new Http(sources(), { lookup: rebinding });
  await expect(http.page(url, {}, { signal: stop.signal })).rejects.toThrow('stopped by the test');
  expect(answers).toBe(1);
  expect(await refusal(http.page(url))).toMatchObject({ reason: 'not_allowed', message: notPublic });
  expect(answers).toBe(2);
});

test('what the operator named may be anywhere, and is what was named: host, port and scheme', async () => {
  await using index = await serve((_, response) => void response.end('page'));
  const { port } = new URL(index.url);
  const http = new Http(sources({ PIP_EXTRA_INDEX_URL: index.url }), { clock: hastyClock, lookup });
  expect((await http.page(`${index.url}any/where`)).status).toBe(200);
  for (const other of [
    `http://localhost:${port}/`,
    `https://127.0.0.1:${port}/`,
    `http://127.0.0.1:${canary.port}/`,
  ])
    expect(await refusal(http.page(other))).toMatchObject({ reason: 'not_allowed' });
  lookedUp.set('index.example', ['127.0.0.1']);
  const byName = new Http(sources({}, { mirror: `http://index.example:${port}/` }), { lookup });
  expect((await byName.page(`http://index.example:${port}/x`)).status).toBe(200);
  expect(await refusal(byName.page(`http://index.example.:${port}/x`))).toMatchObject({
    reason: 'not_allowed',
  });
  expect(index.requests).toEqual(['GET /any/where', 'GET /x']);
});

test('T24: credentials stay with their origin, on every way from there', async () => {
  const seen: (string | undefined)[] = [];
  await using other = await serve((request, response) => {
    seen.push(request.headers.authorization, request.headers.cookie);
    response.end('there');
  });
  await using index = await serve((request, response) => {
    seen.push(request.headers.authorization);
    // What a server says of credentials isn't the operator's word.
    const location = other.url.replace('http://', 'http://me:guessed@');
    response.writeHead(302, { location, 'set-cookie': 'a=secret' }).end();
  });
  const named = index.url.replace('http://', 'http://me:secret@');
  const http = new Http(sources({ PIP_INDEX_URL: named, PIP_EXTRA_INDEX_URL: other.url }), { lookup });
  expect(await http.page(index.url)).toMatchObject({ status: 200, url: other.url });
  expect(seen).toEqual([`Basic ${Buffer.from('me:secret').toString('base64')}`, undefined, undefined]);
});

test('behind a proxy: hosts written as addresses are refused, names are the proxy’s', async () => {
  await using proxy = await serve((request, response) => void response.end(request.url));
  vi.stubEnv('NODE_USE_ENV_PROXY', '1');
  vi.stubEnv('HTTP_PROXY', proxy.url);
  vi.stubEnv('http_proxy', proxy.url);
  vi.stubEnv('NO_PROXY', 'direct.example');
  vi.stubEnv('no_proxy', 'direct.example');
  lookedUp.set('direct.example', ['127.0.0.1']);
  const http = new Http(sources(), { clock: hastyClock, lookup });
  const { bytes } = await http.page('http://files.example/x');
  expect(new TextDecoder().decode(bytes)).toBe('http://files.example/x');
  for (const host of ['127.0.0.1', '[::1]', 'localhost', 'direct.example'])
    expect(await refusal(http.page(`http://${host}:${canary.port}/`))).toMatchObject({
      reason: 'not_allowed',
    });
  expect(proxy.requests).toEqual(['GET http://files.example/x']);
});

// ---- what comes ----------------------------------------------------------------------------------------------------

test('packed pages are unpacked, and bounded by what they unpack to', async () => {
  const zeros = gzipSync(new Uint8Array(70 * 2 ** 20));
  await using index = await serve((request, response) => {
    response.setHeader('content-encoding', 'gzip');
    response.end(request.url === '/bomb' ? zeros : gzipSync('a page'));
  });
  const http = new Http(sources({ PIP_INDEX_URL: index.url }), { clock: hastyClock });
  expect(new TextDecoder().decode((await http.page(index.url)).bytes)).toBe('a page');
  expect(await refusal(http.page(`${index.url}bomb`))).toMatchObject({
    message: expect.stringContaining('larger than 67108864 bytes'),
  });
});

describe('F16: a server that is busy', () => {
  const waits: number[] = [];
  /** Waits are noted, and over at once. */
  const clock = {
    ...hastyClock,
    setTimeout: (callback: () => void, ms: number, options?: { unref?: boolean }) => {
      // Silence of 30 s is watched for all the time.
      if (ms === 30_000) return systemClock.setTimeout(callback, ms, { unref: true });
      waits.push(ms);
      return systemClock.setTimeout(callback, 0, options);
    },
  };
  beforeEach(() => {
    waits.length = 0;
  });

  test.each([429, 503])('%i with Retry-After: left alone for so long', async (status) => {
    let left = 2;
    await using index = await serve((_, response) => {
      if (left-- === 0) response.end('page');
      else response.writeHead(status, { 'retry-after': '7' }).end();
    });
    const http = new Http(sources({ PIP_INDEX_URL: index.url }), { clock });
    expect((await http.page(index.url)).status).toBe(200);
    expect(waits).toEqual([7000, 7000]);
  });

  test.each(['3600', new Date(Date.now() + 3_600_000).toUTCString()])(
    '429 for an hour (%s): told, not waited for',
    async (value) => {
      await using index = await serve((_, response) => {
        response.writeHead(429, { 'retry-after': value }).end();
      });
      const http = new Http(sources({ PIP_INDEX_URL: index.url }), { clock });
      expect(await refusal(http.page(index.url))).toMatchObject({
        reason: 'network',
        message: expect.stringMatching(/answers 429, for 3[56]\d\d s; try again later/),
      });
      expect(index.requests).toHaveLength(1);
      expect(waits).toEqual([]);
    },
  );

  test.each(['', 'soon', '-5', 'Thu, 01 Jan 1970 00:00:00 GMT', '99999999999'])(
    '429 and Retry-After %j: as without',
    async (value) => {
      await using index = await serve((_, response) => {
        response.writeHead(429, { 'retry-after': value }).end();
      });
      const http = new Http(sources({ PIP_INDEX_URL: index.url }), { clock });
      expect(await refusal(http.page(index.url))).toMatchObject({
        reason: 'network',
        message: expect.stringContaining('answers 429 (tried 5 times)'),
      });
      expect(waits).toEqual([250, 500, 1000, 2000]);
    },
  );
});

describe('F16: a server that is slow', () => {
  /** 30 s are over as soon as the server says so. */
  function patience() {
    const silent = Promise.withResolvers<void>();
    const clock = {
      ...hastyClock,
      setTimeout: (callback: () => void, ms: number) => {
        let cancelled = false;
        if (ms < 30_000) return hastyClock.setTimeout(callback, ms);
        silent.promise.then(() => cancelled || callback());
        const cancel = () => {
          cancelled = true;
        };
        return { cancel, [Symbol.dispose]: cancel };
      },
    };
    return { clock, end: () => silent.resolve() };
  }

  test.each(['never answers', 'stops in the middle'])('%s: given up, told, nothing kept', async (how) => {
    const { clock, end } = patience();
    await using index = await serve((request, response) => {
      if (how === 'never answers' || request.method === 'HEAD') return end();
      response.writeHead(200, { 'content-length': wheel.bytes.length });
      response.write(wheel.bytes.subarray(0, 100), end);
    });
    const cacheDir = mkdtempSync(join(root, 'cache-'));
    const wheels = new WheelCache({ cacheDir, sources: sources({ PIP_INDEX_URL: index.url }), clock });
    const source = { kind: 'index', url: `${index.url}${wheel.fileName}` } as const;
    expect(await refusal(wheels.fetch([wanted(wheel, source)]))).toMatchObject({
      reason: 'network',
      message: expect.stringMatching(/no answer came|nothing came any more/),
    });
    expect(await wheels.find(wanted(wheel, source))).toBeUndefined();
  });
});

describe('what one run may have fetched', () => {
  test.each([
    [{ bytes: 100, requests: 9 }, /fetched 100 bytes, which is all/],
    [{ bytes: 1e6, requests: 1 }, /asked for 1 files, which is all/],
  ])('%j', async (limits, message) => {
    await using index = await serve((_, response) => void response.end(wheel.bytes));
    const wheels = cache({ PIP_INDEX_URL: index.url });
    const source = { kind: 'index', url: `${index.url}${wheel.fileName}` } as const;
    const budget = new FetchBudget(limits);
    const error = await refusal(wheels.fetch([wanted(wheel, source)], { budget }));
    expect(error).toMatchObject({ reason: 'not_allowed', details: { package: 'prize' } });
    expect(error.message).toMatch(message);
    expect(await refusal(wheels.http.page(index.url, {}, { budget }))).toMatchObject({
      reason: 'not_allowed',
    });
    // Nobody else's concern; and what is in the cache is free.
    await wheels.fetch([wanted(wheel, source)]);
    expect(await wheels.fetch([wanted(wheel, source)], { budget })).toHaveLength(1);
  });
});
