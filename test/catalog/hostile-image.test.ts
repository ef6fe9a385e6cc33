/** T42: image files that aren't what they say, given to the real engine. Checksums show damage, not malice: what passes them is still read inside the sandbox only. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { copyFile, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { findAssets } from '../../src/engines/assets.ts';
import type { Fingerprint, ImageHeader } from '../../src/image/header.ts';
import { createRuntime } from '../../src/node.ts';
import type { Runtime } from '../../src/runtime.ts';
import { makeImage } from './make-image.ts';

const root = mkdtempSync(join(tmpdir(), 'vivarium-hostile-image-'));
const canary = join(root, 'canary.txt');
writeFileSync(canary, 'canary-77');

let runtime: Runtime;
let good: Uint8Array;
let fingerprint: Fingerprint;
beforeAll(async () => {
  const cacheDir = join(root, 'cache');
  runtime = await createRuntime({ size: 1, cacheDir });
  expect((await runtime.run('6 * 7')).value).toBe(42);
  const [name = ''] = (await readdir(join(cacheDir, 'images'))).filter((one) => one.endsWith('.image'));
  good = await readFile(join(cacheDir, 'images', name));
  fingerprint = (await findAssets()).fingerprint;
}, 120_000);
afterEach(async () => {
  expect(readFileSync(canary, 'utf8')).toBe('canary-77');
  expect((await runtime.run('6 * 7')).value).toBe(42);
});
afterAll(async () => {
  await runtime?.close();
  await rm(root, { recursive: true, force: true });
});

async function given(bytes: Uint8Array): Promise<string> {
  const path = join(mkdtempSync(join(root, 'given-')), 'given.image');
  await writeFile(path, bytes);
  return path;
}

function flipped(at: number): Uint8Array {
  const bytes = Uint8Array.from(good);
  bytes[at] = (bytes[at] ?? 0) ^ 4;
  return bytes;
}

const damages: [string, () => Uint8Array, RegExp][] = [
  ['is cut short', () => good.subarray(0, good.length / 2), /cut short/],
  ['is cut within its header', () => good.subarray(0, 200), /cut short/],
  ['is empty', () => new Uint8Array(), /cut short/],
  ['is longer than it says', () => Buffer.concat([good, good]), /image/],
  ['has a bit flipped in its header', () => flipped(300), /image/],
  ['has a bit flipped in a page', () => flipped(Math.floor(good.length / 2)), /checksum/],
  ['has a bit flipped at its end', () => flipped(good.length - 1), /checksum/],
  [
    'is something else',
    () => new TextEncoder().encode('\u0080\u0004cos\nsystem\n(S"true"\ntR.'.repeat(100)),
    /not an image/,
  ],
];
test.each(damages)('T42: a file that %s is refused', async (_, bytes, message) => {
  await expect(runtime.run('1', { image: await given(bytes()) })).rejects.toMatchObject({
    name: 'InstallError',
    message: expect.stringMatching(message),
  });
});

/** All of them with checksums that are right. */
const lies: [string, Partial<Fingerprint>, Partial<Omit<ImageHeader, 'pages'>>][] = [
  ['is of another Pyodide', { pyodide: '0.1.0' }, {}],
  ['is of another build', { buildId: 'x' }, {}],
  ['is of another kernel', { kernelHash: 'x' }, {}],
  ['has no interpreter in it', {}, {}],
  ['has an impossible heap', {}, { heapTop: 2 ** 40 }],
  ['has its stack elsewhere', {}, { stackPointer: 2 ** 31 }],
  ['calls what it likes', {}, { executeAddress: 2 ** 30 }],
  [
    'names files of the host',
    {},
    { tree: { folders: ['/lib'], files: [['/../../canary.txt', 5, 0o644]], links: [], descriptors: [] } },
  ],
  [
    'links to files of the host',
    {},
    {
      tree: { folders: ['/lib'], files: [], links: [['/lib/x', '../../../../etc/passwd']], descriptors: [] },
    },
  ],
];
test.each(lies)('T42: one whose header lies (it %s) starts nothing', async (_, stamp, header) => {
  const path = await given(await makeImage({ ...fingerprint, ...stamp }, header));
  const error = await runtime.run('open("/etc/passwd").read()', { image: path, timeoutMs: 5000 }).then(
    () => expect.unreachable(),
    (caught: unknown) => caught as Error,
  );
  expect(error.name).toMatch(/^(InstallError|WorkerError|InternalError)$/);
  expect(JSON.stringify(error)).not.toContain('canary-77');
});

test('T42: a whole one, given by its path, is used as it is', async () => {
  const path = join(root, 'whole.image');
  await copyFile(await given(good), path);
  expect((await runtime.run('6 * 7', { image: path })).value).toBe(42);
});
