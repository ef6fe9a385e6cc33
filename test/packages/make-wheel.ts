import { type Zippable, zipSync } from 'fflate';
import { pyodideLockFile } from '../../src/packages/distribution.ts';
import type { WantedWheel } from '../../src/packages/wheel-cache.ts';
import { sha256Of } from '../../src/packages/wheel-cache.ts';

/** A wheel with one module of its name, and what else is given. Without compression unless `level` says so. */
export function makeWheel(
  name: string,
  version = '1.0',
  files: Zippable = {},
  { requires = [], level = 0 }: { requires?: string[]; level?: 0 | 6 } = {},
): { fileName: string; bytes: Uint8Array<ArrayBuffer>; sha256: string } {
  const module = name.replaceAll('-', '_');
  const info = `${module}-${version}.dist-info`;
  const text = (content: string): Uint8Array => new TextEncoder().encode(content);
  const metadata = `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n${requires.map((one) => `Requires-Dist: ${one}\n`).join('')}`;
  const bytes = zipSync(
    {
      [`${module}/__init__.py`]: text(`version = ${JSON.stringify(version)}\n`),
      [`${info}/METADATA`]: text(metadata),
      [`${info}/WHEEL`]: text('Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n'),
      [`${info}/RECORD`]: text(''),
      ...files,
    },
    { level, mtime: '2026-01-01' },
  );
  return { fileName: `${module}-${version}-py3-none-any.whl`, bytes, sha256: sha256Of(bytes) };
}

/** Offset of the record of the central directory whose name it is. */
export function recordOf(bytes: Uint8Array, name: string): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  let at = view.getUint32(bytes.length - 6, true);
  while (view.getUint32(at, true) === 0x02014b50) {
    const length = view.getUint16(at + 28, true);
    if (new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + length)) === name) return at;
    at += 46 + length + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  throw new Error(`no ${name}`);
}

/** A copy with a number of it exchanged. */
export function patched(
  bytes: Uint8Array,
  offset: number,
  value: number,
  size: 2 | 4 = 4,
): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  const view = new DataView(copy.buffer);
  if (size === 2) view.setUint16(offset, value, true);
  else view.setUint32(offset, value, true);
  return copy;
}

export type MadeWheel = ReturnType<typeof makeWheel>;

export function wanted(
  wheel: MadeWheel,
  source: WantedWheel['source'] = { kind: 'distribution' },
): WantedWheel {
  const [name = '', version = ''] = wheel.fileName.split('-');
  return { name: name.replaceAll('_', '-'), version, fileName: wheel.fileName, sha256: wheel.sha256, source };
}

/** The text of a `pyodide-lock.json` with these wheels. */
export function pyodideLock(wheels: readonly (MadeWheel & { depends?: string[] })[], abi = '2026_0'): string {
  const packages = wheels.map((wheel) => {
    const { name, version, fileName, sha256 } = wanted(wheel);
    const entry = {
      name,
      version,
      file_name: fileName,
      sha256,
      depends: wheel.depends ?? [],
      imports: [name.replaceAll('-', '_')],
    };
    return [name, { ...entry, install_dir: 'site', package_type: 'package', unvendored_tests: false }];
  });
  const info = { abi_version: abi, arch: 'wasm32', platform: 'emscripten_5_0_3', python: '3.14.2' };
  return JSON.stringify({ info, packages: Object.fromEntries(packages) });
}

export { pyodideLockFile };
