import { expect, test } from 'vitest';
import { check } from '../../scripts/check-imports.ts';

const problems = (path: string, text: string) => check(new Map([[path, text]]));
const importing = (target: string) => `import type { A } from '${target}';`;

test.each([
  ['a room below', 'src/util/a.ts', '../pool/pool.ts'],
  ['the kernel from a host half', 'src/engines/deno/host.ts', '../../kernel/boot.ts'],
  ['an engine from the pool', 'src/pool/pool.ts', '../engines/deno/host.ts'],
  ['an engine from the command line', 'src/cli/main.ts', '../engines/engine.ts'],
  ['the command line from an entry', 'src/node.ts', './cli/main.ts'],
  ['a file that is no room', 'src/pool/pool.ts', '../node.ts'],
  ['a file outside of src', 'src/pool/pool.ts', '../../scripts/build.ts'],
])('refuses %s', (_, path, target) => {
  expect(problems(path, importing(target))).toHaveLength(1);
  expect(problems(path, `const a = await import('${target}');`)).toHaveLength(1);
});

test.each([
  ['src/engines/deno/entry.ts', '../../kernel/boot.ts'],
  ['src/pool/pool.ts', '../engines/engine.ts'],
  ['src/pool/pool.test.ts', '../engines/fake/host.ts'],
  ['src/cli/main.ts', '../node.ts'],
  ['src/node.ts', './create-runtime.ts'],
])('allows %s to import %s', (path, target) => {
  expect(problems(path, importing(target))).toEqual([]);
});

test('refuses export * and long files', () => {
  expect(problems('src/index.ts', "export * from './runtime.ts';")).toHaveLength(1);
  expect(problems('python/vivarium/a.py', 'x = 1\n'.repeat(500))).toEqual([]);
  expect(problems('python/vivarium/a.py', 'x = 1\n'.repeat(501))).toHaveLength(1);
});
