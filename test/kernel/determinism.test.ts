import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Inside, loadInside } from './inside.ts';
import type { KernelReport, KernelScript } from './kernel.inside.ts';
import { outputOf, resultOf, runOf } from './run-message.ts';

let inside: Inside;
let image: Uint8Array;
beforeAll(async () => {
  inside = await loadInside('kernel');
  const built = await boot({ freeze: true, runs: [] });
  if (built.image === undefined) throw new Error('no image');
  image = built.image;
});
afterAll(() => inside[Symbol.asyncDispose]());

function boot(script: KernelScript): Promise<KernelReport> {
  return inside.run<KernelReport>(script);
}

/** Each leaves something behind in another place. */
const habits = [
  'print("x" * 100)',
  'x = [0] * 500_000',
  'import sqlite3, decimal',
  'import os\nos.makedirs("a/b")\nopen("a/b/c", "wb").write(bytes(200_000))',
  'import os, sys\nos.chdir("/tmp")\nsys.path.append("/evil")\nos.environ["X"] = "1"',
  'def deep(n):\n    return deep(n - 1) if n else 0\ndeep(900)',
  '1 / 0',
  'import gc\ngc.unfreeze()\ngc.collect()',
  'import random\nrandom.random()',
  'import asyncio\nasyncio.create_task(asyncio.sleep(9))\nawait asyncio.sleep(0)',
  'import re, json\n[re.compile(str(n)) for n in range(200)]\njson.loads("[1]")',
  'input()',
];

it('two kernels restored from one image are alike to the byte, and as the image was', async () => {
  const [first, second] = await Promise.all([boot({ image, runs: [] }), boot({ image, runs: [] })]);
  expect(second.booted).toStrictEqual(first.booted);
  expect(first.booted.restIsZero).toBe(true);
});

it('runs and rewinds leave no byte changed', async () => {
  const codes = Array.from({ length: 50 }, (_, index) => habits[index % habits.length] ?? '');
  const { booted, runs } = await boot({ image, runs: codes.map((code) => runOf(code)) });
  expect(runs.length).toBe(50);
  for (const [index, { messages, thrown, after }] of runs.entries()) {
    expect(thrown).toBeUndefined();
    expect(messages.at(-1)).toMatchObject({ kind: 'rewound', dirty: null });
    expect(after, codes[index]).toStrictEqual(booted);
  }
});

it('equal runs of two kernels with a seed are equal in value, and without one they are not', async () => {
  const code = 'import random, uuid\nprint(random.random())';
  const draw = async (seed: number | null): Promise<string> => {
    const { runs } = await boot({ image, runs: [runOf(code, { seed })] });
    expect(resultOf(runs[0]?.messages ?? []).status).toBe('ok');
    return outputOf(runs[0]?.messages ?? []);
  };
  const [seeded, again, first, second] = await Promise.all([draw(1), draw(1), draw(null), draw(null)]);
  expect(again).toBe(seeded);
  expect(second).not.toBe(first);
});
