import { describe, expect, it } from 'vitest';
import type { Execution, Runtime } from '../../src/runtime.ts';
import { evaluate, ok, py, type Subject } from './subject.ts';

const draw = py`
  import os, random, secrets, tempfile, uuid

  [
      random.random(),
      random.Random().random(),
      random.SystemRandom().random(),
      str(uuid.uuid4()),
      secrets.token_hex(16),
      os.urandom(16).hex(),
      next(tempfile._get_candidate_names()),
  ]
`;

/** Draws `count` times; no two draws may share a single item. */
async function expectAllDifferent(draws: Promise<Execution>[]): Promise<void> {
  const items = (await Promise.all(draws)).flatMap((execution) => execution.value as (number | string)[]);
  expect(items).toHaveLength(draws.length * 7);
  expect(new Set(items).size).toBe(items.length);
}

/** What an image must not change. Addresses and times are left out. */
const sample: readonly string[] = [
  '1 + 1',
  'print("a", end="")\n{"a": [1, 2.5, None], (1,): {2}}',
  'import json, re, math, itertools, collections, datetime\n[json.dumps({"a": 1}), math.pi, re.findall("a+", "caat")]',
  'import sys\n[sys.version, sys.path, sys.argv, sys.flags.optimize, sys.platform, __name__]',
  'import os\n[os.getcwd(), sorted(os.environ.items()), sorted(os.listdir("/"))]',
  'def f(n):\n    return 1 / n\nf(0)',
  'x = (1 +',
  'import sys\nsys.exit(3)',
  'import asyncio\nawait asyncio.gather(*(asyncio.sleep(0, i) for i in range(3)))',
  'import asyncio\nasyncio.run(asyncio.sleep(0, "run"))',
  'open("out.txt", "w").write("x")',
  'import decimal, fractions, hashlib, zlib, csv, sqlite3\n[str(decimal.Decimal(1) / 3), hashlib.sha256(b"a").hexdigest()]',
  'import ssl, lzma, bz2, unicodedata, zoneinfo\nunicodedata.name("é")',
  'class R:\n    def _repr_html_(self): return "<b>"\n    def __repr__(self): return "R"\nR()',
  'import warnings, logging\nlogging.warning("w")\nwarnings.warn("v")',
  'def f(): f()\nf()',
  'hash("a") == hash("a"), hash((1, 2)), hash(1.5)',
  'import random\nrandom.seed(7)\nrandom.random()',
  'input()',
];

function shape(execution: Execution): unknown {
  const { status, value, text, stdout, stderr, error, results, files, exitCode, truncated } = execution;
  return {
    status,
    value,
    text,
    stdout,
    stderr,
    error,
    results,
    exitCode,
    truncated,
    files: files.map(({ path, bytes, mimeType }) => ({ path, bytes, mimeType })),
  };
}

export function isolation(subject: Subject): void {
  describe('entropy', () => {
    it('differs from run to run on one worker', async () => {
      await expectAllDifferent(Array.from({ length: 8 }, () => ok(subject.run(draw))));
    });

    it('differs from worker to worker', async () => {
      await using runtime = await subject.make({ size: 1, isolation: 'process' });
      await expectAllDifferent([ok(runtime.run(draw)), ok(runtime.run(draw)), ok(subject.run(draw))]);
    });

    it.each([0, 7, 2 ** 31])('follows the seed %d, as Python itself does', async (seed) => {
      const code = `import random\n[random.random(), random.Random(${seed}).random()]`;
      const value = await evaluate(subject.run(code, { seed }));
      expect(value).toStrictEqual(await evaluate(subject.run(code, { seed })));
      expect(Array.isArray(value) && value[0] === value[1]).toBe(true);
    });

    it('leaves secrets unpredictable under a seed', async () => {
      const code = 'import os, secrets\n[secrets.token_hex(8), os.urandom(8).hex()]';
      const [first, second] = await Promise.all([
        evaluate(subject.run(code, { seed: 1 })),
        evaluate(subject.run(code, { seed: 1 })),
      ]);
      expect(first).not.toStrictEqual(second);
    });

    it('does not carry a seed over', async () => {
      const code = 'import random\nrandom.random()';
      const seeded = await evaluate(subject.run(code, { seed: 1 }));
      expect(await evaluate(subject.run(code))).not.toBe(seeded);
    });
  });

  describe('none', () => {
    it('keeps modules and their state, and clears the namespace', async () => {
      await using runtime = await subject.make({ size: 1, isolation: 'none' });
      await ok(runtime.run('import json\njson.kept = 41\nleaked = 1'));
      const value = await evaluate(runtime.run('import json\n[json.kept + 1, "leaked" in globals()]'));
      expect(value).toStrictEqual([42, false]);
    });

    it('shows none of its state to a run that asks for a clean start', async () => {
      await using runtime = await subject.make({ size: 1 });
      const patched = 'import json\nhasattr(json, "left")';
      await ok(runtime.run('import json\njson.left = 1', { isolation: 'none' }));
      expect(await evaluate(runtime.run(patched))).toBe(false);
      await ok(runtime.run('import json\njson.left = 1', { isolation: 'none' }));
      expect(await evaluate(runtime.run(patched, { isolation: 'process' }))).toBe(false);
    });

    it('goes on after an error and a timeout', async () => {
      await using runtime = await subject.make({ size: 1, isolation: 'none' });
      expect((await runtime.run('1/0')).status).toBe('error');
      expect((await runtime.run('while True:\n    pass', { timeoutMs: 100 })).status).toBe('timeout');
      expect(await evaluate(runtime.run('1 + 1'))).toBe(2);
    });
  });

  describe('process', () => {
    it('gives every run a worker of its own', async () => {
      await using runtime = await subject.make({ size: 1, isolation: 'process' });
      const first = await ok(runtime.run('import json\njson.left = 1'));
      const second = await ok(runtime.run('import json\nhasattr(json, "left")'));
      expect(second.value).toBe(false);
      if (subject.engine === 'deno') {
        expect(first.worker.pid).toBeGreaterThan(0);
        expect(second.worker.pid).not.toBe(first.worker.pid);
      } else {
        expect(second.worker.id).not.toBe(first.worker.id);
      }
    });

    it('does not charge a boot to the run', async () => {
      await using runtime = await subject.make({ size: 1, isolation: 'process' });
      for (let i = 0; i < 2; i += 1) {
        expect(await evaluate(runtime.run('1 + 1', { timeoutMs: 150 }))).toBe(2);
      }
    });
  });

  it('gives the same results without an image', async () => {
    await using plain: Runtime = await subject.make({ size: 1, image: false });
    for (const code of sample) {
      const [without, withImage] = [shape(await plain.run(code)), shape(await subject.run(code))];
      expect({ code, ...Object(without) }).toStrictEqual({ code, ...Object(withImage) });
    }
  });
}
