/** The text of a `pyodide-lock.json`. */
import { InstallError } from '../../../src/errors/errors.ts';
import {
  lockFromDistribution,
  micropipLock,
  parseDistribution,
  providerOf,
} from '../../../src/packages/distribution.ts';
import { encodeLock, parseLock } from '../../../src/packages/lock.ts';
import { encodeValue } from '../../../src/protocol/value-codec.ts';
import { bytesOf, ensure, refusable, sameJson, textOf } from '../target.ts';

const one = {
  name: 'Micropip',
  version: '0.1',
  file_name: 'micropip-0.1-py3-none-any.whl',
  sha256: '0'.repeat(64),
  depends: ['Other.Pkg'],
  imports: ['micropip'],
  install_dir: 'site',
};
const json_ = {
  info: { abi_version: '2026_0', python: '3.14.2', arch: 'wasm32' },
  packages: {
    micropip: one,
    other: {
      ...one,
      name: 'other-pkg',
      file_name: 'other_pkg-2-py3-none-any.whl',
      depends: [],
      imports: ['o', '_o'],
    },
    tests: { file_name: 'x-tests.tar' },
  },
};

export const sources: readonly string[] = ['packages/distribution.ts'];
export const json = true;
export const maxBytes = 262_144;
export const seeds: readonly Uint8Array[] = [bytesOf(JSON.stringify(json_))];
export const dictionary: readonly string[] = [
  ...[
    ...Object.keys(json_),
    ...Object.keys(json_.info),
    ...Object.keys(one),
    '../',
    '/',
    '\\',
    '.whl',
    'a',
    '-',
    '.',
  ],
  ...['__proto__', 'constructor', '\u0130', '\u212a'],
];
const pyodide = {
  version: '314.0.7',
  abi: 'pyemscripten_2026_0',
  python: '3.14.2',
  cdnUrl: 'https://cdn.test/',
};

export function fuzz(data: Uint8Array): void {
  const found = refusable(() => parseDistribution(textOf(data), 'x'), InstallError);
  if (found === undefined) return;
  for (const [name, { fileName, ...rest }] of found.packages) {
    ensure(name === rest.name && /^[a-z0-9]+(-[a-z0-9]+)*$/.test(name), `no normalised name: ${name}`);
    ensure(/^[A-Za-z0-9][^/\\\0]*\.whl$/.test(fileName), `a file name that is none: ${fileName}`);
  }
  providerOf(found, 'constructor.x');
  // All that follows from it goes by the readers of the lock, and to micropip.
  refusable(() => micropipLock(found, pyodide), InstallError);
  const lock = refusable(
    () => lockFromDistribution(found, pyodide, [...found.packages.keys()]),
    InstallError,
  );
  const read = lock && refusable(() => parseLock(JSON.stringify(lock)), InstallError);
  if (read !== undefined)
    ensure(sameJson(parseLock(encodeLock(read)), read), 'another lock after a round trip');
  encodeValue({ request: { requirements: [], lockfile: found.json } });
}
