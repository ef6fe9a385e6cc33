import type { Command } from 'commander';
import type { BuildFlags, OutputFlags, PruneFlags } from './image.ts';
import type { LockRequest } from './lock.ts';
import { addSourceOptions, checked, collect } from './options.ts';
import { splitPackages } from './requirements.ts';
import { usage } from './values.ts';

type End = (exitCode: number) => void;

const lockHelp = `
Without packages and files: pyproject.toml or requirements.txt of the current folder. What was resolved before stays as
it is; --refresh asks the sources again. Packages are looked for in the mirror, in Pyodide's distribution, and in the
Python package index or where PIP_INDEX_URL and PIP_EXTRA_INDEX_URL say.

Exit codes: 0 locked, 2 usage, 3 packages can't be had, 130 Ctrl-C, 143 SIGTERM.`;

const buildHelp = `
Packages are imported and then frozen as they are, together with all that the scripts of --warm made Python learn: state
of a script itself is forgotten. The path of the image is printed. With a name, runs ask for it by --image <name>.

Recipes: stdlib, numpy, data (numpy, pandas, matplotlib, pillow), science (data, scipy, scikit-learn, sympy).

Exit codes: 0 built or there already, 2 usage, 3 packages can't be had or frozen, 130 Ctrl-C, 143 SIGTERM.`;

/** Loaded when such a command runs. */
async function load() {
  const [host, image] = await Promise.all([import('./packages-host.ts'), import('./image.ts')]);
  return { host: host.createPackagesHost(), ...image };
}

export function addLockCommand(program: Command, end: End): void {
  type Flags = Partial<LockRequest> & Pick<LockRequest, 'out'>;
  const command = program
    .command('lock')
    .description('write down exactly which wheels requirements come to')
    .argument('[requirements...]', 'like numpy or "pandas>=3"')
    .option('-r, --requirement <file>', 'a requirements file (repeatable)', collect)
    .option('--script <file.py>', 'what a script needs by its PEP 723 block')
    .option('--project <file>', 'what a pyproject.toml depends on')
    .option('--extra <name>', 'also this group of its optional dependencies (repeatable)', collect)
    .option('-o, --out <file>', 'where the lock goes, - for stdout', 'vivarium.lock.json')
    .option('--pylock <file>', 'also write it as pylock.toml, for other tools')
    .option('--refresh', 'resolve again what was resolved before')
    .option('-q, --quiet', 'no messages of our own but errors')
    .option('--no-progress', 'no progress bar');
  addSourceOptions(command)
    .addHelpText('after', lockHelp)
    .action(async (requirements: string[], { requirement = [], extra = [], ...flags }: Flags) => {
      const [{ createPackagesHost }, { lock }] = await Promise.all([
        import('./packages-host.ts'),
        import('./lock.ts'),
      ]);
      end(await lock({ ...flags, requirements, requirement, extra }, createPackagesHost()));
    });
}

export function addImageCommand(program: Command, end: End): void {
  const image = program
    .command('image')
    .description('build, list and move frozen interpreters')
    .helpCommand(false);
  const add = (name: string, description: string): Command =>
    image
      .command(name)
      .description(description)
      .option('--json', 'as one JSON document')
      .option('-q, --quiet', 'no messages of our own but errors');

  const build = add('build', 'freeze packages and their imports')
    .option('-p, --packages <packages>', 'parted by commas (repeatable)', collect)
    .option('-r, --requirement <file>', 'a requirements file, script or pyproject.toml (repeatable)', collect)
    .option('--recipe <name>', 'a ready-made one: stdlib, numpy, data, science')
    .option('--lock <file>', 'what a vivarium.lock.json says')
    .option('--warm <script.py>', 'run this first, and keep what Python learned (repeatable)', collect)
    .option('--import <module>', 'import this too (repeatable)', collect)
    .option('-n, --name <name>', 'what runs call it')
    .option('--no-progress', 'no progress bar');
  addSourceOptions(build)
    .addHelpText('after', buildHelp)
    .action(
      async ({
        packages = [],
        requirement = [],
        warm = [],
        import: imports = [],
        ...flags
      }: Partial<BuildFlags>) => {
        const { buildImage, host } = await load();
        const all = packages.flatMap(splitPackages);
        end(await buildImage({ ...flags, packages: all, requirement, warm, import: imports }, host));
      },
    );

  add('ls', 'list what there is').action(async (flags: OutputFlags) => {
    const { listImages, host } = await load();
    end(await listImages(flags, host));
  });

  add('inspect', 'say what is in an image')
    .argument('<name|path>')
    .action(async (reference: string, flags: OutputFlags) => {
      const { inspectImage, host } = await load();
      end(await inspectImage(reference, flags, host));
    });

  add('verify', 'look at every byte; exit code 1 when an image is damaged')
    .argument('[name|path...]', 'default: all')
    .action(async (references: string[], flags: OutputFlags) => {
      const { verifyImages, host } = await load();
      end(await verifyImages(references, flags, host));
    });

  add('rm', 'remove images')
    .argument('<name|path...>')
    .action(async (references: string[], flags: OutputFlags) => {
      const { removeImages, host } = await load();
      end(await removeImages(references, flags, host));
    });

  add('prune', 'remove images that do not fit this installation, and unnamed ones that are not used')
    .option(
      '--unused-days <n>',
      'unnamed ones that were not used for so long (default: 30)',
      checked(parseDays),
    )
    .option('--all', 'every unnamed one')
    .action(async (flags: PruneFlags) => {
      const { pruneImages, host } = await load();
      end(await pruneImages(flags, host));
    });

  add('export', 'write an image to one file; compressed when its name ends with .zst')
    .argument('<name|path>')
    .argument('<file>')
    .option('--no-progress', 'no progress bar')
    .action(async (reference: string, file: string, flags: OutputFlags) => {
      const { exportImage, host } = await load();
      end(await exportImage(reference, file, flags, host));
    });

  add('import', 'take in an image that was exported')
    .argument('<file>')
    .option('-n, --name <name>', "what runs call it (default: the file's name)")
    .option('--no-progress', 'no progress bar')
    .action(async (file: string, flags: OutputFlags & { name?: string }) => {
      const { importImage, host } = await load();
      end(await importImage(file, flags, host));
    });
}

function parseDays(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw usage(`not a number of days: ${text}`);
  return Number(text);
}
