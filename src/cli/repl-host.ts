import { versions } from '../node.ts';
import { createDesk } from './desk.ts';
import { History, historyLines } from './history.ts';
import { stdinKind } from './input.ts';
import { type LineSource, PipedLines } from './lines.ts';
import type { ReplHost } from './repl.ts';
import { say } from './report.ts';
import { createSingle } from './single-runtime.ts';
import { TerminalLines } from './terminal-lines.ts';

export { repl } from './repl.ts';

/** The real streams, signals, history and runtime. */
export function createReplHost(): ReplHost {
  const { stdin, stdout, stderr, env } = process;
  const isTerminal = stdinKind() === 'terminal' && env.TERM !== 'dumb';
  const screen = isTerminal ? [stdout, stderr].find(({ isTTY }) => isTTY === true) : undefined;
  return {
    ...createDesk(),
    createRuntime: ({ session, image, with: packages, ...flags }, work) =>
      createSingle(
        {
          ...flags,
          // Whoever sits at a prompt may think for long. What nobody comes back to is kept nowhere.
          sessions: {
            idleTimeoutMs: Number.POSITIVE_INFINITY,
            ...(session === undefined && { store: 'memory', durability: 'freeze' }),
          },
        },
        work,
      ),
    interactive: screen !== undefined,
    openLines(complete): LineSource {
      if (!screen) return new PipedLines(stdin);
      const history = new History();
      const lines = history.read();
      if (history.problem !== undefined) say(stderr, `the history can't be kept: ${history.problem}`);
      return new TerminalLines({
        input: stdin,
        output: screen,
        history: lines,
        historySize: historyLines,
        complete,
        onLine: (line) => history.add(line),
      });
    },
    versions,
    colours: stderr.isTTY === true && !env.NO_COLOR,
    stdoutIsTerminal: stdout.isTTY === true,
  };
}
