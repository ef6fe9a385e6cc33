import { existsSync } from 'node:fs';
import { VivariumError } from '../errors/errors.ts';
import type { Versions, WorkOptions } from '../node.ts';
import type { Execution, Progress, Run, Runtime } from '../runtime.ts';
import type { Completion, Session } from '../session.ts';
import { isPicture, pictureFiles } from './figures.ts';
import { parseInputs, readInputs } from './input.ts';
import type { LineSource } from './lines.ts';
import { findMagic, type MagicContext, magicNames } from './magics.ts';
import { writeOutputs } from './output.ts';
import { codeOf, exitCodes, explain, isClosedPipe, say } from './report.ts';
import { splitPackages } from './requirements.ts';
import { checkPackageFlags } from './run-packages.ts';
import { checkSessionFlags, openSession, type SessionFlags } from './session-flags.ts';
import type { RuntimeFlags } from './single-runtime.ts';
import { Statements } from './statements.ts';
import { printable } from './table.ts';
import { colourTraceback } from './traceback.ts';
import { formatBytes, parseEnv } from './values.ts';
import { type Desk, type Manners, progressBar, settledSoon } from './work.ts';

export interface ReplRequest extends RuntimeFlags, SessionFlags, Manners {
  file: readonly string[];
  env: readonly string[];
  with: readonly string[];
  figures?: 'png' | 'svg';
}

/** Everything outside of this process's memory that a prompt touches. */
export interface ReplHost extends Desk {
  /** Of a session that is kept, or of one that ends with it. */
  createRuntime(request: ReplRequest, work: WorkOptions): Promise<Runtime>;
  /** Whether somebody types, and sees prompts. */
  interactive: boolean;
  openLines(complete: (line: string) => Promise<Completion>): LineSource;
  versions(): Promise<Versions>;
  /** Wall time of a line, when the request has none; undefined: as of any run. */
  timeoutMs: number | undefined;
  /** Whether stderr shows colours. */
  colours: boolean;
  stdoutIsTerminal: boolean;
}

/** Reads, runs and prints until there is no more; resolves with the exit code. */
export async function repl(request: ReplRequest, host: ReplHost): Promise<number> {
  checkPackageFlags(request);
  checkSessionFlags(request);
  const inputs = parseInputs(request.file);
  const env = parseEnv(request.env);
  const packages = request.with.flatMap(splitPackages);

  const ended = Promise.withResolvers<number>();
  const abort = new AbortController();
  let prompt: Prompt | undefined;
  const stopListening = host.onInterrupt((exitCode) => {
    const isCtrlC = exitCode === exitCodes.interrupted;
    if (isCtrlC && prompt?.interrupt()) return;
    prompt?.stop();
    abort.abort();
    ended.resolve(exitCode);
  });
  host.stdout.on('error', (error) => ended.resolve(isClosedPipe(error) ? exitCodes.ok : exitCodes.failed));

  let runtime: Runtime | undefined;
  let session: Session | undefined;
  const work = async (): Promise<number> => {
    const bar = await progressBar(request, host);
    try {
      const starting = Promise.withResolvers<void>();
      const onProgress = (progress: Progress) => {
        bar?.update(progress);
        if (progress.stage === 'assets') starting.resolve();
      };
      const toldOf = { signal: abort.signal, onProgress };
      runtime = await host.createRuntime(request, toldOf);
      runtime.subscribe((event) => {
        if (event.type === 'progress') onProgress(event.progress);
        if (event.type !== 'warning' || request.quiet) return;
        bar?.stop();
        say(host.stderr, event.message);
      });
      session = await openSession(
        runtime,
        { ...request, session: request.session ?? 'repl' },
        packages,
        toldOf,
      );
      if (host.interactive && !request.quiet) await greet(session, request, host);
      const files = await readInputs(inputs);
      for (const [name, bytes] of Object.entries(files)) await session.files.write(name, bytes);
      // One that doesn't thaw in this build of its image can still be reset.
      const booted = session.check('').catch((error: unknown) => {
        if (!(error instanceof VivariumError && error.code === 'session_image')) throw error;
        bar?.stop();
        say(host.stderr, error.message);
      });
      booted.catch(ended.reject);
      // Somebody types meanwhile, unless an image has to be built first.
      await (host.interactive ? Promise.race([booted, starting.promise]) : booted);
    } finally {
      bar?.stop();
    }
    abort.signal.throwIfAborted();
    prompt = new Prompt(session, request, host, env);
    const code = await prompt.loop();
    if (request.session !== undefined) await session.close();
    return code;
  };
  try {
    return await Promise.race([work(), ended.promise]);
  } finally {
    stopListening();
    prompt?.close();
    const closing = runtime?.close({ graceMs: 0 }).catch(() => undefined);
    if (request.session !== undefined && session && closing) await settledSoon(closing);
  }
}

async function greet(session: Session, request: ReplRequest, host: ReplHost): Promise<void> {
  const { vivarium, python, pyodide } = await host.versions();
  const { id, image, revision } = session;
  const kept =
    request.session === undefined
      ? 'The session ends with it; --session NAME keeps one.'
      : `Session ${printable(id)}, revision ${revision}.`;
  host.stderr.write(
    `Python ${python} in Vivarium ${vivarium} (Pyodide ${pyodide}), image ${printable(image)}. ${kept}\n` +
      '%help lists what there is beside Python; exit or Ctrl-D ends.\n',
  );
}

/** One that is typed at, or fed by a pipe. */
class Prompt {
  readonly #session: Session;
  readonly #request: ReplRequest;
  readonly #host: ReplHost;
  readonly #env: Record<string, string>;
  readonly #lines: LineSource;
  readonly #entered: string[] = [];
  #run: Run | undefined;
  #stopped = false;
  /** Of what the terminal shows: a prompt begins a line. */
  #atLineStart = true;
  #exit: number | undefined;

  constructor(session: Session, request: ReplRequest, host: ReplHost, env: Record<string, string>) {
    this.#session = session;
    this.#request = request;
    this.#host = host;
    this.#env = env;
    this.#lines = host.openLines((line) => this.#complete(line));
  }

  /** Resolves with the exit code. */
  async loop(): Promise<number> {
    const statements = new Statements(this.#lines, (code) => this.#session.check(code));
    let status: number = exitCodes.ok;
    for (;;) {
      const code = await statements.next();
      if (code === undefined || /^\s*(?:exit|quit)\s*(?:\(\s*\)\s*)?$/.test(code)) break;
      if (!this.#lines.rest()) continue;
      this.#entered.push(code);
      status = await this.#perform(code);
      if (this.#exit !== undefined) return this.#exit;
      if (status === exitCodes.interrupted && !this.#host.interactive) return status;
      this.#beginLine();
    }
    return this.#host.interactive ? exitCodes.ok : status;
  }

  /** False when there is nothing to interrupt. */
  interrupt(): boolean {
    if (this.#stopped || !(this.#run || this.#host.interactive)) return false;
    if (this.#run) this.#run.interrupt();
    else this.#lines.drop();
    return true;
  }

  stop(): void {
    this.#stopped = true;
    this.#run?.interrupt();
  }

  close(): void {
    this.#lines.close();
  }

  /** Resolves with the status. Only what can't be mended by another line rejects. */
  async #perform(code: string): Promise<number> {
    try {
      const magic = findMagic(code);
      return (await (magic ? magic(this.#context) : this.#execute(code))) ?? exitCodes.ok;
    } catch (error) {
      if (!(error instanceof VivariumError) || error.code === 'closed') throw error;
      this.#tell(error.message);
      return codeOf(error);
    }
  }

  async #execute(code: string, then?: (execution: Execution) => void): Promise<number> {
    const { timeout = this.#host.timeoutMs, figures, quiet = false } = this.#request;
    const { colours } = this.#host;
    this.#run = this.#session.run(code, {
      interactive: true,
      timeoutMs: timeout,
      env: this.#env,
      figures,
      onStdout: (_, data) => this.#write('stdout', data),
      onStderr: (_, data) => this.#write('stderr', data),
      onDisplay: (result) => {
        const text = result.data['text/plain'];
        if (text !== undefined && !isPicture(result)) this.#write('stdout', `${text}\n`);
      },
    });
    try {
      const execution = await this.#run;
      const { code: status, text } = explain(execution, { quiet, toPassIn: '%load' });
      if (text !== '') this.#write('stderr', colours ? colourTraceback(text) : text);
      this.#keepPictures(execution);
      then?.(execution);
      if (execution.exitCode !== undefined) this.#exit = status;
      return status;
    } finally {
      this.#run = undefined;
    }
  }

  #keepPictures(execution: Execution): void {
    const rules = { folder: '.', replace: false, hidden: false, inputs: new Set<string>() };
    for (const outcome of writeOutputs(pictureFiles(execution, existsSync), rules)) {
      const { path, size } = outcome.file;
      if (outcome.kind === 'refused') this.#tell(`did not write ${path}: ${printable(outcome.reason)}`);
      else if (!this.#request.quiet) this.#tell(`${outcome.kind} ${path} (${formatBytes(size)})`);
    }
  }

  get #context(): MagicContext {
    return {
      session: this.#session,
      entered: this.#entered,
      print: (text) => this.#write('stdout', text),
      tell: (message) => {
        if (!this.#request.quiet) this.#tell(message);
      },
      time: (code) =>
        this.#execute(code, ({ timings: { runMs, cpuMs } }) =>
          this.#tell(`${formatMs(runMs)}, ${formatMs(cpuMs)} of it computing`),
        ),
    };
  }

  async #complete(line: string): Promise<Completion> {
    if (!line.startsWith('%')) return this.#session.complete(line);
    return { word: line, matches: magicNames.filter((name) => name.startsWith(line)) };
  }

  #write(stream: 'stdout' | 'stderr', data: Uint8Array | string): void {
    const { stdoutIsTerminal, stderrIsTerminal } = this.#host;
    this.#host[stream].write(data);
    if (!(stream === 'stdout' ? stdoutIsTerminal : stderrIsTerminal) || data.length === 0) return;
    this.#atLineStart = data.at(-1) === '\n' || data.at(-1) === 10;
  }

  #tell(message: string): void {
    this.#beginLine();
    say(this.#host.stderr, message);
  }

  #beginLine(): void {
    if (this.#atLineStart || !this.#host.interactive) return;
    this.#host.stderr.write('\n');
    this.#atLineStart = true;
  }
}

function formatMs(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
