import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { WorkerError } from '../../errors/errors.ts';
import type { Command } from './command.ts';
import { seccompFilter } from './seccomp.ts';

const loaderTimeoutMs = 10_000;
const run = promisify(execFile);

/** Of `Command`: where bubblewrap tells the process's id, and where it reads the filter. */
export const infoDescriptor = 3;
export const filterDescriptor = 4;

export const bubblewrapAdvice =
  'install bubblewrap 0.5 or newer (`apt install bubblewrap`) and allow it to make user namespaces; `vivarium doctor` tries it';

/**
 * Puts a command into namespaces of its own: no network, no other process, no capability, and a read-only root that
 * holds Deno, its libraries and the files it may read, nothing else. Throws `WorkerError` (`boot_failed`) where that
 * can't be. That the kernel refuses it shows when the command is started: bubblewrap ends then.
 */
export async function sandboxed(command: Command, readable: readonly string[]): Promise<Command> {
  const unavailable = (why: string, cause?: unknown): WorkerError =>
    new WorkerError('boot_failed', `sandbox 'os' can't be had: ${why}`, { cause });
  if (process.platform !== 'linux') throw unavailable('it needs Linux');
  const filter = seccompFilter(process.arch);
  if (filter === undefined) throw unavailable(`there is no filter of system calls for ${process.arch}`);
  const bubblewrap = findBubblewrap();
  if (bubblewrap === undefined) throw unavailable(`there is no 'bwrap' in PATH; ${bubblewrapAdvice}`);
  let libraries: readonly string[];
  try {
    libraries = await librariesOf(command.file);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw unavailable(`the libraries of ${command.file} aren't known: ${why}`, cause);
  }
  const env: Record<string, string> = { ...command.env };
  // Found without the system's cache of libraries, which isn't there.
  if (libraries.length > 0) env.LD_LIBRARY_PATH = [...new Set(libraries.map(dirname))].join(':');
  const files = [...new Set([command.file, ...libraries, ...readable])];
  const args = [
    ...['user', 'pid', 'net', 'ipc', 'uts', 'cgroup'].map((namespace) => `--unshare-${namespace}`),
    ...['--hostname', 'vivarium', '--uid', '65534', '--gid', '65534', '--cap-drop', 'ALL'],
    // It dies with its host, also when it no longer reads its pipe; and all that it started dies with it.
    ...['--die-with-parent', '--as-pid-1'],
    '--clearenv',
    ...Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value]),
    ...files.flatMap((path) => ['--ro-bind', path, path]),
    // V8 takes its seeds from it.
    ...['/dev/null', '/dev/urandom'].flatMap((path) => ['--dev-bind', path, path]),
    ...['--remount-ro', '/', '--chdir', '/'],
    ...['--info-fd', String(infoDescriptor), '--seccomp', String(filterDescriptor)],
    ...['--', command.file, ...command.args],
  ];
  return { file: bubblewrap, args, env: command.env, filter };
}

/** The process's id as the host sees it, of what bubblewrap says on `infoDescriptor`. */
export function childPid(info: string): number | undefined {
  return Number(/"child-pid": *(\d+)\s*[,}]/.exec(info)?.[1]) || undefined;
}

export function findBubblewrap(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder.startsWith('/'));
  return folders
    .map((folder) => join(folder, 'bwrap'))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

const known = new Map<string, Promise<readonly string[]>>();

/** The shared libraries of a program and their loader, as that loader finds them; once for each path. */
function librariesOf(path: string): Promise<readonly string[]> {
  let found = known.get(path);
  if (found === undefined) {
    found = askLoader(path);
    known.set(path, found);
    found.catch(() => known.delete(path));
  }
  return found;
}

async function askLoader(path: string): Promise<readonly string[]> {
  const loader = await loaderOf(path);
  if (loader === undefined) return [];
  // Both glibc's and musl's know this; the program isn't run.
  const { stdout } = await run(loader, ['--list', path], { env: {}, timeout: loaderTimeoutMs });
  if (stdout.includes('not found')) throw new Error(`some are missing: ${stdout}`);
  const libraries = [...stdout.matchAll(/^\s(?:.* => )?(\/.*) \(0x[0-9a-f]+\)$/gm)].map(
    ([, library]) => library ?? '',
  );
  return [...new Set([loader, ...libraries])];
}

const elfMagic = 0x7f45_4c46;
const interpreterSegment = 3;
const elfHeaderBytes = 64;

/** What an ELF program names as its loader; undefined when it is linked statically. */
async function loaderOf(path: string): Promise<string | undefined> {
  await using file = await open(path);
  const read = async (length: number, position: number): Promise<Buffer> => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
    if (bytesRead !== length) throw new Error('it is cut short');
    return buffer;
  };
  const notElf = new Error('it is no 64-bit ELF program; a script can’t stand in for Deno here');
  const header = await read(elfHeaderBytes, 0).catch(() => Promise.reject(notElf));
  if (header.readUInt32BE(0) !== elfMagic || header[4] !== 2 || header[5] !== 1) throw notElf;
  const entryBytes = header.readUInt16LE(54);
  const entries = header.readUInt16LE(56);
  const table = await read(entryBytes * entries, Number(header.readBigUInt64LE(32)));
  for (let at = 0; at < table.length; at += entryBytes) {
    if (table.readUInt32LE(at) !== interpreterSegment) continue;
    const length = Number(table.readBigUInt64LE(at + 32));
    const name = await read(length, Number(table.readBigUInt64LE(at + 8)));
    return name.toString('utf8').replace(/\0+$/, '');
  }
  return undefined;
}
