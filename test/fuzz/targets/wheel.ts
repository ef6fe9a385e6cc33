/** A wheel: any bytes, and archives that lie. */
import { type Zippable, zipSync } from 'fflate';
import { InstallError } from '../../../src/errors/errors.ts';
import { unpackWheel } from '../../../src/packages/unpack-wheel.ts';
import { topLevelModules, vetWheel, wheelLimits } from '../../../src/packages/vet-wheel.ts';
import { archive, members } from '../archive.ts';
import { bytesOf, ensure, type Random, refusable } from '../target.ts';

const metadata = 'x-1.0.dist-info/METADATA';
const names = [
  ...[
    'x/__init__.py',
    'x/a.so',
    'x-1.0.data/purelib/y.py',
    'x-1.0.data/platlib/z/z.cpython-314.so',
    'x/',
    'é.py',
    'e\u0301.py',
  ],
  ...[
    '../e.py',
    'x/../../e.py',
    '/e.py',
    'C:/e.py',
    'c:e.py',
    '\\e.py',
    'x\\..\\e.py',
    'x\0.py',
    'x//y',
    './e',
    '..',
    '.',
    '',
  ],
  ...[
    'x-1.0.data/purelib/C:e.py',
    'x-1.0.data/purelib/../e.py',
    'x-1.0.data/purelib//e.py',
    'x-1.0.data/purelib/',
    'x-1.0.data/scripts/s',
  ],
  ...[
    '__proto__',
    '__proto__/x.py',
    'constructor',
    'js.py',
    'js/x',
    'JS.py',
    'pyodide.so',
    'X/__init__.py',
    'x/__init__.py/y',
    metadata,
  ],
];

export const sources: readonly string[] = ['zip', 'vet-wheel', 'unpack-wheel'].map(
  (name) => `packages/${name}.ts`,
);
export const dictionary: readonly string[] = [
  ...[
    'PK\x03\x04',
    'PK\x01\x02',
    'PK\x05\x06',
    'PK\x06\x06',
    'PK\x06\x07',
    '\x01\0\x18\0',
    '.cpython',
    '.so',
    '.py',
    ...names,
  ],
];
const small: Zippable = {
  [metadata]: bytesOf('Name: x\n'),
  'x/__init__.py': bytesOf('x = 1\n'.repeat(9)),
  'x/': new Uint8Array(),
};
export const seeds: readonly Uint8Array[] = [
  zipSync(small, { level: 0 }),
  zipSync(small, { level: 9 }),
  zipSync({ ...small, 'x/zeros': new Uint8Array(2 ** 20) }, { level: 9 }),
  ...names.map((name) =>
    archive([
      { name: metadata, content: bytesOf('Name: x\n') },
      { name, content: Uint8Array.of(1) },
    ]),
  ),
];

export function fuzz(data: Uint8Array): void {
  const vetted = refusable(() => vetWheel(data, 'x-1.0-py3-none-any.whl', 'x'), InstallError);
  if (vetted === undefined) return;
  for (const name of topLevelModules(vetted)) ensure(/^[A-Za-z_]\w*$/.test(name), `no module: ${name}`);
  const declared = vetted.reduce((sum, { entry }) => sum + entry.size, 0);
  ensure(declared <= wheelLimits.maxUnpackedBytes, `${declared} bytes unpacked`);
  const packed = vetted.reduce((sum, { entry }) => sum + entry.packed.length, 0);
  ensure(packed <= data.length, 'members that overlap');
  const files = refusable(() => unpackWheel(data), InstallError);
  if (files === undefined) return;
  for (const path of files.keys()) ensure(stays(path), `leaves its folder: ${JSON.stringify(path)}`);
  for (const path of files.keys()) {
    for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1))
      ensure(!files.has(path.slice(0, end)), `a file and a folder: ${JSON.stringify(path.slice(0, end))}`);
  }
  roundTrip(files);
}

/** On any system, whatever it takes for a separator. */
function stays(path: string): boolean {
  if (path === '' || /^[A-Za-z]:/.test(path) || /[\0\\]/.test(path)) return false;
  return path.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..');
}

function roundTrip(files: ReadonlyMap<string, Uint8Array>): void {
  const total = [...files.values()].reduce((sum, content) => sum + content.length, 0);
  // Such a path in a wheel would be another one.
  const moves = [...files.keys()].some((path) => /^[^/]+\.data\//.test(path));
  if (total > 2 ** 20 || moves) return;
  const again = unpackWheel(archive([...files].map(([name, content]) => ({ name, content }))));
  ensure(again.size === files.size, 'other files after a round trip');
  for (const [path, content] of files)
    ensure(Buffer.compare(again.get(path) ?? new Uint8Array(), content) === 0, `${path} changed`);
}

/** Puts an archive together anew, with a lie or two. */
export function mutate(data: Uint8Array, random: Random): Uint8Array | undefined {
  const list = members(data);
  if (list === undefined) return undefined;
  const pick = () => list[random(list.length)];
  for (let edits = 1 + random(3); edits > 0; edits--) {
    const one = pick();
    if (one === undefined || random(5) === 0) {
      list.push({ name: names[random(names.length)] ?? '', content: data.slice(0, random(64)) });
      continue;
    }
    switch (random(9)) {
      case 0:
        one.name = names[random(names.length)] ?? '';
        break;
      case 1:
        one.localName = names[random(names.length)] ?? '';
        break;
      case 2:
        one.size = [0, 1, 0xffffffff, 0x7fffffff, 2 ** 24, 2 ** 24 + 1][random(6)];
        break;
      case 3:
        one.packedSize = [0, 1, 0xffffffff, one.content.length + 1, data.length][random(5)];
        break;
      case 4:
        one.offset = [0, 0xffffffff, data.length, random(data.length + 1)][random(4)];
        break;
      case 5:
        one.mode = [0o120777, 0o100644, 0o040755, 0o020666, 0][random(5)] ?? 0;
        break;
      case 6:
        one.method = [0, 8, 9, 14][random(4)] ?? 0;
        break;
      case 7:
        one.extra = data.slice(0, random(40));
        break;
      default:
        list.push({ ...one });
    }
  }
  const lies = random(4) === 0;
  return archive(list, {
    before: lies ? data.subarray(0, random(100)) : new Uint8Array(),
    comment: lies ? data.subarray(random(data.length + 1)).subarray(0, 0xffff) : new Uint8Array(),
    gap: lies ? random(20) : 0,
  });
}
