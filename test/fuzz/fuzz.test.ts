import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const main = fileURLToPath(new URL('main.ts', import.meta.url));
const targets = readdirSync(new URL('targets', import.meta.url))
  .filter((file) => file.endsWith('.ts'))
  .map((file) => basename(file, '.ts'));
/** More than a thread that hangs is given, on a busy machine. */
const timeout = 90_000;

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'vivarium-fuzz-test-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** In a process of its own, whose threads can be ended. */
async function fuzz(...args: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      output += text;
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  return { code, output };
}

describe('what the host reads', () => {
  test.each(targets)('%s', { timeout }, async (target) => {
    const { code, output } = await fuzz('--target', target, '--seconds', '2');
    expect(output).toMatch(new RegExp(`^${target}: [1-9]\\d* inputs`, 'm'));
    expect({ code, output }).toEqual({ code: 0, output: expect.not.stringContaining('FAILED') });
  });
});

describe('the fuzzer finds', () => {
  const planted = fileURLToPath(new URL('fixtures/planted.ts', import.meta.url));

  test('what is planted, keeps the smallest input, and replays it', { timeout }, async () => {
    const { code, output } = await fuzz('--target', planted, '--seconds', '60', '--corpus', dir);
    expect(code).toBe(1);
    for (const why of [
      'TypeError: planted',
      'a prototype was polluted: planted',
      'Broken: also planted',
      'RangeError: planted',
    ])
      expect(output).toContain(why);
    const kept = readdirSync(join(dir, 'planted')).map((file) =>
      readFileSync(join(dir, 'planted', file), 'latin1'),
    );
    expect(kept.sort()).toEqual(['FU0', 'FU1', 'FU2', 'FU3', 'FU4']);
    const again = await fuzz('--target', planted, '--seconds', '0', '--corpus', dir);
    expect(again).toMatchObject({ code: 1, output: expect.stringContaining('TypeError: planted') });
  });

  test.each([
    ['hang', '3000'],
    ['memory', '60000'],
  ])('an input without an end: %s', { timeout }, async (name, limit) => {
    writeFileSync(
      join(dir, `${name}.ts`),
      `export const sources = [], dictionary = [], seeds = [new Uint8Array([7])];
      export function fuzz() { const held: number[][] = []; for (;;) if (${name === 'memory'}) held.push(new Array(1e5).fill(held.length)); }`,
    );
    const { code, output } = await fuzz(
      '--target',
      join(dir, `${name}.ts`),
      '--timeout',
      limit,
      '--corpus',
      dir,
    );
    expect(code).toBe(1);
    expect(output).toMatch(name === 'hang' ? /no end after \d+ ms/ : /MiB/);
    expect(readdirSync(join(dir, name))).toHaveLength(1);
  });
});
