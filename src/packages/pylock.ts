import { stringify } from 'smol-toml';
import { compare, type Lock, type LockedPackage } from './lock.ts';

export interface PylockOptions {
  /** `3.14.2`. */
  python: string;
  /** Where a wheel is: a URL, or a path relative to the file that is written. */
  locate(locked: LockedPackage): { url: string } | { path: string };
}

/** The lock as `pylock.toml`, for other tools: the packaging specification's version 1.0. */
export function encodePylock(lock: Lock, { python, locate }: PylockOptions): string {
  const versions = new Map(lock.packages.map(({ name, version }) => [name, version]));
  const packages = lock.packages
    .toSorted((a, b) => compare(a.name, b.name))
    .map((locked) => ({
      name: locked.name,
      version: locked.version,
      dependencies: locked.dependencies.map((name) => ({ name, version: versions.get(name) ?? '' })),
      wheels: [{ name: locked.fileName, ...locate(locked), hashes: { sha256: locked.sha256 } }],
    }));
  return `${stringify({
    'lock-version': '1.0',
    environments: ["sys_platform == 'emscripten'"],
    'requires-python': `==${python.split('.').slice(0, 2).join('.')}.*`,
    'created-by': 'vivarium',
    packages: packages.map(({ dependencies, ...rest }) => ({
      ...rest,
      ...(dependencies.length === 0 ? {} : { dependencies }),
    })),
    tool: { vivarium: { pyodide: lock.pyodide, abi: lock.abi, requirements: lock.requirements } },
  })}\n`;
}
