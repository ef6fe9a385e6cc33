import type { Lock, LockOptions, PackageOptions } from '../node.ts';
import { exitCodes, say } from './report.ts';
import { gatherRequirements, type RequirementFlags, type SourceFlags } from './requirements.ts';
import { printable, table } from './table.ts';
import { attend, type Desk, type Manners } from './work.ts';

export interface LockRequest extends RequirementFlags, SourceFlags, Manners {
  /** A path, or `-` for stdout. */
  out: string;
  pylock?: string;
  refresh?: boolean;
}

export interface LockHost extends Desk {
  lockPackages(requirements: readonly string[], options: LockOptions): Promise<Lock>;
  readRequirements(path: string, extras?: readonly string[]): Promise<string[]>;
  writeLock(lock: Lock, path: string): Promise<void>;
  writePylock(lock: Lock, path: string, options: PackageOptions): Promise<void>;
}

/** Locks what was asked for and resolves with the exit code. */
export async function lock(request: LockRequest, host: LockHost): Promise<number> {
  const { mirror, offline, engine, refresh, out, pylock, quiet } = request;
  const sources = { mirror, offline, engine };
  const requirements = await gatherRequirements(request, host.readRequirements);
  let found: Lock | undefined;
  const code = await attend(request, host, async (work) => {
    found = await host.lockPackages(requirements, { ...sources, ...work, refresh });
    return exitCodes.ok;
  });
  if (code !== exitCodes.ok || found === undefined) return code;
  // First what may fail: a lock is there when all is.
  if (pylock !== undefined) await host.writePylock(found, pylock, sources);
  if (out === '-') host.stdout.write(`${JSON.stringify(found, undefined, 2)}\n`);
  else await host.writeLock(found, out);
  if (quiet) return exitCodes.ok;
  const rows = found.packages.map(({ name, version, source }) => ['', name, version, sourceName(source)]);
  host.stderr.write(table(rows));
  const files = [out, pylock].filter((file) => file !== undefined && file !== '-');
  const count = `${found.packages.length} package${found.packages.length === 1 ? '' : 's'}`;
  say(host.stderr, `locked ${count}${files.length > 0 ? ` in ${files.join(' and ')}` : ''}`);
  return exitCodes.ok;
}

function sourceName(source: Lock['packages'][number]['source']): string {
  switch (source.kind) {
    case 'distribution':
      return 'Pyodide';
    case 'mirror':
      return 'the mirror';
    case 'index':
      return printable(new URL(source.url).host);
    default:
      return source satisfies never;
  }
}
