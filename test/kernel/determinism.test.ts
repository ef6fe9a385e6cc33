import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ImageBytes } from '../../src/image/format.ts';
import { type Inside, loadInside } from './inside.ts';
import type { KernelReport, KernelScript } from './kernel.inside.ts';
import { outputOf, resultOf, runOf } from './run-message.ts';

const mebibyte = 2 ** 20;

let inside: Inside;
let image: ImageBytes;
beforeAll(async () => {
  inside = await loadInside('kernel');
  const built = await boot({ freeze: true, runs: [] });
  if (built.image === undefined) throw new Error('no image');
  image = built.image;
});
afterAll(() => inside[Symbol.asyncDispose]());

function digestOf(image: ImageBytes | undefined): string[] {
  if (image === undefined) throw new Error('no image');
  return [image.first, image.files].map((bytes) => createHash('sha256').update(bytes).digest('hex'));
}

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

// `Baseline` relies on it: a rewind goes back to the image's pages, not to a copy of the heap.
it('a restored heap is exactly what the pages of its image say', async () => {
  const { unlike, booted } = await boot({ image, runs: [] });
  expect(unlike).toStrictEqual([]);
  expect(booted.heap).toMatch(/^[0-9a-f]{64}$/);
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

it('nothing lies about in the working folder of an image', async () => {
  const { runs } = await boot({ image, runs: [runOf('import os\n[os.listdir(), os.listdir("/tmp")]')] });
  expect(resultOf(runs[0]?.messages ?? []).text).toBe('[[], []]');
});

it('runs of two builds agree, also in the order of sets', async () => {
  const code = '(hash("text"), list({"red", "green", "blue", "black", "white"}))';
  const texts: (string | null)[] = [];
  for (let build = 0; build < 2; build += 1) {
    const built = await boot({ freeze: true, runs: [] });
    if (built.image === undefined) throw new Error('no image');
    const { runs } = await boot({ image: built.image, runs: [runOf(code)] });
    texts.push(resultOf(runs[0]?.messages ?? []).text);
  }
  expect(texts[0]).toMatch(/^\(-?\d+, /);
  expect(texts[1]).toBe(texts[0]);
});

it('two builds with the same random numbers and times give the same image', async () => {
  // Whoever waits comes to an end, by whichever clock.
  const code = `import asyncio, random, secrets, tempfile, time, uuid
time.sleep(2)
asyncio.run(asyncio.sleep(2))
for clock in time.time, time.monotonic, time.perf_counter:
    end = clock() + 0.01
    while clock() < end: pass
kept = [random.random(), secrets.token_hex(), uuid.uuid4(), tempfile.mkdtemp(), time.time()]`;
  const packages = { wheels: [], files: new Map(), imports: [], warm: [{ filename: 'warm.py', code }] };
  const build = (): Promise<KernelReport> => boot({ freeze: true, runs: [], sameEntropy: true, packages });
  const [first, second] = await Promise.all([build(), build()]);
  expect(second.booted).toStrictEqual(first.booted);
  expect(digestOf(second.image)).toStrictEqual(digestOf(first.image));
});

it('what was freed before an image is taken is not in it', async () => {
  const code = [
    'import os',
    'blocks = [os.urandom(n) for n in (100, 5000, 70_000, 1 << 20) for _ in range(40)]',
    'large = os.urandom(50 << 20)',
    'text = [str(n) for n in range(200_000)]',
  ].join('\n');
  const warm = [{ filename: 'much.py', code }];
  const built = await boot({
    freeze: true,
    runs: [],
    packages: { wheels: [], files: new Map(), imports: [], warm },
  });
  const bytes = (one: ImageBytes | undefined): number => one?.first.length ?? Number.NaN;
  // The memory itself can't shrink, and stays with the image as zeros.
  expect(built.booted.top).toBeGreaterThan(100 * mebibyte);
  expect(bytes(built.image)).toBeLessThan(bytes(image) + 2 * mebibyte);
  const { booted, unlike, runs } = await boot({
    ...(built.image && { image: built.image }),
    runs: [runOf('6 * 7')],
  });
  expect(unlike).toStrictEqual([]);
  expect(resultOf(runs[0]?.messages ?? []).text).toBe('42');
  expect(runs[0]?.after).toStrictEqual(booted);
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
