import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import ts from 'typescript';
import { afterAll, beforeAll, expect, test } from 'vitest';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
let project = '';

/** What a user does, in an empty project: pack, install without scripts, import. */
beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), 'vivarium-tarball-'));
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', project], { cwd: root });
  const tarball = readdirSync(project).find((name) => name.endsWith('.tgz')) ?? '';
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }');
  const quick = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  await run('npm', ['install', ...quick, `./${tarball}`], { cwd: project });
}, 180_000);

afterAll(() => rmSync(project, { recursive: true, force: true }));

const installed = (path: string): string => join(project, 'node_modules/vivarium', path);

test('holds what is needed to run, and nothing else', () => {
  const needed = ['bin/vivarium.js', 'dist/index.js', 'dist/node.d.ts', 'dist/workers/manifest.json'];
  const links = Array.from(
    readFileSync(installed('README.md'), 'utf8').matchAll(/\]\((?!https?:)([^)#]+)/g),
    ([, path = '']) => path,
  );
  expect(links).toContain('docs/way-of-a-run.svg');
  expect([...needed, ...links, 'LICENSE'].filter((path) => !existsSync(installed(path)))).toEqual([]);
  expect(
    readdirSync(installed('.')).filter((name) => ['src', 'test', 'node_modules'].includes(name)),
  ).toEqual([]);
  const files = readdirSync(installed('dist'), { recursive: true, encoding: 'utf8' });
  expect(files.filter((name) => name.includes('.test.'))).toEqual([]);
});

test('runs Python from a program, and from the command line', async () => {
  writeFileSync(
    join(project, 'main.js'),
    `import { PythonError } from 'vivarium';
     import { createRuntime } from 'vivarium/node';
     await using runtime = await createRuntime({ size: 1 });
     const { value } = await runtime.run('1 + 1');
     const failed = await runtime.run('1 / 0');
     try { failed.unwrap(); } catch (error) { console.log(value, error instanceof PythonError); }`,
  );
  const program = await run(process.execPath, ['main.js'], { cwd: project });
  expect(program).toEqual({ stdout: '2 true\n', stderr: '' });
  const command = join(project, 'node_modules/.bin/vivarium');
  const line = await run(process.execPath, [command, 'run', '-c', 'print(1 + 1)'], { cwd: project });
  expect(line).toEqual({ stdout: '2\n', stderr: '' });
}, 60_000);

test('its types resolve under strict settings', async () => {
  writeFileSync(
    join(project, 'main.ts'),
    `import type { Execution } from 'vivarium';
     import { createRuntime } from 'vivarium/node';
     import 'vivarium/protocol';
     import 'vivarium/testing';
     export const run = async (): Promise<Execution> => (await createRuntime()).run('1 + 1');
     // @ts-expect-error: types are there, not any
     export const wrong: number = await createRuntime();`,
  );
  const compilerOptions = {
    ...{ strict: true, noEmit: true, module: 'nodenext', target: 'es2024', skipLibCheck: false },
    ...{
      lib: ['es2024', 'esnext.disposable'],
      types: ['node'],
      typeRoots: [join(root, 'node_modules/@types')],
    },
  };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['main.ts'] }));
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const { stdout } = await run(process.execPath, [tsc, '-p', project]).catch(
    (error: { stdout: string }) => error,
  );
  expect(stdout).toBe('');
}, 60_000);

test.each(['dist/index.js', 'dist/protocol/index.js'])('%s runs on any platform', (entry) => {
  const files = reachable(installed(entry));
  expect(files.size).toBeGreaterThan(0);
  expect(
    [...files].flatMap(([path, { packages, globals }]) =>
      [...packages, ...globals].map((name) => `${path}: ${name}`),
    ),
  ).toEqual([]);
});

interface Uses {
  packages: string[];
  globals: string[];
}

/** Every built file that `entry` imports, directly or not, with what it uses of a platform. */
function reachable(entry: string, found: Map<string, Uses> = new Map()): Map<string, Uses> {
  if (found.has(entry)) return found;
  const text = readFileSync(entry, 'utf8');
  const imports = ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => fileName);
  const packages = imports.filter((name) => !name.startsWith('.'));
  found.set(entry, { packages, globals: platformGlobals(text) });
  for (const name of imports.filter((name) => name.startsWith('.'))) {
    reachable(resolve(dirname(entry), name), found);
  }
  return found;
}

/** Identifiers, not words in comments and strings; `a.process` and `process:` are no globals. */
function platformGlobals(text: string): string[] {
  const names = new Set(['Deno', 'Bun', 'process', 'Buffer', 'window', 'document', 'require', '__dirname']);
  const uses: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node) && names.has(node.text)) {
      const { parent } = node;
      const isMember = ts.isPropertyAccessExpression(parent) && parent.name === node;
      const isKey =
        (ts.isPropertyAssignment(parent) || ts.isMethodDeclaration(parent)) && parent.name === node;
      if (!isMember && !isKey) uses.push(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('built.js', text, ts.ScriptTarget.ES2024, true, ts.ScriptKind.JS));
  return uses;
}

test('the scan finds what it looks for', () => {
  expect(platformGlobals('process.exit(); new Buffer(1); a.process; ({ Deno: 1 }); // window')).toEqual([
    'process',
    'Buffer',
  ]);
});
