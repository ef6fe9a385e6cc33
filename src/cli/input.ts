import { fstatSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { posix } from 'node:path';
import type { Readable } from 'node:stream';
import { isatty } from 'node:tty';
import { protocolLimits } from '../protocol/limits.ts';
import { usage } from './values.ts';

/** A file to copy in: where it lies, and its name under the working folder. */
export interface InputFile {
  path: string;
  name: string;
}

/** Half of a text's limit is what the message of a run holds of all its texts; the last mebibyte is the program's. */
const maxStdinMebibytes = protocolLimits.maxTextChars / 2 ** 21 - 1;

/** The program's text. One line says what is wrong with a path that is no program. */
export function readProgram(path: string): string {
  checkFile(path);
  return decode(
    attempt(path, () => readFileSync(path)),
    path,
  );
}

/** `path` or `path=name`; a file whose own name holds `=` is taken whole. */
export function parseInputs(values: readonly string[]): InputFile[] {
  const inputs = values.map((value) => {
    const at = value.lastIndexOf('=');
    const split = at > 0 && statSync(value, { throwIfNoEntry: false }) === undefined;
    const path = split ? value.slice(0, at) : value;
    checkFile(path);
    return { path, name: split ? checkName(value.slice(at + 1)) : posix.basename(withSlashes(path)) };
  });
  const names = new Set<string>();
  for (const { name } of inputs) {
    if (names.has(name)) throw usage(`two files are named ${name}: use --file path=name`);
    names.add(name);
  }
  return inputs;
}

export async function readInputs(inputs: readonly InputFile[]): Promise<Record<string, Uint8Array>> {
  const read = ({ path, name }: InputFile) =>
    readFile(path).then((bytes) => [name, bytes] as const, rethrow(path));
  return Object.fromEntries(await Promise.all(inputs.map(read)));
}

export type StdinKind = 'terminal' | 'stream' | 'file' | 'none';

export function stdinKind(fd = 0): StdinKind {
  try {
    const stat = fstatSync(fd);
    if (stat.isFile()) return 'file';
    if (stat.isFIFO() || stat.isSocket()) return 'stream';
    return stat.isCharacterDevice() && isatty(fd) ? 'terminal' : 'none';
  } catch {
    return 'none';
  }
}

/**
 * Whether a program may read stdin. Programs started by other programs often inherit a pipe that never ends: to read
 * it to its end for a program that doesn't want it would hang.
 */
export function mentionsStdin(code: string): boolean {
  return /\b(?:input|stdin|fileinput)\b|\bopen\s*\(\s*0\b/.test(code);
}

/** All of stdin as text. */
export async function readStdin(stream: Readable): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > maxStdinMebibytes * 2 ** 20)
      throw usage(`stdin is larger than ${maxStdinMebibytes} MiB: pass it with --file`);
    chunks.push(chunk);
  }
  return decode(Buffer.concat(chunks), 'stdin');
}

function checkFile(path: string): void {
  const stat = attempt(path, () => statSync(path));
  if (stat.isDirectory()) throw usage(`is a folder: ${path}`);
}

/** Names come back as paths below a folder, so they go in as such too. */
function checkName(name: string): string {
  const normal = posix.normalize(withSlashes(name));
  if (name === '' || normal.startsWith('..') || posix.isAbsolute(normal) || normal.endsWith('/')) {
    throw usage(`not a name below the working folder: ${name}`);
  }
  return normal;
}

/** Windows' way is understood anywhere: a run's files can't have a backslash in their names. */
function withSlashes(path: string): string {
  return path.replaceAll('\\', '/');
}

function decode(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw usage(`not UTF-8 text: ${name}`);
  }
}

/** What reading a file comes to; what is wrong with the path is the caller's. */
export function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    return rethrow(path)(error);
  }
}

function rethrow(path: string): (error: unknown) => never {
  return (error) => {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw usage(`no such file: ${path}`);
    if (code === 'EACCES' || code === 'EPERM') throw usage(`no permission to read: ${path}`);
    throw usage(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
  };
}
