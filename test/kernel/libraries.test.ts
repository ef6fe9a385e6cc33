import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeImage, type ImageBytes } from '../../src/image/format.ts';
import type { InstalledPackages } from '../../src/kernel/boot.ts';
import { wheelFiles, wheelFolder } from '../wheels.ts';
import { type Inside, loadInside } from './inside.ts';
import type { KernelReport, KernelScript } from './kernel.inside.ts';
import { resultOf, runOf } from './run-message.ts';

const sum = 'import numpy as np\nfloat(np.linalg.inv(np.eye(3) * 2).sum())';
const lazily = 'import numpy as np\nround(float(np.fft.fft([1, 2, 3])[0].real))';

/** Each leaves something behind in numpy, in its files, or in memory. */
const hostile = [
  'import numpy as np\nnp.sum = None\nnp.ndarray = dict',
  'import numpy as np\nnp.set_printoptions(precision=1)\nnp.seterr(all="raise")',
  'import numpy as np\nkept = np.ones((1000, 1000)).cumsum()',
  'import numpy\nopen(numpy.__file__, "w").write("raise SystemExit")',
  'import os, shutil, numpy\nshutil.rmtree(os.path.dirname(numpy.__file__))',
  'import sys\nfor name in list(sys.modules):\n    if name.startswith("numpy"):\n        del sys.modules[name]',
  'import gc\ngc.unfreeze()\ngc.collect()',
  'import numpy as np\nnp.random.seed(1)\nnp.random.default_rng().random(1000)',
  'import builtins, numpy as np\nbuiltins.print = np.array\nbuiltins.len = lambda _: 7',
  'import numpy as np\na = np.zeros(10)\nnp.lib.stride_tricks.as_strided(a, (10_000,))[:100] = 7',
];

describe.skipIf(wheelFolder === undefined)('an image with dynamic libraries (wheel of numpy)', () => {
  let inside: Inside;
  let packages: InstalledPackages;
  let image: ImageBytes;
  beforeAll(async () => {
    inside = await loadInside('kernel');
    packages = { wheels: ['numpy.whl'], files: await wheelFiles('numpy'), imports: ['numpy'], warm: [] };
    image = await build();
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  async function build(options: Partial<KernelScript> = {}): Promise<ImageBytes> {
    const built = await inside.run<KernelReport>({ packages, freeze: true, runs: [], ...options });
    if (built.image === undefined) throw new Error('no image');
    return built.image;
  }

  /** From the image alone: nothing else is needed. */
  function restore(script: Partial<KernelScript>): Promise<KernelReport> {
    return inside.run<KernelReport>({ image, runs: [], ...script });
  }

  it('restores them where they were, and they work', async () => {
    const { booted, runs } = await restore({ runs: [runOf(sum), runOf(sum)] });
    expect(booted.libraries).toBeGreaterThan(1);
    for (const { messages, after } of runs) {
      expect(resultOf(messages)).toMatchObject({ status: 'ok', text: '1.5' });
      expect(messages.at(-1)).toMatchObject({ kind: 'rewound', dirty: null });
      expect(after).toStrictEqual(booted);
    }
  });

  it('has memory cleared that the allocator knows nothing of', async () => {
    const code = `import ctypes
data = bytearray(2_000_000)
ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(data)) + 4_000_000, 65, 16)`;
    const { runs } = await restore({ runs: [runOf(code), runOf(code)] });
    for (const { messages, after } of runs) {
      expect(resultOf(messages)).toMatchObject({ status: 'ok' });
      expect(messages.at(-1)).toMatchObject({ kind: 'rewound', dirty: null });
      expect(after.restIsZero).toBe(true);
    }
  });

  // `Baseline` relies on it: a rewind goes back to the image's pages, not to a copy of the heap.
  it('is restored to exactly what its pages say, every time', async () => {
    const [first, second] = await Promise.all([restore({}), restore({})]);
    expect(first.unlike).toStrictEqual([]);
    expect(second.booted).toStrictEqual(first.booted);
  });

  it('is clean to the byte after each of many hostile runs', async () => {
    const codes = Array.from({ length: 30 }, (_, index) => hostile[index % hostile.length] ?? '');
    const { booted, runs } = await restore({ runs: codes.flatMap((code) => [runOf(code), runOf(sum)]) });
    expect(runs.length).toBe(60);
    for (const [index, { messages, thrown, after }] of runs.entries()) {
      const code = index % 2 === 0 ? codes[index / 2] : sum;
      expect(thrown, code).toBeUndefined();
      expect(messages.at(-1), code).toMatchObject({ kind: 'rewound', dirty: null });
      expect(after, code).toStrictEqual(booted);
      if (code === sum) expect(resultOf(messages)).toMatchObject({ status: 'ok', text: '1.5' });
    }
  });

  it('is the same image when it is built again with the same random numbers and times', async () => {
    const digests = await Promise.all(
      [1, 2].map(async () => {
        const { first, files } = await build({ sameEntropy: true });
        return [first, files].map((bytes) => createHash('sha256').update(bytes).digest('hex'));
      }),
    );
    expect(digests[1]).toStrictEqual(digests[0]);
  });

  it('says what it was built from, and holds all the files', () => {
    const { header } = decodeImage(image, { pyodide: '1', buildId: '2', kernelHash: '3', lockHash: '' });
    expect(header.contents).toStrictEqual({ wheels: ['numpy.whl'], imports: ['numpy'], warm: [] });
    const paths = new Set(header.tree.files.map(([path]) => path));
    const missing = [...packages.files.keys()].filter(
      (path) => !paths.has(`/lib/python3.14/site-packages/${path}`),
    );
    expect(missing).toStrictEqual([]);
    for (const { path } of header.linked.libraries) expect(paths).toContain(path);
  });

  it('can load more of them, which costs the kernel its rewind', async () => {
    const { runs } = await restore({ runs: [runOf(lazily)] });
    expect(resultOf(runs[0]?.messages ?? [])).toMatchObject({ status: 'ok', text: '6' });
    expect(runs[0]?.messages.at(-1)).toMatchObject({ dirty: 'the run loaded a dynamic library' });
  });

  it('gives up on what can’t be imported, by name', async () => {
    const imports = ['numpy', 'nonsense'];
    await expect(build({ packages: { ...packages, imports } })).rejects.toThrow(
      /nonsense .*can't be imported/,
    );
  });
});
