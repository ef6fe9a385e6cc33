import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { vi } from 'vitest';
import { findDeno } from '../../src/engines/deno/binary.ts';
import type { Folders } from './folders.ts';
import type { Corruption } from './proxy.inside.ts';

const proxy = fileURLToPath(new URL('proxy.inside.ts', import.meta.url));
let made = 0;

/** A program that passes for Deno: the real one, with something between it and the host. See `proxy.inside.ts`. */
export function makeProxiedDeno({ own }: Pick<Folders, 'own'>, corruption: Corruption): string {
  const path = join(own, `proxied-deno-${made++}`);
  const words = [process.execPath, proxy, corruption, findDeno()].map((word) => `'${word}'`);
  writeFileSync(path, `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Workers that are started from now on are such; for the duration of the test. */
export function proxiedDeno(folders: Pick<Folders, 'own'>, corruption: Corruption): Disposable {
  const before = process.env.VIVARIUM_DENO;
  vi.stubEnv('VIVARIUM_DENO', makeProxiedDeno(folders, corruption));
  return { [Symbol.dispose]: () => void vi.stubEnv('VIVARIUM_DENO', before) };
}
