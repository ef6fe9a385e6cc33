import { PassThrough } from 'node:stream';
import { PipedLines } from '../../src/cli/lines.ts';
import { type ReplHost, type ReplRequest, repl } from '../../src/cli/repl.ts';
import type { Completion } from '../../src/session.ts';
import {
  createFakeRuntime,
  type FakeOutcome,
  type FakeRun,
  type FakeRuntimeOptions,
} from '../../src/testing.ts';
import { fakeDesk } from './fake-host.ts';

/** As far as tests need it: brackets, and blocks that an empty line ends. */
export function check(code: string): 'complete' | 'incomplete' | 'invalid' {
  if (code.includes('$') || code.endsWith('\\\n')) return 'invalid';
  const open = [...code].reduce((depth, sign) => depth + (sign === '(' ? 1 : sign === ')' ? -1 : 0), 0);
  if (open > 0 || /\\$/.test(code)) return 'incomplete';
  const isBlock = /^(?:[^\n]*\\\n)?[^\n]*:\s*(\n|$)/.test(code);
  return isBlock && (!code.endsWith('\n') || !code.trim().includes('\n')) ? 'incomplete' : 'complete';
}

/** What is entered is run by `run`; a prompt's questions are answered. */
export function pythonLike(run: (fake: FakeRun) => FakeOutcome): (fake: FakeRun) => FakeOutcome {
  return (fake) => {
    const { code, message } = fake;
    if (message.purpose === 'check') return { value: check(code) };
    if (message.purpose === 'complete') return { value: { word: code, matches: [`${code}s`] } };
    return run(fake);
  };
}

export interface ReplSubject {
  done: Promise<number>;
  stdout: { text: string };
  stderr: { text: string };
  pressCtrlC(): void;
  terminate(): void;
  /** Codes that were run, in order. */
  codes: string[];
  input: PassThrough;
  complete(line: string): Promise<Completion>;
}

export interface ReplSubjectOptions {
  request?: Partial<ReplRequest>;
  /** Text of a pipe. Without it the pipe stays open. */
  text?: string;
  run?: (fake: FakeRun) => FakeOutcome;
  fake?: Omit<FakeRuntimeOptions, 'run'>;
  host?: Partial<ReplHost>;
}

/** A prompt over a fake Python, fed by a pipe. */
export function startRepl({ request, text, run, fake, host }: ReplSubjectOptions): ReplSubject {
  const { desk, stdout, stderr, pressCtrlC, terminate } = fakeDesk();
  const input = new PassThrough();
  if (text !== undefined) input.end(text);
  const codes: string[] = [];
  let complete: (line: string) => Promise<Completion> = () => Promise.reject(new Error('not yet'));
  const script = pythonLike((one) => {
    codes.push(one.code);
    return run?.(one) ?? {};
  });
  const done = repl(
    { file: [], env: [], with: [], ...request },
    {
      ...desk,
      createRuntime: async () => createFakeRuntime({ ...fake, run: script }),
      interactive: false,
      openLines(completer) {
        complete = completer;
        return new PipedLines(input);
      },
      versions: async () => ({ vivarium: '1.2.3', python: '3.99.1', pyodide: '9.9.9' }),
      colours: false,
      stdoutIsTerminal: false,
      ...host,
    },
  );
  return { done, stdout, stderr, pressCtrlC, terminate, codes, input, complete: (line) => complete(line) };
}
