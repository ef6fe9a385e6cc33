import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

const launcher = fileURLToPath(new URL('../../bin/vivarium.js', import.meta.url));
const inTerminal = fileURLToPath(new URL('in_terminal.py', import.meta.url));
/** Of a machine that does much else. */
const patienceMs = 60_000;

export interface Terminal {
  type(keys: string): void;
  /** Resolves when it shows this after what was waited for before; with all that came up to its end. */
  shows(text: string | RegExp): Promise<string>;
  /** Of the command. */
  ended: Promise<number | null>;
  /** All that it has shown. */
  readonly text: string;
}

/** Runs the built command line in a terminal of its own. */
export function inTerminalOf(args: readonly string[], env: Readonly<Record<string, string>> = {}): Terminal {
  const child = spawn('python3', [inTerminal, process.execPath, launcher, ...args], {
    env: { ...process.env, TERM: 'xterm', NO_COLOR: '', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => {
    // Its terminal goes with it, and so does the command.
    child.kill();
  });
  let text = '';
  let from = 0;
  const listeners = new Set<() => void>();
  const tell = () => {
    for (const listener of listeners) listener();
  };
  child.stdout.setEncoding('utf8').on('data', (data: string) => {
    text += data;
    tell();
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      resolve(code);
      tell();
    });
  });
  const find = (wanted: string | RegExp): string | undefined => {
    const rest = text.slice(from);
    const match = typeof wanted === 'string' ? rest.indexOf(wanted) : rest.search(wanted);
    if (match < 0) return undefined;
    const length = typeof wanted === 'string' ? wanted.length : (wanted.exec(rest)?.[0].length ?? 0);
    from += match + length;
    return rest.slice(0, match + length);
  };
  return {
    type: (keys) => child.stdin.write(keys),
    shows(wanted) {
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      const look = () => {
        const found = find(wanted);
        if (found === undefined) return;
        listeners.delete(look);
        clearTimeout(timer);
        resolve(found);
      };
      const timer = setTimeout(() => {
        listeners.delete(look);
        reject(new Error(`never shown: ${wanted}; after what was: ${JSON.stringify(text.slice(from))}`));
      }, patienceMs);
      listeners.add(look);
      look();
      return promise;
    },
    ended,
    get text() {
      return text;
    },
  };
}
