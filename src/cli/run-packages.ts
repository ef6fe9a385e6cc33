import type { WorkOptions } from '../node.ts';
import type { InputFile } from './input.ts';
import { say } from './report.ts';
import { splitPackages } from './requirements.ts';
import type { Host, RunRequest } from './run.ts';
import { usage } from './values.ts';

/** Refuses flags that say twice what the interpreter holds. */
export function checkPackageFlags({
  image,
  lock,
  auto,
  with: packages,
}: Pick<RunRequest, 'image' | 'lock' | 'auto' | 'with'>): void {
  const frozen = typeof image === 'string' ? '--image' : lock === undefined ? undefined : '--lock';
  if (typeof image === 'string' && lock !== undefined) throw usage('--image and --lock exclude one another');
  const more = packages.length > 0 ? '--with' : auto ? '--auto' : undefined;
  if (frozen !== undefined && more !== undefined)
    throw usage(`${frozen} says all that the interpreter holds: it excludes ${more}`);
}

/** What the run needs: by `--with`, by the program's PEP 723 block, and by its imports with `--auto`. */
export async function packagesForRun(
  request: RunRequest,
  program: { code: string; name: string; inputs: readonly InputFile[] },
  host: Host,
  work: WorkOptions,
): Promise<string[]> {
  const { image, lock, auto, quiet } = request;
  if (typeof image === 'string' || lock !== undefined) return [];
  const { code, name, inputs } = program;
  const asked = request.with.flatMap(splitPackages);
  const declared = /^# \/\/\/ script\r?$/m.test(code) ? await host.scriptDependencies(code, name) : undefined;
  if (!auto) return [...asked, ...(declared ?? [])];
  const own = new Set(inputs.map((input) => /^[^/.]*/.exec(input.name)?.[0]));
  const found = (await host.packagesOf(code, request, work)).filter(({ module }) => !own.has(module));
  const shown = found.map(({ module, package: name }) => (module === name ? name : `${name} (${module})`));
  if (!quiet) say(host.stderr, `--auto: ${shown.join(', ') || 'no packages'}`);
  const named = [...asked, ...(declared ?? [])];
  // What is asked for in some version stays as it is.
  const more = found.map((one) => one.package).filter((name) => !named.some((one) => isOf(one, name)));
  return [...named, ...new Set(more)];
}

function isOf(requirement: string, name: string): boolean {
  const canonical = (text: string): string => text.toLowerCase().replace(/[-_.]+/g, '-');
  return canonical(/^[\w.-]*/.exec(requirement)?.[0] ?? '') === canonical(name);
}
