import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import type { Diagnosis } from '../../runtime.ts';
import {
  bubblewrapAdvice,
  filterDescriptor,
  findBubblewrap,
  infoDescriptor,
  sandboxed,
} from './bubblewrap.ts';
import { findCgroupParent } from './cgroup.ts';
import { hasShell } from './limits.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const timeoutMs = 5000;

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

/** Has bubblewrap start Deno as it does for a worker. Rejects with what is in the way. */
async function trySandbox(findDeno: () => string): Promise<string> {
  const bubblewrap = findBubblewrap();
  if (process.platform !== 'linux') throw new Error('it needs Linux');
  if (bubblewrap === undefined) throw new Error('bubblewrap is not installed');
  const { stdout } = await promisify(execFile)(bubblewrap, ['--version'], { timeout: timeoutMs });
  const env = { DENO_DIR: '/dev/null/none', DENO_NO_UPDATE_CHECK: '1', NO_COLOR: '1' };
  const command = await sandboxed({ file: findDeno(), args: ['--version'], env }, []);
  const child = spawn(command.file, command.args, {
    cwd: '/',
    env,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  (child.stdio[infoDescriptor] as Readable).resume();
  const given = child.stdio[filterDescriptor] as Writable;
  given.on('error', () => {});
  given.end(command.filter);
  const [version, complaint] = await Promise.all([
    text(child.stdout as Readable),
    text(child.stderr as Readable),
    once(child, 'close'),
  ]);
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
    const parent = findCgroupParent(env);
    const own =
      parent && hasShell() ? `, and by the kernel: cgroups below ${parent.path}` : '; no cgroup to use';
    return { name, ok: true, detail: `watched by the pool${own}` };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { name, ok: false, detail, fix: 'correct or unset VIVARIUM_CGROUP' };
  }
}
