import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRuntime, type RuntimeOptions } from '../../../src/node.ts';
import { mirrorForTests } from '../../wheels.ts';
import { type StoreOfTests, stores } from './stores.ts';

const { folder: mirror, missing } = await mirrorForTests(['numpy']);

const begin = `
import os, tempfile
import numpy as np

def counting():
    n = 0
    while True:
        n += 1
        yield n

numbers = counting()
next(numbers), next(numbers)

def make():
    total = 0
    def add(n):
        nonlocal total
        total += n
        return total if n == 0 else add(n - 1)
    return add

add = make()
add(3)
unnamed = tempfile.TemporaryFile("w+")
unnamed.write("hidden")
named = open("notes.txt", "w+")
named.write("first\\nsecond\\n")
named.seek(6)
a = np.arange(12.0).reshape(3, 4)
view, turned = a[1:, ::2], a.T
`;
const goOn = `
a[1, 2] = 99
(next(numbers), add(2), (unnamed.seek(0), unnamed.read())[1], named.readline(), float(view[0, 1]), turned.base is a.base, len(counting.__code__.co_code) > 0)
`;
const seen = "(3, 9, 'hidden', 'second\\n', 99.0, True, True)";

const host = fileURLToPath(new URL('session-host.ts', import.meta.url));

describe.skipIf(mirror === undefined)(`sessions (wheels missing: ${missing.join(', ') || 'none'})`, () => {
  describe.each(stores)('in %s', (_name, open) => {
    let store: StoreOfTests;
    beforeAll(async () => {
      store = await open();
    });
    afterAll(() => store?.[Symbol.asyncDispose]());

    const options = (engine: 'deno' | 'node'): RuntimeOptions => ({
      engine,
      size: 1,
      packages: ['numpy'],
      mirror,
      sessions: { store: store.spec },
    });

    it.each([
      ['deno', 'node'],
      ['node', 'deno'],
    ] as const)('begun by %s go on in %s after the host has ended', async (from, to) => {
      const id = `from-${from}`;
      {
        await using runtime = await createRuntime(options(from));
        const session = await runtime.session(id);
        const execution = await session.run(begin);
        expect(execution.error?.traceback.join('\n')).toBe(undefined);
        expect(session.revision).toBe(1);
      }
      await using runtime = await createRuntime(options(to));
      const session = await runtime.session(id, { create: false });
      expect(session.revision).toBe(1);
      const execution = await session.run(goOn);
      expect(execution.error?.traceback.join('\n') ?? execution.text).toBe(seen);
      expect(execution.session).toEqual({ id, revision: 2 });
      expect(new TextDecoder().decode(await session.files.read('notes.txt'))).toBe('first\nsecond\n');
    });

    // Python 3.11, which runs the harness's own tests, can't complete these.
    it('complete the names of modules', async () => {
      await using runtime = await createRuntime(options('node'));
      const session = await runtime.session('asked');
      expect((await session.complete('import js')).matches).toContain('json');
      expect((await session.complete('from email.mim')).matches).toEqual(['email.mime']);
    });

    it('T40: of two tenants with one id are two', async () => {
      await using runtime = await createRuntime(options('node'));
      const [one, two] = [
        await runtime.session('same', { tenant: 'one' }),
        await runtime.session('same', { tenant: 'two' }),
      ];
      await one.run('marker = "of one"\nopen("marker", "w").write(marker)');
      const { value } = await two.run('import os\n("marker" in globals(), os.path.exists("marker"))');
      expect(value).toEqual([false, false]);
      expect(await two.files.stat('marker')).toBe(undefined);
      const ids = (await runtime.sessions({ tenant: 'two' })).map(({ tenant, id }) => [tenant, id]);
      expect(ids).toEqual([['two', 'same']]);
      // What one has exported is nothing to the other.
      const bytes = await one.export();
      await expect(runtime.session('stolen', { tenant: 'two', bytes })).rejects.toMatchObject({
        code: 'session_bytes',
      });
    });

    it('F04: are at the revision of the last completed run after kill -9 of the host', async () => {
      const child = spawn(process.execPath, [host, JSON.stringify(options('deno')), 'killed'], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const exited = once(child, 'exit');
      let said = '';
      const acks = (): number => said.split('\n').filter((line) => line.startsWith('{')).length;
      const three = new Promise<void>((resolve) => {
        child.stdout.setEncoding('utf8');
        child.stdout.on('data', (text: string) => {
          said += text;
          if (acks() >= 3) resolve();
        });
      });
      await Promise.race([three, exited]);
      child.kill('SIGKILL');
      await exited;
      const acked = acks();
      expect(acked).toBeGreaterThanOrEqual(3);
      await using runtime = await createRuntime(options('deno'));
      // The dead host's lease has to run out first.
      const session = await untilFree(() => runtime.session('killed', { create: false }));
      const { value } = await session.run('log');
      const log = value as number[];
      // The one under way when it was killed may have been stored, and not acknowledged any more.
      expect(log.length - acked).toBeLessThanOrEqual(1);
      expect(log.length).toBeGreaterThanOrEqual(acked);
      expect(log).toEqual(log.map((_, index) => index));
      expect(session.revision).toBe(log.length + 1);
    });
  });
});

async function untilFree<T>(open: () => Promise<T>): Promise<T> {
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      return await open();
    } catch (error) {
      const { code, details } = error as { code?: string; details?: { retryAfterMs?: number } };
      if (code !== 'session_busy') throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.min(details?.retryAfterMs ?? 500, 2000)));
    }
  }
  throw new Error('the session stays taken');
}
