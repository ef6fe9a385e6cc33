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
import { join } from 'node:path';
import type { OutputFile } from '../runtime.ts';

export interface OutputRules {
  folder: string;
  /** Whether a file that differs is replaced. */
  replace: boolean;
  /** Whether names that begin with a dot are written: other tools may obey such files. */
  hidden: boolean;
  /** Real paths of the files that were passed in: they may come back changed. */
  inputs: ReadonlySet<string>;
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
  return files.map((file) => {
    try {
      return writeOutput(file, rules);
    } catch (error) {
      return { kind: 'refused', file, reason: error instanceof Error ? error.message : String(error) };
    }
  });
}

function writeOutput(file: OutputFile, rules: OutputRules): Outcome {
  const refused = (reason: string): Outcome => ({ kind: 'refused', file, reason });
  const names = file.path.split('/');
  if (names.some((name) => name === '' || name === '.' || name === '..' || /[\\:\0]/.test(name))) {
    return refused('not a path below the folder');
  }
  if (!rules.hidden && names.some((name) => name.startsWith('.'))) {
    return refused('a hidden name (--out writes it)');
  }
  mkdirSync(rules.folder, { recursive: true });
  let folder = rules.folder;
  for (const name of names.slice(0, -1)) {
    folder = join(folder, name);
    const stat = lstatSync(folder, { throwIfNoEntry: false });
    if (stat === undefined) mkdirSync(folder);
    else if (!stat.isDirectory()) return refused(`${folder} is not a folder`);
  }

  const target = join(folder, names.at(-1) ?? '');
  const stat = lstatSync(target, { throwIfNoEntry: false });
  if (stat === undefined) {
    create(target, file.bytes);
    return { kind: 'wrote', file, target };
  }
  if (stat.isDirectory()) return refused(`${target} is a folder`);
  if (stat.isFile() && stat.size === file.size && readFileSync(target).equals(file.bytes)) {
    return { kind: 'unchanged', file, target };
  }
  if (!rules.replace && !(stat.isFile() && rules.inputs.has(realpathSync(target)))) {
    return refused(`${target} exists and differs (--force replaces it)`);
  }
  replace(target, file.bytes);
  return { kind: 'wrote', file, target };
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
  const temporary = `${target}.${randomUUID()}.tmp`;
  try {
    writeFileSync(temporary, bytes, { flag: 'wx' });
    renameSync(temporary, target);
  } finally {
    rmSync(temporary, { force: true });
  }
}
