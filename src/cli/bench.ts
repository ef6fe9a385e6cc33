import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { exitCodes } from './report.ts';

/** The benchmark needs the peers it measures against, so it runs from a clone only. */
export function bench(args: readonly string[]): Promise<number> {
  const program = fileURLToPath(new URL('../../bench/main.ts', import.meta.url));
  if (!existsSync(program)) {
    process.stderr.write('vivarium: the benchmark is part of a clone of the project: bench/main.ts\n');
    return Promise.resolve(exitCodes.failed);
  }
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], { stdio: 'inherit' });
    // Ctrl-C reaches the child as well: it ends, and then we do.
    process.on('SIGINT', () => undefined);
    process.on('SIGTERM', () => child.kill('SIGTERM'));
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? exitCodes.failed));
  });
}
