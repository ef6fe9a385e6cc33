import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { StreamPort } from '../../rpc/stream-port.ts';
import { trace } from '../../util/trace.ts';
import type { Place, PlaceEnd } from '../channel-worker.ts';
import { bubblewrapAdvice, childPid, filterDescriptor, infoDescriptor } from './bubblewrap.ts';
import type { Command } from './command.ts';
import { limiterName } from './limits.ts';
import { countsProcesses, processUsage } from './usage.ts';

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

const keptStderrBytes = 4096;
const keptInfoBytes = 1024;
/** What ends with Deno's process does so at once; beyond this it doesn't. */
const lastStepMs = 1000;

/**
 * Starts a worker's process; throws what the system says when it can't. `ended` is called when it is gone; what it
 * returns says that the process ended for its memory.
 */
export function startProcess(command: Command, ended: () => string | undefined = () => undefined): Place {
  const { filter } = command;
  const counts = countsProcesses();
  /** Of Deno itself, when another process starts it and waits for its end. */
  let inner: number | undefined;
  const child = spawned(command, (pid) => (inner = pid));
  if (child.pid !== undefined) trace('worker.spawned', { pid: child.pid });

  const { promise: exited, resolve } = Promise.withResolvers<PlaceEnd>();
  let stderr = '';
  let gone = false;
  let lastStep: NodeJS.Timeout | undefined;
  let paused = 0;
  const port = new StreamPort({
    auth: randomUUID(),
    write(chunks) {
      for (const chunk of chunks) child.stdin.write(chunk);
    },
    close: () => kill(),
  });
  child.stdout.on('data', (chunk: Buffer) => port.receive(chunk));
  child.stderr.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString('utf8')).slice(-keptStderrBytes);
  });
  const end = (): void => {
    if (gone) return;
    killTree(child.pid, inner);
    lastStep ??= setTimeout(() => killGroup(child.pid), lastStepMs).unref();
  };
  // A broken pipe is the end of the process, which is told below; one that lives on without its pipes is no worker.
  child.stdin.on('error', end);
  child.stdout.on('end', end);
  child.on('error', (error) => {
    gone = true;
    ended();
    resolve({ reason: `the worker's process could not be started: ${error.message}` });
  });
  child.on('exit', () => {
    gone = true;
    clearTimeout(lastStep);
    // What it left: a process that it started, or that of bubblewrap when that came to grief in between.
    if (process.platform !== 'win32') killGroup(child.pid);
  });
  child.on('close', (code, signal) => {
    const outOfMemory = ended();
    const how = describeEnd(code, signal, filter !== undefined);
    const reason = `the worker's process ended ${how}${outOfMemory ? `: ${outOfMemory}` : errorLine(stderr)}`;
    if (child.pid !== undefined) trace('worker.exited', { pid: child.pid, reason });
    resolve({ reason, ...(outOfMemory && { outOfMemory: true }) });
  });
  const kill = (): void => {
    end();
    // A process that left its group could hold them open, and its end would not be told.
    for (const pipe of pipesOf(child)) pipe.destroy();
  };
  /** Never bubblewrap's own: of that nothing is to be known, as long as it lives. */
  const currentPid = (): number | undefined => (filter ? inner : child.pid);
  return {
    port,
    get pid() {
      return currentPid();
    },
    exited,
    kill,
    ...(counts && {
      usage() {
        const pid = currentPid();
        return gone || pid === undefined ? null : processUsage(pid);
      },
    }),
    pauseUntil(over) {
      paused += 1;
      child.stdout.pause();
      void over.then(() => {
        paused -= 1;
        if (paused === 0) child.stdout.resume();
      });
    },
    onRun(point, run) {
      const pid = currentPid();
      if (pid !== undefined) trace(point, { pid, run });
    },
    hold(held) {
      const pipes = [child.stdin, child.stdout, child.stderr] as Partial<Socket>[];
      for (const handle of [child, ...pipes]) (held ? handle.ref : handle.unref)?.call(handle);
    },
  };
}

/** `started`: under bubblewrap, with the id of the process that it has started. */
export function spawned(command: Command, started: (pid: number) => void): Child {
  const child = spawn(command.file, command.args, {
    cwd: '/',
    env: command.env,
    // Node's types know of three.
    stdio: Array(command.filter ? 5 : 3).fill('pipe') as ['pipe', 'pipe', 'pipe'],
    // A group of its own: Ctrl-C in a terminal is for the host, which then interrupts Python and keeps the worker.
    detached: process.platform !== 'win32',
    windowsHide: true,
  });
  // Where no descriptor is left for the pipes Node gives back a child without them, and an error a moment later.
  if ((child.stdin as Writable | undefined) === undefined) {
    child.once('error', () => {});
    throw new Error('too many files are open');
  }
  if (command.filter) exchange(child, command.filter, started);
  return child;
}

/** Tells bubblewrap the filter, and takes the id of the process that it has started. */
function exchange(child: Child, filter: Uint8Array, started: (pid: number) => void): void {
  const given = child.stdio[filterDescriptor] as Socket;
  // Its end before it has read that is told as its end.
  given.on('error', () => {});
  given.end(filter);
  given.unref();
  const told = child.stdio[infoDescriptor] as Socket;
  let info = '';
  told.on('error', () => {});
  told.unref();
  told.on('data', (chunk: Buffer) => {
    info = (info + chunk.toString('utf8')).slice(0, keptInfoBytes);
    const pid = childPid(info);
    if (pid !== undefined) started(pid);
  });
}

function pipesOf(child: Child): Socket[] {
  return child.stdio.filter((pipe) => pipe !== null && pipe !== undefined) as Socket[];
}

/**
 * The whole group. Where another process waits for Deno it is left to see its end: it then ends itself, and nobody else
 * would take leave of its child.
 */
function killTree(pid: number | undefined, inner: number | undefined): void {
  if (inner === undefined || parentOf(inner) !== pid) killGroup(pid);
  else endProcess(inner);
}

function killGroup(pid: number | undefined): void {
  if (pid !== undefined) endProcess(process.platform === 'win32' ? pid : -pid);
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended before.
  }
}

/** The number may belong to another process by now. */
function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined;
  }
}

function describeEnd(code: number | null, signal: string | null, wrapped: boolean): string {
  // As shells and bubblewrap tell of a signal.
  const number = wrapped && code !== null && code > 128 ? code - 128 : undefined;
  const name = signal ?? Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
  return name === undefined ? `with code ${code}` : `by ${name}`;
}

function errorLine(stderr: string): string {
  const lines = stderr.trim().split('\n');
  const own = lines.find((line) => /error/.test(line) || line.startsWith(`${limiterName}:`));
  const bubblewrap = lines.find((line) => line.startsWith('bwrap: '));
  if (bubblewrap !== undefined) return `: ${bubblewrap.slice(0, 300)}; ${bubblewrapAdvice}`;
  return own === undefined ? '' : `: ${own.slice(0, 300)}`;
}
