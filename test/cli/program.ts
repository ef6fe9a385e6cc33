import { type SpawnOptions, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

const launcher = fileURLToPath(new URL('../../bin/vivarium.js', import.meta.url));

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface VivariumOptions {
  cwd?: string;
  /** Beside that of this process. */
  env?: Readonly<Record<string, string>>;
  /** Text for stdin. Default: no stdin. `open`: a pipe that never ends. */
  stdin?: string | { open: true };
  /** Called with all of stdout so far, each time it grows. `interrupt` is Ctrl-C: for the whole group. `terminate` is SIGTERM. */
  onStdout?: (
    text: string,
    program: { pid: number; interrupt(): void; terminate(): void; closeStdout(): void },
  ) => void;
}

/** Runs the built command line as a user does: a process of its own. */
export function vivarium(args: readonly string[], options: VivariumOptions = {}): Promise<Ended> {
  const { stdin, cwd, env } = options;
  const stdio: SpawnOptions['stdio'] = [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'];
  // Detached: the head of a group of its own, as a command in a terminal is.
  const child = spawn(process.execPath, [launcher, ...args], {
    stdio,
    detached: true,
    ...(cwd !== undefined && { cwd }),
    ...(env !== undefined && { env: { ...process.env, ...env } }),
  });
  if (typeof stdin === 'string') child.stdin?.end(stdin);
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    options.onStdout?.(stdout, {
      pid: child.pid ?? -1,
      interrupt: () => {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT');
      },
      terminate: () => child.kill('SIGTERM'),
      closeStdout: () => child.stdout?.destroy(),
    });
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** An empty folder, gone when the test is over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'vivarium-cli-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
