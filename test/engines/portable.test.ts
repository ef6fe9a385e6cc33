import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ImageSource } from '../../src/packages/image-source.ts';
import { mirrorForTests } from '../wheels.ts';
import { end, engines, finish, startOptions } from './subject.ts';

const { folder, missing } = await mirrorForTests(['numpy']);
const code =
  'import numpy as np\n(float(np.linalg.inv(np.eye(3) * 2).sum()), round(np.fft.fft([1, 2, 3])[0].real))';

describe.skipIf(folder === undefined)(`images (wheels missing: ${missing.join(', ') || 'none'})`, () => {
  let cacheDir: string;
  beforeAll(async () => {
    cacheDir = await mkdtemp(join(tmpdir(), 'vivarium-portable-'));
  });
  afterAll(() => rm(cacheDir, { recursive: true, force: true }));

  it.each([
    ['deno', 'node'],
    ['node', 'deno'],
  ])(
    'with dynamic libraries that %s built are restored by %s',
    { timeout: 120_000 },
    async (builder, user) => {
      const wheels = folder ?? '';
      const fileName = (await readdir(wheels)).find((file) => /^numpy-.*\.whl$/.test(file)) ?? '';
      let loads = 0;
      const image: ImageSource = {
        lockHash: `by-${builder}`,
        name: 'numpy',
        async load() {
          loads += 1;
          const url = pathToFileURL(join(wheels, fileName)).href;
          return { wheels: [{ fileName, url }], imports: ['numpy', 'numpy.fft'], warm: [] };
        },
      };
      for (const kind of [builder, user]) {
        const create = engines.find(([name]) => name === kind)?.[1];
        if (create === undefined) throw new Error(`no engine ${kind}`);
        await using engine = create({ image: true, cacheDir });
        const worker = await engine.start(startOptions({ image }));
        for (let run = 0; run < 2; run += 1)
          expect(await finish(worker, code), kind).toMatchObject({ status: 'ok', text: '(1.5, 6)' });
        await end(worker);
      }
      expect(loads).toBe(1);
    },
  );
});
