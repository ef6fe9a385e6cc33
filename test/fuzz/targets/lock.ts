/** A lock file's text. */
import { parse } from 'smol-toml';
import { InstallError } from '../../../src/errors/errors.ts';
import {
  checkLockFits,
  closure,
  defaultImports,
  encodeLock,
  lockHash,
  parseLock,
} from '../../../src/packages/lock.ts';
import { encodePylock } from '../../../src/packages/pylock.ts';
import { bytesOf, ensure, refusable, sameJson, textOf } from '../target.ts';

const one = {
  name: 'a-b',
  version: '1.0',
  fileName: 'a_b-1.0-py3-none-any.whl',
  sha256: '0'.repeat(64),
  source: { kind: 'distribution' },
  dependencies: ['c'],
  imports: ['a_b', '_x'],
};
const lock = {
  version: 1,
  pyodide: '314.0.7',
  abi: 'pyemscripten_2026_0',
  requirements: ['a-b>=1', 'c @ https://x.test/c-2-py3-none-any.whl'],
  packages: [
    one,
    {
      ...one,
      name: 'c',
      fileName: 'c-2-py3-none-any.whl',
      source: { kind: 'index', url: 'https://x.test/c' },
      dependencies: ['a-b'],
    },
  ],
};

export const sources: readonly string[] = ['packages/lock.ts', 'packages/pylock.ts'];
export const json = true;
export const maxBytes = 262_144;
export const seeds: readonly Uint8Array[] = [
  bytesOf(JSON.stringify(lock)),
  bytesOf(
    JSON.stringify({ ...lock, packages: [{ ...one, source: { kind: 'mirror' }, dependencies: ['a-b'] }] }),
  ),
];
export const dictionary: readonly string[] = [
  ...[...Object.keys(lock), ...Object.keys(one), 'kind', 'url', 'mirror', 'index', 'distribution'],
  ...[
    'a-b',
    'c',
    '../',
    '/',
    '\\',
    '.whl',
    'C:',
    '%2e',
    'http://u:p@x.test/',
    'file:///x',
    '__proto__',
    'constructor',
  ],
];

export function fuzz(data: Uint8Array): void {
  const found = refusable(() => parseLock(textOf(data)), InstallError);
  if (found === undefined) return;
  ensure(sameJson(parseLock(encodeLock(found)), found), 'another lock after a round trip');
  ensure(encodeLock(parseLock(encodeLock(found))) === encodeLock(found), 'another text after a round trip');
  for (const { fileName, source } of found.packages) {
    ensure(
      /^[^/\\\0]+\.whl$/.test(fileName) && !fileName.startsWith('.'),
      `a file name that is none: ${fileName}`,
    );
    ensure(
      source.kind !== 'index' || /^https?:$/.test(new URL(source.url).protocol),
      'a source that is not of the web',
    );
  }
  const names = found.packages.map(({ name }) => name);
  ensure(sameJson(closure(found, names), found.packages), 'the closure of all is not all');
  ensure(
    /^([0-9a-f]{64})?$/.test(
      lockHash({ packages: found.packages, imports: defaultImports(found), warm: [] }),
    ),
    'no hash',
  );
  refusable(() => checkLockFits(found, { version: '314.0.7', abi: 'x' }), InstallError);
  const locate = ({ fileName }: { fileName: string }) => ({ path: fileName });
  const pylock = parse(encodePylock(found, { python: '3.14.2', locate })) as {
    packages?: { name: string }[];
    tool: { vivarium: { requirements: string[] } };
  };
  ensure(
    sameJson(
      (pylock.packages ?? []).map(({ name }) => name),
      names,
    ),
    'other packages in pylock.toml',
  );
  ensure(
    sameJson(pylock.tool.vivarium.requirements, found.requirements),
    'other requirements in pylock.toml',
  );
}
