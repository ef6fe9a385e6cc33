/** Reads what people ask for. Only names are taken apart here: the resolver understands the rest of PEP 508. */
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { parse as parseToml, TomlError } from 'smol-toml';
import { InstallError } from '../errors/errors.ts';
import { isUrl, normalizeName, requirementName } from './names.ts';

const maxFileBytes = 1024 * 1024;
const maxIncludes = 50;
const maxRequirements = 2000;
const maxRequirementChars = 2000;
const maxPathChars = 4096;

function bad(at: string, problem: string, suggestion: string): InstallError {
  return new InstallError(`${at}: ${problem}${suggestion === '' ? '' : `; ${suggestion}`}`, {
    reason: 'bad_requirement',
    package: '',
    suggestion,
  });
}

/**
 * One requirement, trimmed: `numpy`, `numpy>=2`, `requests[socks]`, `name @ https://…whl`, or the URL of a wheel. Throws
 * `InstallError` (`bad_requirement`).
 */
export function checkRequirement(text: string, at = 'requirement'): string {
  const requirement = text.trim();
  const shown = JSON.stringify(requirement.slice(0, 100));
  if (requirement.length > maxRequirementChars) throw bad(at, `${shown}… is too long`, '');
  if (/[\0\n\r]/.test(requirement)) throw bad(at, `${shown} is more than one line`, '');
  if (!requirement.isWellFormed()) throw bad(at, `${shown} is no text`, '');
  if (/^(git|hg|svn|bzr)\+/.test(requirement) || /@\s*(git|hg|svn|bzr)\+/.test(requirement)) {
    throw bad(
      at,
      `${shown} is source code, which can't be built here`,
      'name a release, or the URL of a wheel',
    );
  }
  const url = /^(?:[^@]*@\s*)?(\w+:\/\/.*)$/.exec(requirement)?.[1];
  if (url !== undefined) {
    const bare = url.split(/[\s;#?]/, 1)[0] ?? '';
    if (!isUrl(bare) || !bare.endsWith('.whl')) {
      throw bad(at, `${shown} is no wheel on the web`, 'name a release, or the https: URL of a wheel');
    }
    const { username, password } = new URL(bare);
    if (username !== '' || password !== '') {
      throw bad(at, 'a URL must not hold credentials', 'set PIP_INDEX_URL, where they are kept out of locks');
    }
  } else if (/^(\.{0,2}\/|\.{1,2}$|~|[A-Za-z]:[\\/])/.test(requirement) || requirement.endsWith('.whl')) {
    throw bad(at, `${shown} is a path`, 'put the wheel into a mirror folder (--mirror) and name the package');
  }
  if (requirementName(requirement) === undefined) {
    throw bad(at, `${shown} is no requirement`, 'write it like numpy, numpy>=2 or requests[socks]==2.33.1');
  }
  return requirement;
}

/** The requirements, checked, each once. */
export function checkRequirements(texts: readonly string[], at = 'requirement'): string[] {
  const all = [...new Set(texts.map((text) => checkRequirement(text, at)))];
  if (all.length > maxRequirements) throw bad(at, `more than ${maxRequirements} requirements`, '');
  return all;
}

/**
 * From a file, by its name: `pyproject.toml` (with the groups in `extras`), a script `*.py` with a block of PEP 723, else
 * a requirements file. Throws `InstallError` (`bad_requirement`).
 */
export async function readRequirements(path: string, extras: readonly string[] = []): Promise<string[]> {
  const name = basename(path);
  if (extras.length > 0 && !name.endsWith('.toml')) {
    throw bad(path, 'only pyproject.toml has extra groups', '');
  }
  if (name.endsWith('.toml')) return projectRequirements(await readText(path), extras, path);
  if (!name.endsWith('.py')) return requirementsFile(path);
  const found = scriptRequirements(await readText(path), path);
  if (found !== undefined) return found;
  throw bad(path, 'has no `# /// script` block', 'add one, or give the packages as arguments');
}

async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size <= maxFileBytes) return await readFile(path, 'utf8');
  } catch (error) {
    throw bad(path, `can't be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`, '');
  }
  throw bad(path, `has more than ${maxFileBytes} bytes`, '');
}

// ---- requirements.txt ----------------------------------------------------------------------------------------------

/** Of pip's options only `-r` means something here; hashes are dropped, since the lock has its own. */
async function requirementsFile(path: string): Promise<string[]> {
  const found: string[] = [];
  const seen = new Set<string>();
  const read = async (file: string): Promise<void> => {
    // Each file once: also what ends circles.
    if (seen.has(file)) return;
    seen.add(file);
    if (seen.size > maxIncludes) throw bad(path, `includes more than ${maxIncludes} files`, '');
    for (const { text, line } of logicalLines(await readText(file))) {
      const at = `${file}:${line}`;
      const option = /^(--[a-z-]+|-[A-Za-z])(?:\s*=)?\s*(.*)$/s.exec(text);
      if (!text.startsWith('-')) found.push(withoutOptions(text));
      else if (option?.[1] === '-r' || option?.[1] === '--requirement') {
        const target = option[2] ?? '';
        if (/^\w+:\/\//.test(target)) throw bad(at, '-r of a URL is not read', 'download the file');
        if (target.length > maxPathChars) throw bad(at, '-r names no file', '');
        await read(resolve(dirname(file), target));
      } else throw refusedOption(at, option?.[1] ?? text);
      if (found.length > maxRequirements) throw bad(path, `more than ${maxRequirements} requirements`, '');
    }
  };
  await read(resolve(path));
  return checkRequirements(found, path);
}

function refusedOption(at: string, option: string): InstallError {
  switch (option) {
    case '-c':
    case '--constraint':
      return bad(at, 'constraints (-c) are not supported', 'write the versions into the requirements');
    case '-e':
    case '--editable':
      return bad(
        at,
        'editable installs (-e) are not supported',
        'build a wheel and put it into a mirror folder',
      );
    case '-i':
    case '--index-url':
    case '--extra-index-url':
    case '--no-index':
    case '-f':
    case '--find-links':
      return bad(
        at,
        `${option} is not read from a file`,
        'set PIP_INDEX_URL, PIP_EXTRA_INDEX_URL or --mirror',
      );
    default:
      return bad(at, `the option ${option.slice(0, 50)} is not supported`, '');
  }
}

/** Lines without comments, joined where a backslash ends one, with the number of their first. */
function logicalLines(text: string): { text: string; line: number }[] {
  const lines: { text: string; line: number }[] = [];
  let joined = '';
  let first = 0;
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split(/\r\n?|\n/)
    .entries()) {
    if (joined === '') first = index + 1;
    const isComment = /^\s*#/.test(raw);
    if (raw.endsWith('\\') && !isComment) {
      joined += raw.slice(0, -1);
      continue;
    }
    const line = `${joined}${isComment ? '' : raw}`.replace(/(?:^|\s)#.*$/s, '').trim();
    if (line !== '') lines.push({ text: line, line: first });
    joined = '';
  }
  if (joined.trim() !== '') lines.push({ text: joined.trim(), line: first });
  return lines;
}

/** Each expression begins where a run of spaces does, so that a long one isn't read again from each of its places. */
function withoutOptions(text: string): string {
  return text.replace(/(?<!\s)\s+--(?:hash|config-settings|global-option)(?:\s*=\s*|\s+)\S+/g, '').trim();
}

// ---- TOML ----------------------------------------------------------------------------------------------------------

/** `[project].dependencies` and those of the named groups of `[project.optional-dependencies]`. */
export function projectRequirements(
  text: string,
  extras: readonly string[] = [],
  at = 'pyproject.toml',
): string[] {
  const project = tableOf(parse(text, at).project, at, 'project');
  const groups = tableOf(project['optional-dependencies'] ?? {}, at, 'project.optional-dependencies');
  const byName = new Map(Object.entries(groups).map(([name, list]) => [normalizeName(name), list]));
  const wanted = extras.map((extra) => {
    const list = byName.get(normalizeName(extra));
    if (list !== undefined) return stringsOf(list, at, `project.optional-dependencies.${extra}`);
    const known = [...byName.keys()].join(', ');
    throw bad(at, `there is no extra '${extra}'`, known === '' ? '' : `there are: ${known}`);
  });
  const dependencies = stringsOf(project.dependencies ?? [], at, 'project.dependencies');
  return checkRequirements([...dependencies, ...wanted.flat()], at);
}

/** What the script's `# /// script` block asks for (PEP 723); undefined when it has none. */
export function scriptRequirements(source: string, at = 'script'): string[] | undefined {
  return scriptMetadata(source, at)?.dependencies;
}

export interface ScriptMetadata {
  dependencies: string[];
  /** A version specifier. */
  requiresPython?: string;
}

/** The script's `# /// script` block (PEP 723). Throws `InstallError` (`bad_requirement`). */
export function scriptMetadata(source: string, at = 'script'): ScriptMetadata | undefined {
  const blocks = metadataBlocks(source, 'script');
  if (blocks.length > 1) throw bad(at, 'has more than one `# /// script` block', 'keep one');
  const [block] = blocks;
  if (block === undefined) return undefined;
  const { dependencies = [], 'requires-python': python } = parse(block, at);
  if (python !== undefined && typeof python !== 'string')
    throw bad(at, 'requires-python must be a string', '');
  return {
    dependencies: checkRequirements(stringsOf(dependencies, at, 'dependencies'), at),
    ...(python !== undefined && { requiresPython: python }),
  };
}

/** The same as the PEP's expression finds, line by line: a block ends with the last `# ///` of its run of comments. */
function metadataBlocks(source: string, type: string): string[] {
  const lines = source.replace(/\r\n?/g, '\n').split('\n');
  const blocks: string[] = [];
  for (let start = 0; start < lines.length; start++) {
    const found = /^# \/\/\/ ([a-zA-Z0-9-]+)$/.exec(lines[start] ?? '')?.[1];
    if (found === undefined) continue;
    let end = -1;
    let next = start + 1;
    for (; /^#($| )/.test(lines[next] ?? ''); next++) {
      if (lines[next] === '# ///' && next > start + 1) end = next;
    }
    if (end === -1) {
      // Nor is there one for what else begins in this run of comments.
      start = next - 1;
      continue;
    }
    if (found === type) {
      blocks.push(
        lines
          .slice(start + 1, end)
          .map((line) => line.slice(line.startsWith('# ') ? 2 : 1))
          .join('\n'),
      );
    }
    start = end;
  }
  return blocks;
}

function parse(text: string, at: string): Record<string, unknown> {
  try {
    return parseToml(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw bad(at, `is no TOML: ${error.message.split('\n', 1)[0]} (line ${error.line})`, '');
  }
}

function tableOf(value: unknown, at: string, name: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw bad(at, value === undefined ? `has no [${name}]` : `${name} must be a table`, '');
}

function stringsOf(value: unknown, at: string, name: string): string[] {
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value;
  throw bad(at, `${name} must be an array of strings`, '');
}
