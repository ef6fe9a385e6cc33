import { randomUUID } from 'node:crypto';
import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { OutputFile } from '../runtime.ts';

export interface OutputRules {
  folder: string;
  /** Whether a file that differs is replaced. */
  replace: boolean;
  /** What would replace it, for messages. Default: `--force`. */
  toReplace?: string;
  /** Whether names that begin with a dot are written: other tools may obey such files. */
  hidden: boolean;
  /** Real paths of the files that were passed in: they may come back changed. */
  inputs: ReadonlySet<string>;
  /** Whether names have to be such as Windows takes for themselves. Default: whether this is Windows. */
  windows?: boolean;
}

/** What became of one file that came back. */
export type Outcome =
  | { kind: 'wrote' | 'unchanged'; file: OutputFile; target: string }
  | { kind: 'refused'; file: OutputFile; reason: string };

/**
 * Writes the files of a run below a folder. The names are the program's, which nobody has to trust: nothing climbs or
 * follows a link out of the folder.
 */
export function writeOutputs(files: readonly OutputFile[], rules: OutputRules): Outcome[] {
  const written = new Map<string, string>();
  return files.map((file) => {
    try {
      return writeOutput(file, rules, written);
    } catch (error) {
      return { kind: 'refused', file, reason: error instanceof Error ? error.message : String(error) };
    }
  });
}

/** `written`: by identity, the names of files that were written before. */
function writeOutput(file: OutputFile, rules: OutputRules, written: Map<string, string>): Outcome {
  const refused = (reason: string): Outcome => ({ kind: 'refused', file, reason });
  const names = file.path.split('/');
  const problem = names.map((name) => problemOf(name, rules)).find((one) => one !== undefined);
  if (problem !== undefined) return refused(problem);
  mkdirSync(rules.folder, { recursive: true });
  let folder = rules.folder;
  for (const name of names.slice(0, -1)) {
    folder = join(folder, name);
    const stat = lstatSync(folder, { throwIfNoEntry: false });
    if (stat === undefined) mkdirSync(folder);
    else if (!stat.isDirectory()) return refused(`${folder} is not a folder`);
  }

  const target = join(folder, names.at(-1) ?? '');
  const wrote = (): Outcome => {
    written.set(identityOf(target), file.path);
    return { kind: 'wrote', file, target };
  };
  const stat = lstatSync(target, { throwIfNoEntry: false });
  if (stat === undefined) {
    create(target, file.bytes);
    return wrote();
  }
  // Disks that take two names for one: by case, or by how an accent is written.
  const other = written.get(identityOf(target));
  if (other !== undefined) return refused(`on this disk it is the same file as ${other}`);
  if (stat.isDirectory()) return refused(`${target} is a folder`);
  if (stat.isFile() && stat.size === file.size && readFileSync(target).equals(file.bytes)) {
    return { kind: 'unchanged', file, target };
  }
  if (!rules.replace && !(stat.isFile() && rules.inputs.has(realpathSync(target)))) {
    return refused(`${target} exists and differs (${rules.toReplace ?? '--force'} replaces it)`);
  }
  replace(target, file.bytes);
  return wrote();
}

function problemOf(
  name: string,
  { hidden, windows = process.platform === 'win32' }: OutputRules,
): string | undefined {
  if (name === '' || name === '.' || name === '..' || /[\\:\0]/.test(name))
    return 'not a path below the folder';
  if (/\p{Cc}/u.test(name)) return 'a name with control characters';
  // Some disks leave out what can't be seen.
  if (!hidden && name.replace(/\p{Cf}/gu, '').startsWith('.')) return 'a hidden name (--out writes it)';
  if (windows && (windowsDevice.test(name) || /[<>"|?*]|[. ]$|~\d/.test(name)))
    return 'a name that Windows takes for another';
  return undefined;
}

/** Of whatever ending. */
const windowsDevice =
  /^(con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3]|conin\$|conout\$)\s*(\.|$)/i;

function identityOf(path: string): string {
  const { dev, ino } = lstatSync(path, { bigint: true });
  return `${dev}:${ino}`;
}

/** Takes the name first, so that nothing that came there meanwhile is replaced, and gives it back if writing fails. */
function create(target: string, bytes: Uint8Array): void {
  closeSync(openSync(target, 'wx'));
  try {
    replace(target, bytes);
  } catch (error) {
    rmSync(target, { force: true });
    throw error;
  }
}

/** By renaming: whole or not at all, and a link is replaced, never followed. */
function replace(target: string, bytes: Uint8Array): void {
  // Of its own name: the target's may be as long as names may be.
  const temporary = join(dirname(target), `.${randomUUID()}.tmp`);
  try {
    writeFileSync(temporary, bytes, { flag: 'wx' });
    renameSync(temporary, target);
  } finally {
    rmSync(temporary, { force: true });
  }
}
