import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, homedir, hostname, platform, release, totalmem } from 'node:os';

const require = createRequire(import.meta.url);

function packageVersion(name: string): string | null {
  try {
    return JSON.parse(readFileSync(require.resolve(`${name}/package.json`), 'utf8')).version;
  } catch {
    return null;
  }
}

/** What the figures depend on. Nothing that tells whose machine it was. */
export interface Machine {
  cores: number;
  cpu: string;
  memoryBytes: number;
  os: string;
  versions: Record<string, string | null>;
}

export function machine(): Machine {
  const python = spawnSync('python3', ['--version'], { encoding: 'utf8' });
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryBytes: totalmem(),
    os: `${platform()} ${release()}`,
    versions: {
      vivarium: packageVersion('vivarium'),
      node: process.versions.node,
      v8: process.versions.v8,
      pyodide: packageVersion('pyodide'),
      deno: packageVersion('deno'),
      python3: python.status === 0 ? python.stdout.trim().replace('Python ', '') : null,
    },
  };
}

/** Names that say nothing, although a machine may bear them. */
const common = ['localhost', 'linux', 'node', 'deno'];

/** Throws when a text that will be published names this machine or a place on it. */
export function assertAnonymous(text: string): void {
  const names = [hostname(), homedir(), process.cwd(), process.execPath];
  const telling = names.filter((name) => name.length > 3 && !common.includes(name));
  const found = telling.filter((name) => text.includes(name)).length;
  if (found > 0) throw new Error(`a result names the machine or a place on it: ${found} times`);
}
