/** Fails when a file of src/ imports a room that lies below its own, or breaks a house rule that biome doesn't know. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** Top to bottom: a room imports itself and rooms before it. */
const rooms = [
  // And `session.ts`: types that speak of one another.
  'runtime.ts',
  'protocol',
  'errors',
  'util',
  'rpc',
  'image',
  'packages',
  'kernel',
  'engines',
  'catalog',
  'pool',
  'probes',
  'store',
  'sessions',
  'leaks',
  'create-runtime.ts',
  'server',
  'react',
  'gym',
  'cli',
] as const;

type Room = (typeof rooms)[number];

/** Published entries: whatever lies above the edges. */
const entries = ['index.ts', 'node.ts', 'testing.ts', 'arrow.ts'];
const cliImports = ['runtime.ts', 'protocol', 'errors', 'util', 'create-runtime.ts', 'node.ts', 'cli'];
const maxLines = 500;

/** What is wrong with `files` (path below the root, with `/` → text), one line each. */
export function check(files: ReadonlyMap<string, string>): string[] {
  return [...files].flatMap(([path, text]) => [...checkStyle(path, text), ...checkImports(path, text)]);
}

function checkStyle(path: string, text: string): string[] {
  const problems: string[] = [];
  const lines = text.trimEnd().split('\n').length;
  if (lines > maxLines) problems.push(`${path}: ${lines} lines, ${maxLines} at most`);
  if (path.endsWith('.ts') && /^\s*export\s+(type\s+)?\*/m.test(text)) {
    problems.push(`${path}: export * (name what is exported)`);
  }
  return problems;
}

function checkImports(path: string, text: string): string[] {
  if (!path.startsWith('src/') || !path.endsWith('.ts')) return [];
  const source = path.slice('src/'.length);
  return ts
    .preProcessFile(text, true, true)
    .importedFiles.map((file) => file.fileName)
    .filter((name) => name.startsWith('.') && name.endsWith('.ts'))
    .map((name) => posix.join(posix.dirname(source), name))
    .flatMap((target) => {
      const problem = target.startsWith('..') ? 'outside of src' : forbidden(source, target);
      return problem === undefined ? [] : [`${path}: imports ${target}: ${problem}`];
    });
}

function forbidden(source: string, target: string): string | undefined {
  const isTest = source.endsWith('.test.ts');
  const to = roomOf(target);
  if (entries.includes(source.replace(/\.test\.ts$/, '.ts'))) {
    return to !== undefined && rooms.indexOf(to) >= rooms.indexOf('server')
      ? 'entries end above server'
      : undefined;
  }
  const from = roomOf(source);
  if (from === undefined) return 'the importing file is in no room';
  if (from === 'cli') return cliImports.includes(to ?? target) ? undefined : 'cli knows the Runtime only';
  if (to === undefined) return 'not a room';
  if (rooms.indexOf(to) > rooms.indexOf(from)) return `${to} lies below ${from}`;
  if (isTest) return undefined;
  if (to === 'kernel' && from !== 'kernel' && !/^engines\/[^/]+\/entry\.ts$/.test(source)) {
    return 'only engines/*/entry.ts import the kernel';
  }
  if (from === 'pool' && to === 'engines' && target !== 'engines/engine.ts') {
    return 'pool knows the Engine interface only';
  }
  return undefined;
}

function roomOf(path: string): Room | undefined {
  const first = path === 'session.ts' ? 'runtime.ts' : path.split('/')[0];
  return rooms.find((room) => room === first);
}

function read(root: string, folder: string, ending: string): [string, string][] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .map((name) => [
      posix.join(folder, name.replaceAll('\\', '/')),
      readFileSync(join(root, folder, name), 'utf8'),
    ]);
}

if (import.meta.main) {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const problems = check(new Map([...read(root, 'src', '.ts'), ...read(root, 'python/vivarium', '.py')]));
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
}
