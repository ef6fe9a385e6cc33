import { realpathSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import type { ImportedPackage, WorkOptions } from '../node.ts';
import type { Execution, Isolation, Progress, RunOptions, Runtime } from '../runtime.ts';
import { pictureFiles } from './figures.ts';
import { mentionsStdin, parseInputs, readInputs, readProgram, readStdin, type StdinKind } from './input.ts';
import { documentOf } from './json.ts';
import { type Outcome, writeOutputs } from './output.ts';
import type { ProgressBar } from './progress.ts';
import { exitCodes, explain, isClosedPipe, say } from './report.ts';
import { checkPackageFlags, packagesForRun } from './run-packages.ts';
import { formatBytes, parseEnv, usage } from './values.ts';
import { type Desk, progressBar } from './work.ts';

/** What was asked for on the command line. */
export interface RunRequest {
  /** A path, or `-` for stdin. */
  program?: string;
  code?: string;
  argv: readonly string[];
  file: readonly string[];
  env: readonly string[];
  out?: string;
  force?: boolean;
  timeout?: number;
  memory?: number;
  engine?: 'deno' | 'node';
  isolation?: Isolation;
  json?: boolean;
  quiet?: boolean;
  progress: boolean;
  /** Name or path; false: none. */
  image?: boolean | string;
  with: readonly string[];
  auto?: boolean;
  lock?: string;
  mirror?: string;
  offline?: boolean;
  install?: 'never' | 'locked' | 'any';
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
    running = true;
    const execution = await execute(runtime, code, { files, stdin, env, ...toldOf }, request, { host, bar });
    if (!request.quiet) for (const warning of warnings) say(host.stderr, warning);
    const outcomes = writeOutputs([...execution.files, ...(request.json ? [] : pictureFiles(execution))], {
      folder: request.out ?? '.',
      replace: request.out !== undefined || request.force === true,
      hidden: request.out !== undefined,
      inputs: new Set(inputs.map(({ path }) => realpathSync(path))),
    });
    const exitCode = report(execution, outcomes, request, host);
    return execution.status === 'interrupted' ? stopCode : exitCode;
  };
  try {
    return await Promise.race([work(), ended.promise]);
  } finally {
    stopListening();
    bar?.stop();
    // Not awaited: ending the worker gently would cost more than the run.
    runtime?.close({ graceMs: 0 }).catch(() => undefined);
  }
}

async function execute(
  runtime: Runtime,
  code: string,
  options: RunOptions,
  request: RunRequest,
  { host, bar }: { host: Host; bar: ProgressBar | undefined },
): Promise<Execution> {
  const stream = (target: Writable) => (_: string, data: Uint8Array) => {
    bar?.stop();
    if (!request.json) target.write(data);
  };
  try {
    return await runtime.run(code, {
      ...options,
      filename: nameOf(request),
      argv: request.argv,
      figures: request.figures,
      onStdout: stream(host.stdout),
      onStderr: stream(host.stderr),
    });
  } finally {
    bar?.stop();
  }
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
    host.stdout.write(`${JSON.stringify(documentOf(execution, outcomes), undefined, 2)}\n`);
  }
  const { code, text } = explain(execution, request);
  if (text !== '' && !request.json) host.stderr.write(text);

  let lost = false;
  for (const outcome of outcomes) {
    if (outcome.kind === 'refused') {
      lost = true;
      say(host.stderr, `did not write ${outcome.file.path}: ${outcome.reason}`);
    } else if (!request.quiet) {
      say(host.stderr, `${outcome.kind} ${outcome.target} (${formatBytes(outcome.file.size)})`);
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
