import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Session } from '../session.ts';
import { attempt } from './input.ts';
import { writeOutputs } from './output.ts';
import { checkpointTable, fileTable } from './session-report.ts';
import { printable } from './table.ts';
import { formatBytes, usage } from './values.ts';

/** What a magic works with. */
export interface MagicContext {
  readonly session: Session;
  /** What was asked for. */
  print(text: string): void;
  /** A message of ours. */
  tell(message: string): void;
  /** All that was entered here. */
  readonly entered: readonly string[];
  /** Runs code, and says how long that took. */
  time(code: string): Promise<number | undefined>;
}

interface Magic {
  readonly usage: string;
  readonly description: string;
  /** Least and most. */
  readonly operands: readonly [number, number];
  /** Resolves with the status of what it ran, if it ran something. */
  perform(operands: readonly string[], context: MagicContext, rest: string): Promise<number | undefined>;
}

const magics: Readonly<Record<string, Magic>> = {
  files: {
    usage: '%files [FOLDER]',
    description: 'list the files of the session',
    operands: [0, 1],
    async perform([folder], { session, print, tell }) {
      const files = await session.files.list(folder);
      if (files.length > 0) print(fileTable(files));
      else tell('no files');
      return undefined;
    },
  },
  load: {
    usage: '%load PATH [NAME]',
    description: 'copy a file of this machine into the session',
    operands: [1, 2],
    async perform([path = '', name = basename(path)], { session, tell }) {
      const bytes = attempt(path, () => readFileSync(path));
      await session.files.write(name, bytes);
      tell(`loaded ${printable(name)} (${formatBytes(bytes.length)})`);
      return undefined;
    },
  },
  save: {
    usage: '%save NAME [PATH]',
    description: 'copy a file of the session to this machine',
    operands: [1, 2],
    async perform([name = '', path], { session, tell }) {
      const bytes = await session.files.read(name);
      const target = path ?? basename(name);
      const file = { id: '', path: basename(target), mimeType: '', size: bytes.length, bytes };
      // Who names the target means it.
      const rules = { folder: dirname(target), replace: path !== undefined, hidden: true };
      const [outcome] = writeOutputs([file], { ...rules, inputs: new Set(), toReplace: '%save NAME PATH' });
      if (outcome?.kind === 'refused') throw usage(`did not write ${target}: ${outcome.reason}`);
      tell(`${outcome?.kind} ${printable(target)} (${formatBytes(bytes.length)})`);
      return undefined;
    },
  },
  checkpoint: {
    usage: '%checkpoint [NAME]',
    description: 'keep the present state under a name',
    operands: [0, 1],
    async perform([name], { session, tell }) {
      const made = await session.checkpoint(name);
      tell(`checkpoint ${printable(made.name)} (revision ${made.revision})`);
      return undefined;
    },
  },
  rollback: {
    usage: '%rollback [NAME]',
    description: 'go back to a checkpoint, or list them',
    operands: [0, 1],
    async perform([name], { session, print, tell }) {
      if (name === undefined) {
        const checkpoints = await session.checkpoints();
        if (checkpoints.length > 0) print(checkpointTable(checkpoints, new Date()));
        else tell('no checkpoints');
        return undefined;
      }
      await session.rollback(name);
      tell(`back at ${printable(name)}, as revision ${session.revision}`);
      return undefined;
    },
  },
  reset: {
    usage: '%reset',
    description: 'empty the interpreter; checkpoints stay',
    operands: [0, 0],
    async perform(_, { session, tell }) {
      await session.reset();
      tell('everything is as at the beginning');
      return undefined;
    },
  },
  history: {
    usage: '%history [N]',
    description: 'what was entered here, or the last N of it',
    operands: [0, 1],
    async perform([count], { entered, print }) {
      if (count !== undefined && !/^[1-9]\d{0,8}$/.test(count)) throw usage(`not a number: ${count}`);
      const shown = count === undefined ? entered : entered.slice(-Number(count));
      print(shown.map((code) => `${code.trimEnd()}\n`).join(''));
      return undefined;
    },
  },
  time: {
    usage: '%time CODE',
    description: 'run a line, and say how long it took',
    operands: [1, Number.POSITIVE_INFINITY],
    perform(_, { time }, rest) {
      return time(rest);
    },
  },
  help: {
    usage: '%help',
    description: 'this list',
    operands: [0, 0],
    async perform(_, { print }) {
      const rows = Object.values(magics).map((each) => [each.usage, each.description]);
      const width = Math.max(...rows.map(([text = '']) => text.length));
      const lines = rows.map(([text = '', description]) => `${text.padEnd(width)}  ${description}\n`);
      print(`${lines.join('')}${moreHelp}`);
      return undefined;
    },
  },
};

const moreHelp = `
%pip install PACKAGE adds a package, Tab completes, Ctrl-C interrupts, exit or Ctrl-D ends.
`;

/** Those of the harness. */
const pythons = new Set(['pip', 'matplotlib']);

/** The magic that a line asks for: undefined when it's Python's. Rejects with `UsageError` when there is no such. */
export function findMagic(
  line: string,
): ((context: MagicContext) => Promise<number | undefined>) | undefined {
  const [, name = '', rest = ''] = /^%\s*(\w*)\s*(.*?)\s*$/s.exec(line) ?? [];
  if (!line.startsWith('%') || pythons.has(name)) return undefined;
  const magic = Object.hasOwn(magics, name) ? magics[name] : undefined;
  if (!magic) throw usage(`there is no %${name}: %help lists what there is`);
  const operands = words(rest);
  const [least, most] = magic.operands;
  if (operands.length < least || operands.length > most) throw usage(`say ${magic.usage}`);
  return (context) => magic.perform(operands, context, rest);
}

/** For completion. */
export const magicNames: readonly string[] = [...Object.keys(magics), ...pythons]
  .sort()
  .map((name) => `%${name}`);

/** Parted by spaces, but for what is quoted. */
function words(text: string): string[] {
  return [...text.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c ?? '');
}
