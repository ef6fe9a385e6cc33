import { realpathSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import type { ImportedPackage, WorkOptions } from '../node.ts';
import type { Execution, Progress, Runtime } from '../runtime.ts';
import type { Session, SessionRunOptions } from '../session.ts';
import { pictureFiles } from './figures.ts';
import { mentionsStdin, parseInputs, readInputs, readProgram, readStdin, type StdinKind } from './input.ts';
import { documentOf, jsonText } from './json.ts';
import { type Outcome, writeOutputs } from './output.ts';
import type { ProgressBar } from './progress.ts';
import { exitCodes, explain, isClosedPipe, say } from './report.ts';
import { checkPackageFlags, packagesForRun } from './run-packages.ts';
import { checkSessionFlags, openSession, type SessionFlags } from './session-flags.ts';
import type { RuntimeFlags } from './single-runtime.ts';
import { printable } from './table.ts';
import { formatBytes, parseEnv, usage } from './values.ts';
import { type Desk, progressBar, settledSoon } from './work.ts';

/** What was asked for on the command line. */
export interface RunRequest extends RuntimeFlags, SessionFlags {
  /** A path, or `-` for stdin. */
  program?: string;
  code?: string;
  argv: readonly string[];
  file: readonly string[];
  env: readonly string[];
  out?: string;
  force?: boolean;
  json?: boolean;
  quiet?: boolean;
  progress: boolean;
  with: readonly string[];
  auto?: boolean;
  figures?: 'png' | 'svg';
}

/** Everything outside of this process's memory that a run touches. */
export interface Host extends Desk {
  /** `packages`: requirements that its interpreter holds. */
  createRuntime(request: RunRequest & { packages: readonly string[] }, work: WorkOptions): Promise<Runtime>;
  /** Of a PEP 723 block; undefined without one. */
  scriptDependencies(code: string, name: string): Promise<string[] | undefined>;
  /** By its imports. */
  packagesOf(code: string, request: RunRequest, work: WorkOptions): Promise<ImportedPackage[]>;
  stdin: Readable;
  stdinKind: StdinKind;
}

const stdinNoticeMs = 2000;

/** Runs one program and resolves with the exit code. What the caller did wrong rejects with `UsageError`. */
export async function run(request: RunRequest, host: Host): Promise<number> {
  checkPackageFlags(request);
  checkSessionFlags(request);
  const source = request.code ?? (request.program === '-' ? undefined : readProgram(request.program ?? ''));
  const inputs = parseInputs(request.file);
  const env = parseEnv(request.env);
  const abort = new AbortController();
  const ended = Promise.withResolvers<number>();

  let running = false;
  let stopCode: number = exitCodes.interrupted;
  const stopListening = host.onInterrupt((exitCode) => {
    stopCode = exitCode;
    if (!running || abort.signal.aborted) ended.resolve(exitCode);
    abort.abort();
  });
  // Output that goes nowhere ends the run: quietly when its reader has seen enough (`| head`).
  host.stdout.on('error', (error) => ended.resolve(isClosedPipe(error) ? exitCodes.ok : exitCodes.failed));

  let runtime: Runtime | undefined;
  let session: Session | undefined;
  let bar: ProgressBar | undefined;
  const work = async (): Promise<number> => {
    bar = await progressBar(request, host);
    const [code, files] = await Promise.all([
      source ?? readText(host, request, 'the program'),
      readInputs(inputs),
    ]);
    const stdin = source === undefined ? '' : await stdinFor(code, files, request, host);
    const program = { code, name: nameOf(request), inputs };
    const toldOf = { signal: abort.signal, onProgress: (progress: Progress) => bar?.update(progress) };
    const packages = await packagesForRun(request, program, host, toldOf);
    // Not warmed: that would make the worker practise before its only run.
    runtime = await host.createRuntime({ ...request, packages }, toldOf);
    abort.signal.throwIfAborted();
    // Told when the bar is gone: why it took so long, as when an image can't be kept.
    const warnings = new Set<string>();
    runtime.subscribe((event) => event.type === 'warning' && warnings.add(event.message));
    if (request.session !== undefined) session = await openSession(runtime, request, packages, toldOf);
    abort.signal.throwIfAborted();
    running = true;
    const options = { files, stdin, env, ...toldOf };
    const execution = await execute(session ?? runtime, code, options, request, { host, bar });
    if (!request.quiet) for (const warning of warnings) say(host.stderr, warning);
    const outcomes = writeOutputs([...execution.files, ...(request.json ? [] : pictureFiles(execution))], {
      folder: request.out ?? '.',
      replace: request.out !== undefined || request.force === true,
      hidden: request.out !== undefined,
      inputs: new Set(inputs.map(({ path }) => realpathSync(path))),
    });
    const exitCode = report(execution, outcomes, request, host);
    await session?.close();
    return execution.status === 'interrupted' ? stopCode : exitCode;
  };
  try {
    return await Promise.race([work(), ended.promise]);
  } finally {
    stopListening();
    bar?.stop();
    const closing = runtime?.close({ graceMs: 0 }).catch(() => undefined);
    // Else not awaited: ending the worker gently would cost more than the run. A session has to be let go of.
    if (session && closing) await settledSoon(closing);
  }
}

async function execute(
  where: Runtime | Session,
  code: string,
  options: SessionRunOptions,
  request: RunRequest,
  { host, bar }: { host: Host; bar: ProgressBar | undefined },
): Promise<Execution> {
  const stream = (target: Writable) => (_: string, data: Uint8Array) => {
    bar?.stop();
    if (!request.json) target.write(data);
  };
  try {
    return await where.run(code, {
      ...options,
      filename: filenameOf(request),
      argv: request.argv,
      figures: request.figures,
      onStdout: stream(host.stdout),
      onStderr: stream(host.stderr),
    });
  } finally {
    bar?.stop();
  }
}

/** What is typed to a session is numbered by it: functions that one run defines may fail in another one. */
function filenameOf(request: RunRequest): string | undefined {
  const isTyped = request.code !== undefined || request.program === '-';
  return request.session !== undefined && isTyped ? undefined : nameOf(request);
}

/** As tracebacks show it. */
function nameOf(request: RunRequest): string {
  return request.code === undefined ? programName(request) : '<string>';
}

function programName({ program }: RunRequest): string {
  return program === undefined || program === '-' ? '<stdin>' : program;
}

function report(execution: Execution, outcomes: readonly Outcome[], request: RunRequest, host: Host): number {
  if (request.json) {
    host.stdout.write(`${jsonText(documentOf(execution, outcomes))}\n`);
  }
  const { code, text } = explain(execution, request);
  if (text !== '' && !request.json) host.stderr.write(text);

  let lost = false;
  for (const outcome of outcomes) {
    if (outcome.kind === 'refused') {
      lost = true;
      say(host.stderr, `did not write ${printable(outcome.file.path)}: ${printable(outcome.reason)}`);
    } else if (!request.quiet) {
      say(host.stderr, `${outcome.kind} ${printable(outcome.target)} (${formatBytes(outcome.file.size)})`);
    }
  }
  return code === exitCodes.ok && lost ? exitCodes.failed : code;
}

/** Stdin for the program: a file or a pipe when some of the code asks for it, never a terminal. */
async function stdinFor(
  code: string,
  files: Record<string, Uint8Array>,
  request: RunRequest,
  host: Host,
): Promise<string> {
  if (host.stdinKind !== 'file' && host.stdinKind !== 'stream') return '';
  const modules = Object.entries(files).filter(([name]) => name.endsWith('.py'));
  const texts = [code, ...modules.map(([, bytes]) => new TextDecoder().decode(bytes))];
  return texts.some(mentionsStdin) ? readText(host, request, 'stdin') : '';
}

/** Reads stdin to its end, and says so when that takes a while. */
async function readText(host: Host, request: RunRequest, what: string): Promise<string> {
  if (what === 'the program' && host.stdinKind === 'none') throw usage('no program on stdin');
  const notice = setTimeout(() => {
    if (!request.quiet) say(host.stderr, `reading ${what} to its end from stdin`);
  }, stdinNoticeMs);
  try {
    return await readStdin(host.stdin);
  } finally {
    clearTimeout(notice);
  }
}
