/**
 * The Python tools (pytest, ruff) in a virtual environment of the clone.
 * `node scripts/python.ts <tool> [args]` runs one of them, and makes the environment first when it is missing or old.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const requirements = join(root, 'python/requirements-dev.txt');
const venv = join(root, '.venv');
const binaries = join(venv, process.platform === 'win32' ? 'Scripts' : 'bin');

/** The path of a tool, e.g. `ruff`. Throws with the command that mends it. */
export function pythonTool(name: string): string {
  const stamp = join(venv, 'vivarium-stamp');
  const wanted = createHash('sha256').update(readFileSync(requirements)).digest('hex');
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
    rmSync(venv, { recursive: true, force: true });
    run(
      'python3',
      ['-m', 'venv', venv],
      'Python 3 with its venv module is needed: apt-get install python3-venv',
    );
    const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements];
    run(join(binaries, 'python'), install, `pip could not install ${requirements}`);
    writeFileSync(stamp, wanted);
  }
  return join(binaries, name);
}

function run(command: string, args: string[], advice: string): void {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(error ? `${advice} (${error.message})` : advice);
}

if (import.meta.main) {
  const [tool = 'python', ...args] = process.argv.slice(2);
  try {
    process.exitCode = spawnSync(pythonTool(tool), args, { cwd: root, stdio: 'inherit' }).status ?? 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
