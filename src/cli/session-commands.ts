import { type Command, Option } from 'commander';
import { addSourceOptions, checked, collect } from './options.ts';
import type { ReplRequest } from './repl.ts';
import type { ExportFlags, ImportFlags, RemoveFlags, SessionsFlags } from './sessions.ts';
import { parseDuration, parseSize } from './values.ts';

type End = (exitCode: number) => void;

const replHelp = `
What is entered runs in a session: one of its own that ends with the prompt, or that of --session, which goes on where it was
left and is stored after each line. The history of lines is kept among the user's data, for that user alone.

Tab completes, Ctrl-C interrupts Python or drops the line, Ctrl-D or exit ends. %help lists what there is beside Python: files
in and out, checkpoints, times. %pip install adds a package. input() reads nothing.

A file or a pipe on stdin is read without prompts, up to its end.

Exit codes: those of sys.exit, or of the last line of a pipe: 0 fine, 1 Python error, 2 usage, 3 packages or an image can't be
had, 4 the session can't be had or stored, 124 timeout, 130 Ctrl-C, 137 out of memory, 143 SIGTERM.`;

const sessionsHelp = `
Sessions are stored among the user's data, or where VIVARIUM_SESSION_STORE or DATABASE_URL says. What a program has open can't
be removed, exported or forked meanwhile.

Exit codes: 0 fine, 2 usage, 3 its image can't be had, 4 the session can't be had or stored, 130 Ctrl-C, 143 SIGTERM.`;

export function addReplCommand(program: Command, end: End): void {
  type Flags = Partial<ReplRequest>;
  const command = program
    .command('repl')
    .description('type Python at a prompt')
    .option('-s, --session <name>', 'in this session, which begins when it is not there')
    .option('--no-create', 'only when the session is there')
    .option('-f, --file <path[=name]>', 'copy a file in, under its base name or name (repeatable)', collect)
    .option(
      '-t, --timeout <duration>',
      'wall time of one entry: 30, 1.5s, 2m (default: none)',
      checked(parseDuration),
    )
    .option('-m, --memory <size>', 'memory of Python: 256mb, 1gb (default: 512mb)', checked(parseSize))
    .option('-e, --env <NAME=value>', 'environment of Python (repeatable)', collect)
    .option('-q, --quiet', 'no messages of our own but errors')
    .option('--no-progress', 'no progress bar')
    .option('--with <packages>', 'packages to have, parted by commas (repeatable)', collect)
    .option('--image <name|path>', 'the interpreter: numpy, data, science, or one of vivarium image')
    .option('--lock <file>', 'the interpreter holds what a vivarium.lock.json says');
  addSourceOptions(command)
    .addOption(
      new Option('--install <policy>', 'what may be installed meanwhile (default: locked)').choices([
        'never',
        'locked',
        'any',
      ]),
    )
    .addOption(
      new Option('--figures <format>', 'how figures are kept (default: png)').choices(['png', 'svg']),
    )
    .addHelpText('after', replHelp)
    .action(async ({ file = [], env = [], with: packages = [], ...flags }: Flags) => {
      const { repl, createReplHost } = await import('./repl-host.ts');
      end(await repl({ ...flags, file, env, with: packages }, createReplHost()));
    });
}

/** Loaded when such a command runs. */
async function load() {
  const [host, sessions] = await Promise.all([import('./sessions-host.ts'), import('./sessions.ts')]);
  return { host: host.createSessionsHost(), ...sessions };
}

export function addSessionsCommand(program: Command, end: End): void {
  const sessions = program
    .command('sessions')
    .description('list, move and remove what runs have left')
    .helpCommand(false)
    .addHelpText('after', sessionsHelp);
  const add = (name: string, description: string): Command =>
    sessions
      .command(name)
      .description(description)
      .option('--tenant <name>', 'of this tenant of other programs')
      .option('-q, --quiet', 'no messages of our own but errors');
  const json = ['--json', 'as one JSON document'] as const;

  add('ls', 'list what there is, of every tenant')
    .option(...json)
    .action(async (flags: SessionsFlags) => {
      const { listSessions, host } = await load();
      end(await listSessions(flags, host));
    });

  add('show', 'say what is in a session')
    .argument('<name>')
    .option(...json)
    .action(async (name: string, flags: SessionsFlags) => {
      const { showSession, host } = await load();
      end(await showSession(name, flags, host));
    });

  add('rm', 'remove sessions, with their checkpoints and files')
    .argument('[name...]')
    .option('--all', 'every one of the tenant, or of all')
    .option(...json)
    .action(async (names: string[], flags: RemoveFlags) => {
      const { removeSessions, host } = await load();
      end(await removeSessions(names, flags, host));
    });

  add('export', 'write a session to one file, or to stdout')
    .argument('<name>')
    .option('-o, --out <file>', 'where it goes')
    .action(async (name: string, flags: ExportFlags) => {
      const { exportSession, host } = await load();
      end(await exportSession(name, flags, host));
    });

  const imports = add('import', 'begin a session with what was exported')
    .argument('<file>', 'or - for stdin')
    .argument('<name>')
    .option('--image <name|path>', 'the interpreter that it was exported with, when it had one of its own')
    .option('--with <packages>', 'or its packages, parted by commas (repeatable)', collect)
    .option(...json);
  addSourceOptions(imports).action(
    async (file: string, name: string, { with: packages = [], ...flags }: Partial<ImportFlags>) => {
      const { importSession, host } = await load();
      end(await importSession(file, name, { ...flags, with: packages }, host));
    },
  );

  add('fork', 'begin a session with the state of another')
    .argument('<name>')
    .argument('<new name>')
    .option(...json)
    .action(async (name: string, newName: string, flags: SessionsFlags) => {
      const { forkSession, host } = await load();
      end(await forkSession(name, newName, flags, host));
    });
}
