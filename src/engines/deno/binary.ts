import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { WorkerError } from '../../errors/errors.ts';

/**
 * Path of Deno's executable: `VIVARIUM_DENO`, else the one of the platform's package that came with the `deno`
 * package (whose install script only copies it, and is not needed). Throws `WorkerError` (`boot_failed`).
 */
export function findDeno(): string {
  const override = process.env.VIVARIUM_DENO;
  if (override !== undefined && override !== '') {
    // Workers are started in another folder than this process's.
    if (existsSync(override)) return resolve(override);
    throw new WorkerError('boot_failed', `VIVARIUM_DENO names '${override}', which does not exist`);
  }
  const { platform, arch } = process;
  const target = platform === 'linux' ? `linux-${arch}-glibc` : `${platform}-${arch}`;
  // The platform's package is a dependency of `deno`, not of ours: a strict package manager shows it only from there.
  const fromDeno = createRequire(createRequire(import.meta.url).resolve('deno/package.json'));
  try {
    const folder = dirname(fromDeno.resolve(`@deno/${target}/package.json`));
    return join(folder, platform === 'win32' ? 'deno.exe' : 'deno');
  } catch (cause) {
    throw new WorkerError(
      'boot_failed',
      `Deno has no package for ${target} here: install Deno and set VIVARIUM_DENO to its path, or use the engine 'node' for trusted code`,
      { cause },
    );
  }
}
