import { readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Execution, RunOptions, Runtime } from '../runtime.ts';
import { type Canaries, placeCanaries } from './canaries.ts';
import type { Probe } from './probes.ts';
import { runProbes } from './run-probes.ts';

let canaries: Canaries;
beforeEach(async () => {
  canaries = await placeCanaries();
});
afterEach(() => canaries[Symbol.asyncDispose]());

describe('canaries', () => {
  it('are untouched when nobody touches them, however often they are looked at', async () => {
    expect(await canaries.touched()).toStrictEqual([]);
    expect(await canaries.touched()).toStrictEqual([]);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['created was created', () => writeFile(canaries.targets.create, '')],
    ['the file was removed', () => rm(canaries.targets.secret)],
    ['the file was changed', () => writeFile(canaries.targets.secret, 'x')],
    [
      'the environment was changed',
      async () => Reflect.deleteProperty(process.env, canaries.targets.variable),
    ],
  ])('tell: %s', async (told, touch) => {
    await touch();
    expect(await canaries.touched()).toContain(told);
  });

  it('count connections', async () => {
    const socket = connect(canaries.targets.port, '127.0.0.1');
    socket.on('error', () => {});
    await vi.waitFor(async () => expect(await canaries.touched()).toStrictEqual(['1 connections']));
    socket.destroy();
  });

  it('have one secret in the file and one in the environment', async () => {
    const { secret, variable } = canaries.targets;
    expect(canaries.secrets).toStrictEqual([await readFile(secret, 'utf8'), process.env[variable]]);
  });
});

/** Its script makes no attempts that are told. */
const probe: Probe = { id: 'T00', title: 'x', script: 'values.py', ends: ['ok'] };
const fine = { status: 'ok', stdout: '', stderr: '', files: [], results: [] } as unknown as Execution;
const alive = { ...fine, stdout: 'alive\n', value: [42, false] };

/** A runtime whose runs end as they are told to, but for those that only ask whether it is alive. */
function runtimeOf(answer: (options: RunOptions | undefined) => Partial<Execution>): Runtime {
  const run = async (code: string, options?: RunOptions): Promise<Execution> =>
    code.includes('alive') ? { ...alive, ...(answer(undefined) as object) } : { ...fine, ...answer(options) };
  return { run } as unknown as Runtime;
}

describe('a probe', () => {
  async function result(answer: (options: RunOptions | undefined) => Partial<Execution>): Promise<string> {
    const [first] = await runProbes(runtimeOf(answer), canaries, [probe]);
    return `${first?.ok}: ${first?.detail}`;
  }

  it('holds when nothing happened', async () => {
    expect(await result(() => ({}))).toBe('true: came back as data');
  });

  it.each<keyof Execution>(['stdout', 'stderr', 'text', 'value'])(
    'fails when a secret is in its %s',
    async (where) => {
      const [inFile = '', inEnvironment = ''] = canaries.secrets;
      const leak = (secret: string) => (options?: RunOptions) => (options ? { [where]: `<${secret}>` } : {});
      expect(await result(leak(inFile))).toBe('false: it learned a secret');
      expect(await result(leak(inEnvironment))).toBe('false: it learned a secret');
    },
  );

  it('fails when it ends as it should not', async () => {
    expect(await result((options) => (options ? { status: 'crashed' } : {}))).toMatch(
      /^false: it ended as 'crashed'/,
    );
  });

  it('fails when the next run is not well', async () => {
    expect(await result((options) => (options ? {} : { status: 'crashed' }))).toMatch(
      /^false: the next run ended/,
    );
    expect(await result((options) => (options ? {} : { stdout: 'LATE\nalive\n' }))).toMatch(/^false: .*LATE/);
  });

  it('is run again without the attempts that ended it', async () => {
    const rounds: unknown[] = [];
    const several: Probe = { ...probe, ends: ['ok', 'crashed'] };
    const runtime = runtimeOf((options) => {
      if (options === undefined) return {};
      const { tried } = JSON.parse(options.argv?.[0] ?? '');
      rounds.push(tried);
      const stdout = `{"try":"attempt ${tried.length}"}\n`;
      return tried.length < 2 ? { status: 'crashed', stdout } : { stdout };
    });
    const [first] = await runProbes(runtime, canaries, [several]);
    expect(first).toMatchObject({ ok: true, detail: '2 lost their worker, 1 ok' });
    expect(rounds).toStrictEqual([[], ['attempt 0'], ['attempt 0', 'attempt 1']]);
  });

  it('says when it was not run often enough for all attempts', async () => {
    const several: Probe = { ...probe, ends: ['crashed'] };
    const runtime = runtimeOf((options) =>
      options ? { status: 'crashed', stdout: '{"try":"attempt 0"}\n' } : {},
    );
    const [first] = await runProbes(runtime, canaries, [several], { rounds: 1 });
    const detail = '1 lost their worker; the rest was not tried';
    expect(first).toMatchObject({ ok: true, attempts: ['attempt 0'], detail });
  });

  it('fails when a script that tells its attempts makes none', async () => {
    const [first] = await runProbes(
      runtimeOf(() => ({})),
      canaries,
      [{ ...probe, script: 'shell.py' }],
    );
    expect(first).toMatchObject({ ok: false, detail: 'it ended before its first attempt' });
  });
});
