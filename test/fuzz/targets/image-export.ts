/** A file that is said to be an exported image, as it is or compressed. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { readExport } from '../../../src/catalog/image-transfer.ts';
import { preludeBytes } from '../../../src/image/format.ts';
import { ImageError } from '../../../src/image/header.ts';
import { ensure, refusableLater } from '../target.ts';
import { seeds as images } from './image.ts';

const dir = mkdtempSync(join(tmpdir(), 'vivarium-fuzz-'));
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
const [from, to] = [join(dir, 'from'), join(dir, 'to')];

export const sources: readonly string[] = ['catalog/image-transfer.ts'];
export const dictionary: readonly string[] = ['VIVIMAGE', '\x02\0\0\0', '\0\x20\0\0\0\0\0\0'];
const whole = images.filter((one) => one[0] !== 0x7b);
export const seeds: readonly Uint8Array[] = [
  ...whole,
  ...whole.map((one) => new Uint8Array(zstdCompressSync(one))),
  new Uint8Array(zstdCompressSync(new Uint8Array(2 ** 24))),
];

export async function fuzz(data: Uint8Array): Promise<void> {
  writeFileSync(from, data);
  const check = () => Promise.resolve();
  const taken = await refusableLater(() => readExport(from, to, check).then(() => true), ImageError);
  const left = readdirSync(dir).filter((name) => name !== 'from');
  ensure(left.join() === (taken ? 'to' : ''), `left ${left}`);
  if (!taken) return;
  const made = readFileSync(to);
  rmSync(to);
  ensure(
    made.length >= preludeBytes && made.readBigUInt64LE(16) === BigInt(made.length),
    'of another length than it says',
  );
}
