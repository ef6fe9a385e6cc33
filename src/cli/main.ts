import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { VivariumError } from '../errors/errors.ts';
import { addSourceOptions, checked, collect } from './options.ts';
import { addImageCommand, addLockCommand } from './package-commands.ts';
import { codeOf, exitCodes, isClosedPipe, say } from './report.ts';
import type { RunRequest } from './run.ts';
import { addReplCommand, addSessionsCommand } from './session-commands.ts';
import { parseDuration, parseSize } from './values.ts';

const runHelp = `
The program sees the files passed by --file, and nothing else of this machine. Its stdout is stdout; new and changed
files come back into the current folder, where nothing that differs is replaced and nothing hidden is written, or into
the folder named by --out, where files are replaced.

A file or a pipe on stdin is the program's stdin. It is read to its end first, when the program mentions stdin or input.

Figures of matplotlib that are open at the end, or shown, come back as files too: figure-1.png, figure-2.png, ….

Packages are frozen into the program's interpreter once, and are there at once from then on: those of --with, those of a
"# /// script" block in the program (PEP 723), and with --auto those that it imports. --image and --lock say by themselves
what the interpreter holds.

With --session the program runs where the last one of that session left off, with all that it had in memory and in files,
and leaves its own for the next. The session's interpreter is chosen when it begins: by --image, --with or --auto.

Exit codes: 0 fine, 1 Python error (or that of sys.exit), 2 usage, 3 packages or an image can't be had, 4 the session can't
be had or stored, 124 timeout, 130 Ctrl-C, 137 out of memory, 143 SIGTERM.`;

type RunFlags = Omit<RunRequest, 'file' | 'env' | 'with'> & {
  c?: string;
  file?: string[];
  env?: string[];
  with?: string[];
};

/**
 * The command line. Ends the process when it is done: waiting for workers to end gently would cost more than most runs.
 */
export async function main(args: readonly string[]): Promise<void> {
  // Loaded while commander parses; if it fails, the command's own import tells.
  if (args[0] === 'run') import('./run-host.ts').catch(() => undefined);
  if (args[0] === 'repl') import('./repl-host.ts').catch(() => undefined);
  let lost: Error | undefined;
  process.stdout.on('error', (error) => {
    if (!isClosedPipe(error)) lost ??= error;
  });
  process.stderr.on('error', () => undefined);
  const code = await dispatch(args);
  await flushed(process.stdout);
  // A write that fails is told a moment later.
  await new Promise((resolve) => setImmediate(resolve));
  if (lost) say(process.stderr, `cannot write to stdout: ${lost.message}`);
  await flushed(process.stderr);
  process.exit(lost ? code || exitCodes.failed : code);
}

async function dispatch(args: readonly string[]): Promise<number> {
  try {
    return await parse(args);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    if (error instanceof VivariumError) {
      say(process.stderr, error.message);
      return codeOf(error);
    }
    say(process.stderr, error instanceof Error ? (error.stack ?? error.message) : String(error));
    return exitCodes.failed;
  }
}

async function parse(args: readonly string[]): Promise<number> {
  // What follows `--` is the program's. commander would count it as operands of its own.
  const split = args.indexOf('--');
  const own = split < 0 ? args : args.slice(0, split);
  const argv = split < 0 ? [] : args.slice(split + 1);
  let code: number = exitCodes.ok;

  const program = new Command('vivarium')
    .description('Python in sandboxed WebAssembly workers')
    .exitOverride()
    .showHelpAfterError('(vivarium --help explains)')
    .helpCommand(false)
    .version(version());

  const run = program
    .command('run')
    .description('run a Python program')
    .usage('[options] <file.py | -> [-- arguments]')
    .argument('[program]', 'path of the program, or - to read it from stdin')
    .option('-c <code>', 'run this code')
    .option('-f, --file <path[=name]>', 'copy a file in, under its base name or name (repeatable)', collect)
    .option('-o, --out <folder>', 'write files that come back here (default: the current folder)')
    .option('--force', 'replace files in the current folder that differ')
    .option(
      '-t, --timeout <duration>',
      'wall time: 30, 1.5s, 500ms, 2m (default: 60s)',
      checked(parseDuration),
    )
    .option('-m, --memory <size>', 'memory of Python: 256mb, 1gb (default: 512mb)', checked(parseSize))
    .option('-e, --env <NAME=value>', 'environment of the program (repeatable)', collect)
    .addOption(
      new Option('--isolation <how>', 'what becomes of the worker').choices(['rewind', 'process', 'none']),
    )
    .option('-s, --session <name>', 'run in this session, which begins when it is not there')
    .option('--no-create', 'only when the session is there')
    .option('--json', 'print the whole execution as one JSON document instead of its output')
    .option('-q, --quiet', 'no messages of our own but errors')
    .option('--no-progress', 'no progress bar')
    .option('--with <packages>', 'packages that it needs, parted by commas (repeatable)', collect)
    .option('--auto', 'find out by its imports which packages it needs')
    .option('--image <name|path>', 'the interpreter: numpy, data, science, or one of vivarium image')
    .option('--no-image', 'boot plainly, without a frozen interpreter')
    .option('--lock <file>', 'the interpreter holds what a vivarium.lock.json says');
  addSourceOptions(run)
    .addOption(
      new Option('--install <policy>', 'what it may install while it runs (default: locked)').choices([
        'never',
        'locked',
        'any',
      ]),
    )
    .addOption(
      new Option('--figures <format>', 'how figures come back (default: png)').choices(['png', 'svg']),
    )
    .addHelpText('after', runHelp)
    .action(
      async (
        path: string | undefined,
        { c, file = [], env = [], with: packages = [], ...options }: RunFlags,
        command: Command,
      ) => {
        if ((path === undefined) === (c === undefined))
          command.error('error: name a program, or pass code with -c');
        const { run, createHost } = await import('./run-host.ts');
        const source = c === undefined ? { program: path ?? '-' } : { code: c };
        code = await run({ ...options, ...source, file, env, argv, with: packages }, createHost());
      },
    );

  const end = (exitCode: number): void => {
    code = exitCode;
  };
  addReplCommand(program, end);
  addSessionsCommand(program, end);
  addLockCommand(program, end);
  addImageCommand(program, end);

  program
    .command('doctor')
    .description('say what is missing here, and the command that mends it')
    .option('--json', 'as one JSON document')
    .option('--security', 'attack a worker of this machine instead, and say what held')
    .action(async ({ json = false, security = false }: { json?: boolean; security?: boolean }) => {
      const [{ diagnose, probeSecurity }, { reportDiagnoses, reportSecurity }] = await Promise.all([
        import('../node.ts'),
        import('./doctor.ts'),
      ]);
      code = security
        ? await reportSecurity(probeSecurity, process.stdout, json)
        : reportDiagnoses(await diagnose(), process.stdout, json);
    });

  program
    .command('bench')
    .description('measure against other ways to run Python')
    .argument('[arguments...]')
    .allowUnknownOption()
    .helpOption(false)
    .action(async (operands: string[]) => {
      code = await (await import('./bench.ts')).bench([...operands, ...argv]);
    });

  await program.parseAsync(own, { from: 'user' });
  return code;
}

function version(): string {
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version;
}

/** Resolves when everything written has left the process, or can't any more. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableLength === 0) resolve();
    else stream.once('error', () => resolve()).write('', () => resolve());
  });
}
