import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, Worker } from '../../src/engines/engine.ts';
import type { ImageSource } from '../../src/packages/image-source.ts';
import { mirrorForTests } from '../wheels.ts';
import { end, engines, finish, run, startOptions } from './subject.ts';

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
      let loads = 0;
      const image = numpyImage(`by-${builder}`, ['numpy', 'numpy.fft'], () => {
        loads += 1;
      });
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

  it.each([
    ['deno', 'node'],
    ['node', 'deno'],
  ])(
    'a session that has loaded libraries since goes on from %s to %s',
    { timeout: 120_000 },
    async (from, to) => {
      const image = numpyImage('plain', ['numpy']);
      const start = async (kind: string): Promise<{ engine: Engine; worker: Worker }> => {
        const engine = engines.find(([name]) => name === kind)?.[1]({ image: true, cacheDir });
        if (engine === undefined) throw new Error(`no engine ${kind}`);
        return { engine, worker: await engine.start(startOptions({ image })) };
      };
      const [here, there] = [await start(from), await start(to)];
      const hold = async (worker: Worker, text: string): Promise<string | null> => {
        const { result, rewound } = run(worker, text, { after: 'hold' });
        const { error, text: shown } = await result;
        await rewound;
        return error?.traceback.join('\n') ?? shown;
      };
      await hold(
        here.worker,
        `import numpy as np
import numpy.fft
a = np.arange(12.0).reshape(3, 4)
view, turned = a[1:, ::2], a.T
rng = np.random.default_rng(3)
rng.random()
kept = np.fft.rfft`,
      );
      const { delta } = await here.worker.freeze({ tasks: 'keep' });
      expect(delta.header.linked?.libraries.length).toBeGreaterThan(1);
      await there.worker.thaw(delta);
      const look = `a[1, 2] = 99
(view[0, 1] == 99, turned.base is a.base, float(turned[2, 1]), float(kept([1.0, 2.0, 3.0])[0].real), float(rng.random()))`;
      const seen = await hold(there.worker, look);
      expect(seen).toMatch(/^\(np\.True_, True, 99\.0, 6\.0, 0\.\d+\)$/);
      expect(await hold(here.worker, look)).toBe(seen);
      // A worker with more libraries than its image can't be put back.
      expect((await there.worker.rewind()).dirty).toMatch(/library/);
      for (const { engine, worker } of [here, there]) {
        await end(worker);
        await engine[Symbol.asyncDispose]();
      }
    },
  );
});

// Else a session that one host froze would fit no worker of another.
it('the engines build images that are the same to the byte', { timeout: 120_000 }, async () => {
  const digests = await Promise.all(
    engines.map(async ([kind, create]) => {
      const dir = await mkdtemp(join(tmpdir(), `vivarium-same-${kind}-`));
      await using engine = create({ image: true, cacheDir: dir });
      await end(await engine.start(startOptions()));
      const names = await readdir(join(dir, 'images'));
      const bytes = await readFile(join(dir, 'images', names[0] ?? ''));
      await rm(dir, { recursive: true, force: true });
      return `${names.length} ${createHash('sha256').update(bytes).digest('hex')}`;
    }),
  );
  expect(new Set(digests).size).toBe(1);
});

function numpyImage(lockHash: string, imports: string[], onLoad?: () => void): ImageSource {
  return {
    lockHash,
    name: 'numpy',
    async load() {
      onLoad?.();
      const wheels = folder ?? '';
      const fileName = (await readdir(wheels)).find((file) => /^numpy-.*\.whl$/.test(file)) ?? '';
      const url = pathToFileURL(join(wheels, fileName)).href;
      return { wheels: [{ fileName, url }], imports, warm: [] };
    },
  };
}
