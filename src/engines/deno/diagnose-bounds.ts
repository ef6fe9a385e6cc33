import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import type { Diagnosis } from '../../runtime.ts';
import { defaultResidentBytes } from '../engine.ts';
import { bubblewrapAdvice, findBubblewrap, sandboxed } from './bubblewrap.ts';
import { openCgroup } from './cgroup.ts';
import { environment } from './command.ts';
import { hasShell, limitProcess } from './limits.ts';
import { spawned } from './process.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const timeoutMs = 5000;
const maxResidentBytes = defaultResidentBytes(0);

/** What bounds a worker's process on this machine, besides Deno itself. Starts Deno once, in the sandbox. */
export async function diagnoseBounds(
  findDeno: () => string,
  env: Environment = process.env,
): Promise<Diagnosis[]> {
  return [await checkSandbox(findDeno, env), checkLimits(), checkMemory(env)];
}

/** Where it can't be had nothing is amiss, as long as the operator doesn't require it. */
async function checkSandbox(findDeno: () => string, env: Environment): Promise<Diagnosis> {
  const name = 'os sandbox';
  const required = env.VIVARIUM_SANDBOX?.trim().toLowerCase() === 'os';
  try {
    const tried = await trySandbox(findDeno);
    const who = required ? 'every worker, by VIVARIUM_SANDBOX' : "those who ask: sandbox: 'os'";
    return { name, ok: true, detail: `${tried}, for ${who}` };
  } catch (error) {
    const { message } = error instanceof Error ? error : new Error(String(error));
    const detail = `${required ? 'required by VIVARIUM_SANDBOX' : 'not at hand'}: ${message}`;
    return { name, ok: !required, detail, ...(required && { fix: bubblewrapAdvice }) };
  }
}

/** Has bubblewrap start Deno as it does for a worker, within the same limits. Rejects with what is in the way. */
async function trySandbox(findDeno: () => string): Promise<string> {
  const bubblewrap = findBubblewrap();
  if (process.platform !== 'linux') throw new Error('it needs Linux');
  if (bubblewrap === undefined) throw new Error('bubblewrap is not installed');
  const { stdout } = await promisify(execFile)(bubblewrap, ['--version'], { timeout: timeoutMs });
  const plain = { file: findDeno(), args: ['--version'], env: environment };
  const limits = { maxResidentBytes, cgroupProcs: undefined };
  const child = spawned(limitProcess(await sandboxed(plain, []), limits), () => {});
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  child.stdin.on('error', () => {}).end();
  const [version, complaint] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]).finally(() => clearTimeout(timer));
  if (!version.startsWith('deno ')) throw new Error(complaint.split('\n')[0] || 'Deno does not start in it');
  return `${stdout.trim()} with namespaces and a filter of system calls`;
}

function checkLimits(): Diagnosis {
  const set = 'no core dump, nothing written to disk, few descriptors';
  const detail = hasShell() ? set : 'none: there is no /bin/sh';
  return { name: 'process limits', ok: true, detail };
}

function checkMemory(env: Environment): Diagnosis {
  const name = 'memory limit';
  try {
    // Makes one, and removes it.
    const made = openCgroup(maxResidentBytes, env);
    made?.close();
    const own = made ? `, and by the kernel: cgroups below ${env.VIVARIUM_CGROUP}` : '; no cgroup is named';
    return { name, ok: true, detail: `watched by the pool${own}` };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { name, ok: false, detail, fix: 'correct or unset VIVARIUM_CGROUP' };
  }
}
