import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wheelFiles, wheelFolder } from '../wheels.ts';
import { type Inside, loadInside } from './inside.ts';
import type { KernelReport, KernelScript } from './kernel.inside.ts';
import { resultOf, runOf } from './run-message.ts';

const sum = 'import numpy as np\nfloat(np.linalg.inv(np.eye(3) * 2).sum())';
const lazily = 'import numpy as np\nround(float(np.fft.fft([1, 2, 3])[0].real))';

describe.skipIf(wheelFolder === undefined)('an image with dynamic libraries (wheel of numpy)', () => {
  let inside: Inside;
  let packages: NonNullable<KernelScript['packages']>;
  let image: Uint8Array;
  beforeAll(async () => {
    inside = await loadInside('kernel');
    packages = { files: await wheelFiles('numpy'), imports: ['numpy'] };
    const built = await boot({ freeze: true, runs: [] });
    if (built.image === undefined) throw new Error('no image');
    image = built.image;
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  function boot(script: KernelScript): Promise<KernelReport> {
    return inside.run<KernelReport>({ packages, ...script });
  }

  it('restores them where they were, and they work', async () => {
    const { booted, runs } = await boot({ image, runs: [runOf(sum), runOf(sum)] });
    expect(booted.libraries).toBeGreaterThan(0);
    for (const { messages, after } of runs) {
      expect(resultOf(messages)).toMatchObject({ status: 'ok', text: '1.5' });
      expect(messages.at(-1)).toMatchObject({ kind: 'rewound', dirty: null });
      expect(after).toStrictEqual(booted);
    }
  });

  it('is restored alike to the byte every time', async () => {
    const [first, second] = await Promise.all([boot({ image, runs: [] }), boot({ image, runs: [] })]);
    expect(second.booted).toStrictEqual(first.booted);
  });

  it('can load more of them, which costs the kernel its rewind', async () => {
    const { runs } = await boot({ image, runs: [runOf(lazily)] });
    expect(resultOf(runs[0]?.messages ?? [])).toMatchObject({ status: 'ok', text: '6' });
    expect(runs[0]?.messages.at(-1)).toMatchObject({ dirty: 'the run loaded a dynamic library' });
  });

  it('is refused without the files that it was built with', async () => {
    await expect(boot({ image, runs: [], packages: { files: new Map(), imports: [] } })).rejects.toThrow(
      /image needs the dynamic library .*numpy/,
    );
  });
});
