import { readFile, readlink } from 'node:fs/promises';
import type { Diagnosis } from '../runtime.ts';

const namespaces = ['mnt', 'net', 'pid', 'user', 'ipc', 'uts'];

/** What the system says of a worker's process; Linux only, elsewhere one line that says so. */
export async function describeProcess(pid: number, secrets: readonly string[]): Promise<Diagnosis[]> {
  if (process.platform !== 'linux') {
    return [{ name: 'process', ok: true, detail: `${process.platform} doesn't tell: only the probes do` }];
  }
  const folder = `/proc/${pid}`;
  const [environ, cmdline, status, own] = await Promise.all([
    readFile(`${folder}/environ`, 'utf8'),
    readFile(`${folder}/cmdline`, 'utf8'),
    readFile(`${folder}/status`, 'utf8'),
    ownNamespaces(folder),
  ]);
  return [
    environment(environ, secrets),
    permissions(cmdline),
    { name: 'system', ok: true, detail: `${own}; ${filter(status)}` },
  ];
}

function environment(environ: string, secrets: readonly string[]): Diagnosis {
  const name = 'environment';
  const names = environ.split('\0').flatMap((entry) => entry.split('=')[0] || []);
  if (secrets.some((secret) => environ.includes(secret))) {
    return { name, ok: false, detail: 'it was given that of this program' };
  }
  return { name, ok: true, detail: `nothing of this program's; ${names.length} settings of its own` };
}

function permissions(cmdline: string): Diagnosis {
  const name = 'permissions';
  const allowed = cmdline.split('\0').filter((argument) => /^(-A$|--allow-)/.test(argument));
  const excess = allowed.filter((argument) => !/^--allow-(read=.|import=none\.invalid$)/.test(argument));
  if (excess.length > 0) return { name, ok: false, detail: `started with ${excess.join(' ')}` };
  const reads = allowed.find((argument) => argument.startsWith('--allow-read='))?.split(',').length ?? 0;
  return { name, ok: true, detail: `started with leave to read ${reads} files of its own` };
}

async function ownNamespaces(folder: string): Promise<string> {
  const differ = await Promise.all(
    namespaces.map(async (each) => {
      const [theirs, ours] = await Promise.all(
        [folder, '/proc/self'].map((place) => readlink(`${place}/ns/${each}`).catch(() => undefined)),
      );
      return theirs !== undefined && theirs !== ours;
    }),
  );
  const found = namespaces.filter((_, at) => differ[at]);
  return found.length === 0 ? "this program's namespaces" : `namespaces of its own: ${found.join(', ')}`;
}

function filter(status: string): string {
  const mode = /^Seccomp:\s*(\d)/m.exec(status)?.[1];
  return mode === '2' ? 'system calls are filtered' : 'system calls are not filtered';
}
