import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import type { Writable } from 'node:stream';
import { isSessionCode } from '../errors/codes.ts';
import type { VivariumError } from '../errors/errors.ts';
import type { Execution, PythonErrorInfo } from '../runtime.ts';
import { printable } from './table.ts';

export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  /** Packages or an image can't be had. */
  install: 3,
  /** A session can't be had, or not be stored. */
  session: 4,
  timeout: 124,
  interrupted: 130,
  oom: 137,
  terminated: 143,
} as const;

/** Of what was thrown. */
export function codeOf(error: VivariumError): number {
  if (error.code === 'usage') return exitCodes.usage;
  if (error.code === 'install') return exitCodes.install;
  return isSessionCode(error.code) || error.code === 'store' ? exitCodes.session : exitCodes.failed;
}

/** A message of ours on stderr. Names in it may be anybody's: a caller makes those `printable` that mustn't begin a line. */
export function say(stderr: Writable, message: string): void {
  stderr.write(`vivarium: ${message.split('\n').map(printable).join('\n')}\n`);
}

/** Whether a write failed because the reader has gone (`| head`), which is no fault. */
export function isClosedPipe(error: NodeJS.ErrnoException): boolean {
  return ['EPIPE', 'ECONNRESET', 'EOF'].includes(error.code ?? '');
}

/** What a run's end means: the exit code, and what stderr shows after the program's own output. */
export function explain(
  execution: Execution,
  options: { quiet?: boolean; file?: readonly string[]; toPassIn?: string } = {},
): { code: number; text: string } {
  const { status, error, exitCode, truncated } = execution;
  const lines: string[] = [];
  let code: number = exitCodes.ok;
  switch (status) {
    case 'ok':
      code = pythonExit(exitCode ?? 0);
      break;
    case 'error':
      code = pythonExit(exitCode ?? exitCodes.failed);
      // What `sys.exit` was given is already on stderr.
      if (exitCode === undefined) lines.push(...(error?.traceback ?? [status]));
      if (error?.hint !== undefined && !options.quiet) lines.push(`hint: ${printable(error.hint)}`);
      break;
    case 'timeout':
      code = exitCodes.timeout;
      lines.push(...whereItWas(error), ours('timeout', error));
      break;
    case 'interrupted':
      code = exitCodes.interrupted;
      lines.push(...whereItWas(error));
      break;
    case 'oom':
      code = exitCodes.oom;
      lines.push(...whereItWas(error), ours('out of memory', error));
      break;
    case 'crashed':
      code = exitCodes.failed;
      lines.push(ours('crashed', error));
      break;
    default:
      code = unreachable(status);
  }
  const cut = Object.entries(truncated).flatMap(([name, wasCut]) =>
    wasCut && name !== 'value' ? [name] : [],
  );
  if (cut.length > 0) lines.push(`vivarium: cut at its limit: ${cut.join(', ')}`);
  const forgotten = missingFile(execution, options.file ?? []);
  if (forgotten !== undefined && !options.quiet) {
    const { toPassIn = '--file' } = options;
    lines.push(
      `vivarium: the program sees only files that are passed in: ${toPassIn} ${printable(forgotten)}`,
    );
  }
  return { code, text: lines.map((line) => `${line.replace(/\n$/, '')}\n`).join('') };
}

/** The traceback of Python that was stopped; without frames it tells nothing that our own line doesn't. */
function whereItWas(error: PythonErrorInfo | undefined): readonly string[] {
  return error !== undefined && error.frames.length > 0 ? error.traceback : [];
}

function ours(what: string, error: PythonErrorInfo | undefined): string {
  return error?.value ? `vivarium: ${what}: ${printable(error.value)}` : `vivarium: ${what}`;
}

/** As a Unix exit status: the low byte. */
function pythonExit(code: number): number {
  return code & 0xff;
}

/** A file that Python didn't find, that lies here, and that was not passed in. */
function missingFile({ error }: Execution, passed: readonly string[]): string | undefined {
  if (error?.name !== 'FileNotFoundError') return undefined;
  const path = /: '([^']+)'/.exec(error.value)?.[1];
  if (path === undefined || passed.some((file) => basename(file) === basename(path))) return undefined;
  return existsSync(path) ? path : undefined;
}

function unreachable(status: never): never {
  throw new Error(`unknown status: ${String(status)}`);
}
