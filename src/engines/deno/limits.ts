import { accessSync, constants, existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { Command } from './command.ts';

const shell = '/bin/sh';
/** The name under which the shell complains. */
export const limiterName = 'vivarium-worker';

/** An idle worker has about 20, one that boots no more. */
const maxDescriptors = 64;

/**
 * V8 sets aside a gigabyte for code, of which little is ever used, and each processor adds threads: 1.2 GB with two
 * processors, 10 MB more for each further one.
 */
const reservedBytes = 2 * 2 ** 30;
const reservedPerProcessor = 16 * 2 ** 20;

/** It fails where fewer are allowed already. */
const script = `
if [ -n "$1" ]; then echo $$ > "$1" || exit 125; fi
ulimit -c 0 && ulimit -f 0 || exit 125
ulimit -n ${maxDescriptors} 2> /dev/null
if [ -n "$2" ]; then ulimit -d "$2" 2> /dev/null; fi
shift 2
exec "$@"`;

export interface ProcessLimits {
  maxResidentBytes: number;
  /** The process puts itself in there before it does anything else. */
  cgroupProcs: string | undefined;
}

/** Whether the limits below can be set here. */
export function hasShell(): boolean {
  return process.platform !== 'win32' && existsSync(shell);
}

/**
 * Has the kernel hold the process, and all that it may start, to limits: no core dump, no byte into a file, few
 * descriptors, and on Linux an end to its writable memory far above what is watched, so that what can be taken between
 * two looks of the watchdog is bounded. (A number of processes is not among them: the kernel counts those of the user,
 * and threads.) Where there is no shell the command is left as it is. Throws what the system says when the program can't be
 * started: the shell would say it in words of its own.
 */
export function limitProcess(command: Command, { maxResidentBytes, cgroupProcs }: ProcessLimits): Command {
  if (!hasShell()) return command;
  accessSync(command.file, constants.X_OK);
  const dataBytes = maxResidentBytes + reservedBytes + availableParallelism() * reservedPerProcessor;
  const dataKilobytes = process.platform === 'linux' ? String(Math.ceil(dataBytes / 1024)) : '';
  const args = ['-c', script, limiterName, cgroupProcs ?? '', dataKilobytes, command.file, ...command.args];
  return { ...command, file: shell, args };
}
