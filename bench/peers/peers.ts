import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Something that runs Python and is not ours. */
export interface Peer extends AsyncDisposable {
  /** Runs code and resolves with what it printed, or its value as text. */
  run(code: string): Promise<string>;
}

/** Runs a command to its end; its stdout. Rejects when it fails, so that no failure is measured as speed. */
export async function command(file: string, args: readonly string[]): Promise<string> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${args[0] ?? file} ended with ${code}: ${stderr.slice(-400)}`);
  return stdout;
}

export function hasPython(): boolean {
  return spawnSync('python3', ['-c', '']).status === 0;
}

export function pythonProcess(): Peer {
  return { run: (code) => command('python3', ['-c', code]), [Symbol.asyncDispose]: async () => {} };
}

export function stockPyodideProcess(): Peer {
  return {
    run: (code) => command(process.execPath, [here('stock-pyodide.mjs'), code]),
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Loads the packages from a mirror each time. */
export function stockPackagesProcess(mirror: string, packages: readonly string[]): Peer {
  return {
    run: (code) => command(process.execPath, [here('stock-packages.mjs'), mirror, packages.join(','), code]),
    [Symbol.asyncDispose]: async () => {},
  };
}

/** CPython with native packages: the interpreter of the tests. Undefined where there is none. */
export function nativePackagesProcess(): Peer | undefined {
  const python = here('../../.venv/bin/python');
  const there = spawnSync(python, ['-c', 'import numpy, matplotlib']).status === 0;
  return there
    ? { run: (code) => command(python, ['-c', code]), [Symbol.asyncDispose]: async () => {} }
    : undefined;
}

export function warmPyodide(): Promise<Peer> {
  return warmThread(new Worker(here('warm-pyodide.mjs'), { stdout: true }));
}

export function warmPackages(mirror: string, packages: readonly string[]): Promise<Peer> {
  return warmThread(
    new Worker(here('warm-packages.mjs'), { stdout: true, workerData: { mirror, packages } }),
  );
}

async function warmThread(worker: Worker): Promise<Peer> {
  await once(worker, 'message');
  return {
    async run(code) {
      worker.postMessage(code);
      const [value] = await once(worker, 'message');
      return String(value);
    },
    async [Symbol.asyncDispose]() {
      await worker.terminate();
    },
  };
}

export async function forkServer(): Promise<Peer> {
  const child = spawn('python3', [here('fork_server.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  const peer: Peer = {
    async run(code) {
      const line = once(lines, 'line');
      child.stdin.write(`${JSON.stringify(code)}\n`);
      return JSON.parse((await line)[0]);
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await once(child, 'close');
    },
  };
  await peer.run('pass');
  return peer;
}
