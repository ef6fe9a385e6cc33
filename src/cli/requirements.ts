import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { usage } from './values.ts';

/** Where packages come from. */
export interface SourceFlags {
  mirror?: string;
  offline?: boolean;
  engine?: 'deno' | 'node';
}

/** `numpy,pandas>=3,<4` → `numpy`, `pandas>=3,<4`: commas also part versions and extras. */
export function splitPackages(text: string): string[] {
  const found: string[] = [];
  for (const part of text.split(/,(?![^[]*\])/)) {
    const piece = part.trim();
    if (piece === '') continue;
    if (/^[<>=!~]/.test(piece) && found.length > 0) found.push(`${found.pop()},${piece}`);
    else found.push(piece);
  }
  if (found.length === 0) throw usage('no package is named');
  return found;
}

export interface RequirementFlags {
  requirements: readonly string[];
  /** Requirements files. */
  requirement: readonly string[];
  script?: string;
  project?: string;
  extra: readonly string[];
}

type Read = (path: string, extras?: readonly string[]) => Promise<string[]>;

/** All that was asked for; of nothing, what the folder has. */
export async function gatherRequirements(
  flags: RequirementFlags,
  read: Read,
  folder = '.',
): Promise<string[]> {
  const { requirements, requirement, script, extra } = flags;
  const nothing = requirements.length === 0 && requirement.length === 0 && script === undefined;
  const project =
    flags.project ?? (nothing || extra.length > 0 ? found(folder, 'pyproject.toml') : undefined);
  const files = [...requirement, ...(script === undefined ? [] : [script])];
  if (nothing && project === undefined) {
    const usual = found(folder, 'requirements.txt');
    if (usual === undefined)
      throw usage(
        'name packages, or -r, --script or --project: here is no pyproject.toml and no requirements.txt',
      );
    files.push(usual);
  }
  if (extra.length > 0 && project === undefined) throw usage('--extra needs a pyproject.toml: --project');
  const fromFiles = await Promise.all(files.map((file) => read(file)));
  const fromProject = project === undefined ? [] : await read(project, extra);
  return [...requirements, ...fromFiles.flat(), ...fromProject];
}

function found(folder: string, file: string): string | undefined {
  const path = join(folder, file);
  return existsSync(path) ? path : undefined;
}
