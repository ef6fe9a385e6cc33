import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { resolveSources } from '../../src/packages/sources.ts';
import { sha256Of, type WantedWheel, WheelCache } from '../../src/packages/wheel-cache.ts';
import type { Progress } from '../../src/runtime.ts';
import { type MadeWheel, makeWheel, wanted } from './make-wheel.ts';
import { hastyClock, serve as serveOn, type TestServer } from './server.ts';

let root: string;
let cacheDir: string;
let mirror: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'vivarium-wheels-'));
  cacheDir = join(root, 'cache');
  mirror = join(root, 'mirror');
  await mkdir(mirror);
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Indexes that the operator named: only those may be on the loopback. */
const named: string[] = [];

const serve: typeof serveOn = async (answer) => {
  const server = await serveOn(answer);
  named.push(server.url);
  return server;
};

function cache(
  options: { mirror?: string; offline?: boolean; maxBytes?: number; env?: Record<string, string> } = {},
): WheelCache {
  const { maxBytes, env = {}, ...rest } = options;
  return new WheelCache({
    cacheDir,
    sources: resolveSources(rest, { PIP_EXTRA_INDEX_URL: named.join(' '), ...env }),
    clock: hastyClock,
    ...(maxBytes === undefined ? {} : { maxBytes }),
  });
}

async function inMirror(...wheels: MadeWheel[]): Promise<void> {
  for (const { fileName, bytes } of wheels) await writeFile(join(mirror, fileName), bytes);
}

/** All files of the cache, below it. */
async function cached(): Promise<string[]> {
  const all = await readdir(cacheDir, { recursive: true, withFileTypes: true }).catch(() => []);
  return all
    .filter((one) => one.isFile())
    .map((one) => join(one.parentPath, one.name).slice(cacheDir.length + 1));
}

function at(server: TestServer, wheel: MadeWheel): WantedWheel {
  return wanted(wheel, { kind: 'index', url: `${server.url}${wheel.fileName}` });
}

/** Bytes that don't pack, so that a wheel is as large. */
function noise(length: number): Uint8Array {
  return new Uint8Array(randomBytes(length));
}

describe('a mirror folder', () => {
  test('F16: wheels are copied into the cache by their hash, and found there without the mirror, offline', async () => {
    const wheels = [makeWheel('a'), makeWheel('b')];
    await inMirror(...wheels);
    const found = await cache({ mirror }).fetch(wheels.map((wheel) => wanted(wheel)));
    expect(found.map((one) => one.path)).toEqual(
      wheels.map((one) => join(cacheDir, 'wheels', one.sha256, one.fileName)),
    );
    const again = await cache({ offline: true }).fetch(
      wheels.map((wheel) => wanted(wheel, { kind: 'mirror' })),
    );
    expect(again.map((one) => new Uint8Array(one.bytes))).toEqual(wheels.map((one) => one.bytes));
  });

  test('T24, F16: a file that is not what the lock says', async () => {
    const [wheel, other] = [makeWheel('a', '1.0'), makeWheel('a', '1.0', { 'a/more.py': noise(9) })];
    await writeFile(join(mirror, wheel.fileName), other.bytes);
    await expect(cache({ mirror }).fetch([wanted(wheel)])).rejects.toMatchObject({
      code: 'install',
      details: { reason: 'hash_mismatch', package: 'a', expected: wheel.sha256, actual: other.sha256 },
      message: expect.stringMatching(
        /^a is not installed: a-1\.0-py3-none-any\.whl from .* is not what the lock says/,
      ),
    });
    expect(await cached()).toEqual([]);
  });

  test('F16: a file that was cut off', async () => {
    const wheel = makeWheel('a');
    await writeFile(join(mirror, wheel.fileName), wheel.bytes.subarray(0, 300));
    await expect(cache({ mirror }).fetch([wanted(wheel)])).rejects.toMatchObject({ reason: 'hash_mismatch' });
  });

  test('a file that is not there', async () => {
    await expect(cache({ mirror }).fetch([wanted(makeWheel('a'))])).rejects.toMatchObject({
      details: { reason: 'mirror', package: 'a' },
      message: expect.stringContaining(`the mirror ${mirror} has no a-1.0-py3-none-any.whl`),
    });
  });

  test.each([
    ['climbs out', makeWheel('a', '1.0', { '../evil.py': noise(3) })],
    ['is a link', makeWheel('a', '1.0', { 'a/l': [noise(3), { os: 3, attrs: 0o120777 * 65536 }] })],
    ['unpacks to', makeWheel('a', '1.0', { 'a/b': [new Uint8Array(2e7), { level: 9 }] })],
  ])('T25: a wheel that %s: nothing of it stays', async (problem, wheel) => {
    await inMirror(wheel);
    await expect(cache({ mirror }).fetch([wanted(wheel)])).rejects.toMatchObject({
      details: { reason: 'unsafe_wheel', package: 'a' },
      message: expect.stringContaining(problem),
    });
    expect(await cached()).toEqual([]);
  });

  test('a wheel that is too large', async () => {
    const wheel = makeWheel('a', '1.0', { 'a/b': noise(2000) });
    await inMirror(wheel);
    await expect(cache({ mirror, maxBytes: 1000 }).fetch([wanted(wheel)])).rejects.toMatchObject({
      reason: 'unsafe_wheel',
    });
  });

  test('stands in for an index when it has the very file', async () => {
    const wheel = makeWheel('a');
    await inMirror(wheel);
    const source = { kind: 'index', url: 'http://127.0.0.1:9/a-1.0-py3-none-any.whl' } as const;
    expect(await cache({ mirror, offline: true }).fetch([wanted(wheel, source)])).toHaveLength(1);
  });
});

test('F07: a cache that can’t be written to', async () => {
  const wheel = makeWheel('a');
  await inMirror(wheel);
  await mkdir(cacheDir);
  await writeFile(join(cacheDir, 'wheels'), 'in the way');
  await using server = await serve((_, response) => void response.end(wheel.bytes));
  for (const source of [wanted(wheel), at(server, wheel)]) {
    await expect(cache({ mirror }).fetch([source])).rejects.toMatchObject({
      details: { reason: 'disk', package: 'a', suggestion: expect.stringContaining('VIVARIUM_CACHE_DIR') },
      message: expect.stringMatching(/^a is not installed: E[A-Z]+: /),
    });
  }
});

test('a lock of a mirror without the mirror', async () => {
  await expect(cache().fetch([wanted(makeWheel('a'), { kind: 'mirror' })])).rejects.toMatchObject({
    details: { reason: 'mirror', package: '' },
    message: expect.stringContaining('--mirror'),
  });
});

test('F16: damage in the cache is seen and repaired', async () => {
  const wheel = makeWheel('a');
  await inMirror(wheel);
  const [found] = await cache({ mirror }).fetch([wanted(wheel)]);
  await writeFile(found?.path ?? '', 'damaged');
  const [repaired] = await cache({ mirror }).fetch([wanted(wheel)]);
  expect(await readFile(repaired?.path ?? '')).toEqual(Buffer.from(wheel.bytes));
  await writeFile(found?.path ?? '', 'damaged');
  await expect(cache({ offline: true }).fetch([wanted(wheel)])).rejects.toMatchObject({ reason: 'network' });
});

describe('a server', () => {
  const wheel = makeWheel('big', '1.0', { 'big/data': noise(300_000) });

  test('progress counts the bytes of all wheels', async () => {
    const other = makeWheel('small');
    const all = new Map([wheel, other].map((one) => [`/${one.fileName}`, one.bytes]));
    await using server = await serve((request, response) => {
      const bytes = all.get(request.url ?? '') ?? new Uint8Array();
      response
        .writeHead(200, { 'content-length': bytes.length })
        .end(request.method === 'HEAD' ? undefined : bytes);
    });
    const told: Progress[] = [];
    await cache().fetch([at(server, wheel), at(server, other)], { onProgress: (one) => told.push(one) });
    const total = wheel.bytes.length + other.bytes.length;
    expect(told.every((one) => one.stage === 'packages' && one.total === total)).toBe(true);
    expect(told.map((one) => one.done)).toEqual(told.map((one) => one.done).toSorted((a, b) => a - b));
    expect(told.at(-1)).toMatchObject({ done: total });
    expect(told.length).toBeGreaterThan(3);
  });

  /**
   * Stops in the middle of the first `drops` answers, 100 000 bytes on; `drop` then ends the connection. Called when the
   * bytes have come: a body that fails loses what nobody has read.
   */
  async function dropping(
    drops: number,
    options: { ranges: boolean; etag?: string; bytes?: () => Uint8Array<ArrayBuffer> },
  ) {
    let answers = 0;
    let drop = (): void => undefined;
    const server = await serve((request, response) => {
      const bytes = options.bytes?.() ?? wheel.bytes;
      const headers = options.etag === undefined ? {} : { etag: options.etag };
      if (request.method === 'HEAD') return void response.writeHead(405).end();
      const from = options.ranges ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0;
      const status = from > 0 ? 206 : 200;
      const range = from > 0 ? { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {};
      response.writeHead(status, { ...headers, ...range, 'content-length': bytes.length - from });
      if (answers++ >= drops) return void response.end(bytes.subarray(from));
      drop = () => response.destroy();
      response.write(bytes.subarray(from, from + 100_000));
    });
    return { ...server, drop: () => drop() };
  }

  test('F16: goes on where a dropped connection left off', async () => {
    await using server = await dropping(2, { ranges: true, etag: '"one"' });
    const [found] = await cache().fetch([at(server, wheel)], { onProgress: server.drop });
    expect(wheel.sha256).toBe(sha256Of(found?.bytes ?? noise(1)));
    const gets = server.requests.filter((one) => one.startsWith('GET'));
    expect(gets).toHaveLength(3);
    expect(gets.slice(1).every((one) => / bytes=\d+-$/.test(one))).toBe(true);
    expect(await cached()).toEqual([join('wheels', wheel.sha256, wheel.fileName)]);
  });

  test('starts anew when the server ignores the range', async () => {
    await using server = await dropping(1, { ranges: false });
    const [found] = await cache().fetch([at(server, wheel)], { onProgress: server.drop });
    expect(wheel.sha256).toBe(sha256Of(found?.bytes ?? noise(1)));
    expect(server.requests.at(-1)).toMatch(/ bytes=\d+-$/);
  });

  test('goes on in the next process, also with what a killed one left', async () => {
    const parts = join(cacheDir, 'wheels', 'partial');
    // A part as another process has it under way, and one as it is left by a kill.
    await using server = await dropping(0, { ranges: true, etag: '"one"' });
    const stop = new AbortController();
    const stopped = cache().fetch([at(server, wheel)], {
      signal: stop.signal,
      onProgress: () => stop.abort(new Error('enough')),
    });
    await expect(stopped).rejects.toThrow('enough');
    const [part = ''] = await readdir(parts);
    expect(part).toMatch(/^[0-9a-f]{32}~[\w-]+~\.part$/);
    const owned = join(parts, part.replace(/~\.part$/, '~somebody.part'));
    await writeFile(owned, wheel.bytes.subarray(0, 1000));
    await rm(join(parts, part));
    await cache().fetch([at(server, wheel)]);
    expect(server.requests.at(-1)).toBe(`GET /${wheel.fileName}`);
    await rm(dirname(cache().pathOf(wheel)), { recursive: true });
    const longAgo = new Date(Date.now() - 3_600_000);
    await utimes(owned, longAgo, longAgo);
    await cache().fetch([at(server, wheel)]);
    expect(server.requests.at(-1)).toBe(`GET /${wheel.fileName} bytes=1000-`);
    expect(await readdir(parts)).toEqual([]);
  });

  test('F16: a part of another version of the file: once more from its beginning', async () => {
    const older = wheel.bytes.slice().fill(7, 100, 200);
    let bytes = older;
    await using server = await dropping(1, { ranges: true, bytes: () => bytes });
    const stop = new AbortController();
    const stopped = cache().fetch([at(server, wheel)], {
      signal: stop.signal,
      onProgress: ({ done }) => done > 0 && stop.abort(new Error('enough')),
    });
    await expect(stopped).rejects.toThrow('enough');
    bytes = wheel.bytes;
    const [found] = await cache().fetch([at(server, wheel)]);
    expect(wheel.sha256).toBe(sha256Of(found?.bytes ?? noise(1)));
    expect(server.requests.at(-2)).toMatch(/ bytes=\d+-$/);
    expect(server.requests.at(-1)).toBe(`GET /${wheel.fileName}`);
  });

  test('T24, F16: a body that is not what the lock says', async () => {
    await using server = await serve((_, response) => void response.end(makeWheel('evil').bytes));
    await expect(cache().fetch([at(server, wheel)])).rejects.toMatchObject({
      details: { reason: 'hash_mismatch', package: 'big', expected: wheel.sha256 },
    });
    expect(await cached()).toEqual([]);
  });

  test.each([
    [{ 'content-length': '600000' }, 'declared'],
    [{}, 'actual'],
  ])('T24: a body that is too large, %j (%s)', async (headers, _which) => {
    await using server = await serve((request, response) => {
      response.writeHead(200, headers);
      if (request.method === 'HEAD') response.end();
      else response.write(new Uint8Array(600_000));
    });
    await expect(cache({ maxBytes: 500_000 }).fetch([at(server, wheel)])).rejects.toMatchObject({
      details: { reason: 'unsafe_wheel', package: 'big' },
    });
    expect(await cached()).toEqual([]);
  });

  test('F16: busy for a while, then well', async () => {
    let answers = 0;
    await using server = await serve((request, response) => {
      if (request.method === 'HEAD') response.end();
      else if (answers++ < 3) response.writeHead(503).end();
      else response.end(wheel.bytes);
    });
    expect(await cache().fetch([at(server, wheel)])).toHaveLength(1);
  });

  test.each([
    [404, 'not_found'],
    [401, 'network'],
    [429, 'network'],
    [503, 'network'],
  ])('F16: answers %i for good', async (status, reason) => {
    await using server = await serve((_, response) => void response.writeHead(status).end());
    await expect(cache().fetch([at(server, wheel)])).rejects.toMatchObject({
      details: { reason, package: 'big' },
    });
  });

  test('F16: nobody there', async () => {
    const server = await serve(() => undefined);
    await server[Symbol.asyncDispose]();
    await expect(cache().fetch([at(server, wheel)])).rejects.toMatchObject({
      details: { reason: 'network', package: 'big' },
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  test('F16: offline: nothing is asked', async () => {
    await using server = await serve((_, response) => void response.end(wheel.bytes));
    await expect(cache({ offline: true }).fetch([at(server, wheel)])).rejects.toMatchObject({
      details: { reason: 'network', package: 'big' },
      message: expect.stringContaining('--offline'),
    });
    expect(server.requests).toEqual([]);
  });

  test('T21: redirects are followed, but to nothing else than the web', async () => {
    await using server = await serve((request, response) => {
      if (request.url === '/moved/') response.end(wheel.bytes);
      else if (request.url?.includes('evil'))
        response.writeHead(302, { location: 'file:///etc/passwd' }).end();
      else response.writeHead(302, { location: '/moved/' }).end();
    });
    expect(await cache().fetch([at(server, wheel)])).toHaveLength(1);
    await expect(cache().fetch([at(server, makeWheel('evil'))])).rejects.toMatchObject({ reason: 'network' });
  });

  test('T24: credentials go to their origin, and into no message', async () => {
    let sent: string | undefined;
    await using server = await serve((request, response) => {
      sent = request.headers.authorization;
      response.writeHead(403).end();
    });
    const env = { PIP_INDEX_URL: server.url.replace('http://', 'http://me:secret@') };
    const error: unknown = await cache({ env })
      .fetch([at(server, wheel)])
      .catch((caught: unknown) => caught);
    expect(sent).toBe(`Basic ${Buffer.from('me:secret').toString('base64')}`);
    expect(error).toMatchObject({ reason: 'network', message: expect.stringContaining('403') });
    expect(JSON.stringify(error) + String(error)).not.toContain('secret');
  });

  test('the same wheel at once: in one cache once, in two without harm', async () => {
    await using server = await serve((request, response) => {
      if (request.method === 'HEAD') return void response.end();
      for (let from = 0; from < wheel.bytes.length; from += 10_000)
        response.write(wheel.bytes.subarray(from, from + 10_000));
      response.end();
    });
    const one = cache();
    const pair = await Promise.all([one.fetch([at(server, wheel)]), one.fetch([at(server, wheel)])]);
    expect(pair.flat()).toHaveLength(2);
    expect(server.requests.filter((request) => request.startsWith('GET'))).toHaveLength(1);
    await rm(cacheDir, { recursive: true });
    const others = await Promise.all(Array.from({ length: 5 }, () => cache().fetch([at(server, wheel)])));
    expect(others.flat().every((found) => Buffer.from(wheel.bytes).equals(found.bytes))).toBe(true);
    expect(await cached()).toEqual([join('wheels', wheel.sha256, wheel.fileName)]);
  });

  test('aborted: rejects with the signal’s reason', async () => {
    await using server = await serve((request, response) => {
      response.writeHead(200, { 'content-length': '100000' });
      if (request.method === 'HEAD') response.end();
      else response.write(new Uint8Array(70_000));
    });
    const stop = new AbortController();
    const fetching = cache().fetch([at(server, wheel)], {
      signal: stop.signal,
      onProgress: () => stop.abort(new Error('stopped by the test')),
    });
    await expect(fetching).rejects.toThrow('stopped by the test');
  });
});

test('F16: processes that want the same wheel, one of them killed half-way', async () => {
  const wheel = makeWheel('big', '1.0', { 'big/data': noise(300_000) });
  const killed = Promise.withResolvers<void>();
  let gets = 0;
  await using server = await serve((request, response) => {
    if (request.method === 'HEAD') response.end();
    else if (gets++ > 0) response.end(wheel.bytes);
    // The first one is held in the middle: it is then the one to be killed.
    else response.write(wheel.bytes.subarray(0, 100_000), () => killed.resolve());
  });
  const program = fileURLToPath(new URL('fetch-wheel.inside.ts', import.meta.url));
  const start = () =>
    spawn(process.execPath, [program, cacheDir, JSON.stringify(at(server, wheel))], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, PIP_EXTRA_INDEX_URL: server.url },
    });
  const first = start();
  await killed.promise;
  first.kill('SIGKILL');
  const hashes = await Promise.all(
    [start(), start()].map(async (child) => {
      let out = '';
      for await (const chunk of child.stdout) out += String(chunk);
      return out;
    }),
  );
  expect(hashes).toEqual([wheel.sha256, wheel.sha256]);
  const whole = (await cached()).filter((path) => !path.includes('partial'));
  expect(whole).toEqual([join('wheels', wheel.sha256, wheel.fileName)]);
});
