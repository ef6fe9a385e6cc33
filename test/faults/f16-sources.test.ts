/**
 * F16: package sources that are down, slow or wrong: the cache holds whole wheels or nothing, and serves what it holds. Resuming,
 * credentials and redirects are in `test/packages/wheel-cache.test.ts`; what runs and callers are told, in
 * `test/packages/installer-failures.test.ts`.
 */

import { readdir } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resolveSources } from '../../src/packages/sources.ts';
import { WheelCache } from '../../src/packages/wheel-cache.ts';
import { makeWheel, wanted } from '../packages/make-wheel.ts';
import { hastyClock, serve } from '../packages/server.ts';
import { makeFolders } from './folders.ts';
import { at } from './points.ts';

const wheel = makeWheel('faulty', '1.0', { 'faulty/data': new Uint8Array(100_000).fill(3) });
const other = makeWheel('other', '1.0', { 'other/data': new Uint8Array(100_000).fill(4) });

const folders = await makeFolders();

const answers = {
  well: (response: ServerResponse) => void response.end(wheel.bytes),
  429: (response) => void response.writeHead(429, { 'retry-after': '1' }).end(),
  500: (response) => void response.writeHead(500).end(),
  'hangs up': (response) => void response.destroy(),
  truncated: (response) => {
    response.writeHead(200, { 'content-length': wheel.bytes.length });
    response.write(wheel.bytes.subarray(0, 60_000), () => response.destroy());
  },
  'truncated, and says it is all': (response) => void response.end(wheel.bytes.subarray(0, 60_000)),
  'in drops': (response) => {
    let sent = 0;
    const drop = (): void => {
      const next = wheel.bytes.subarray(sent, sent + 10_000);
      sent += next.length;
      if (next.length === 0) response.end();
      else response.write(next, () => setImmediate(drop));
    };
    drop();
  },
  'another file': (response) => void response.end(other.bytes),
} satisfies Record<string, (response: ServerResponse) => void>;

type Answer = keyof typeof answers;
/** What no other attempt mends. */
const final: readonly Answer[] = ['truncated, and says it is all', 'another file'];
const right: readonly Answer[] = ['well', 'in drops'];

let caches = 0;

function serveInTurn(turns: readonly Answer[]): ReturnType<typeof serve> {
  let turn = 0;
  return serve((request, response) => {
    if (request.method === 'HEAD') response.end();
    else answers[turns[Math.min(turn++, turns.length - 1)] ?? 'well'](response);
  });
}

async function wheelsIn(cacheDir: string): Promise<string[]> {
  const found = await readdir(join(cacheDir, 'wheels'), { recursive: true }).catch(() => []);
  return found.filter((file) => file.endsWith('.whl') || file.endsWith('.tmp'));
}

describe('whatever a source answers in turn', () => {
  it('a wheel comes whole or not at all, and is there for good', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...(Object.keys(answers) as Answer[])), { minLength: 1, maxLength: 6 }),
        async (turns) => {
          await using server = await serveInTurn(turns);
          const named = [server.url];
          const cacheDir = join(folders.own, `cache-${caches++}`);
          const cache = (offline: boolean): WheelCache =>
            new WheelCache({
              cacheDir,
              // Only what the operator named may lie on the loopback.
              sources: resolveSources({ offline }, { PIP_EXTRA_INDEX_URL: named.join(' ') }),
              clock: hastyClock,
            });
          const one = wanted(wheel, { kind: 'index', url: `${server.url}${wheel.fileName}` });
          const fetches: string[] = [];
          using _fetches = at('fetch', ({ url }) => fetches.push(url));

          const outcome = await cache(false)
            .fetch([one])
            .then(
              () => 'here',
              (error: { details?: { reason?: unknown } }) => error.details?.reason,
            );
          expect(fetches.length).toBe(server.requests.length);
          // The first answer that decides it: after five failures in a row it's given up.
          const decisive = turns.findIndex((turn) => right.includes(turn) || final.includes(turn));
          if (decisive < 0) expect(outcome).toBe('network');
          else if (decisive < 5 && right.includes(turns[decisive] ?? 'well')) expect(outcome).toBe('here');
          else if (!turns.some((turn) => right.includes(turn)))
            expect(outcome).toMatch(/^(network|hash_mismatch)$/);
          const whole = [join(wheel.sha256, wheel.fileName)];
          expect(await wheelsIn(cacheDir)).toEqual(outcome === 'here' ? whole : []);

          // Nobody is asked for what is here; what isn't comes when the source is well again.
          const asked = server.requests.length;
          if (outcome === 'here') expect(await cache(true).fetch([one])).toHaveLength(1);
          else
            await expect(cache(true).fetch([one])).rejects.toMatchObject({ details: { reason: 'network' } });
          expect(server.requests.length).toBe(asked);
          await using healthy = await serveInTurn(['well']);
          named.push(healthy.url);
          const again = wanted(wheel, { kind: 'index', url: `${healthy.url}${wheel.fileName}` });
          const [found] = await cache(false).fetch([again]);
          expect(found?.bytes.length).toBe(wheel.bytes.length);
          expect(await wheelsIn(cacheDir)).toEqual(whole);
        },
      ),
      { numRuns: 40 },
    ));
});
