import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { type Line, type LineSource, PipedLines } from '../../src/cli/lines.ts';
import { Statements } from '../../src/cli/statements.ts';
import { check } from './repl-subject.ts';

async function allOf(lines: LineSource, checked: string[] = []): Promise<string[]> {
  const statements = new Statements(lines, async (code) => {
    checked.push(code);
    return check(code);
  });
  const found: string[] = [];
  for (let code = await statements.next(); code !== undefined; code = await statements.next())
    found.push(code);
  return found;
}

const piped = (text: string): LineSource => new PipedLines(Readable.from([Buffer.from(text)]));

test.each([
  ['lines', 'a\n\nb\r\n  \nc', ['a', 'b', 'c']],
  ['brackets', 'f(\n\n1\n)\nb', ['f(\n\n1\n)', 'b']],
  ['a block, and an empty line', 'for x:\n  a\n\nb', ['for x:\n  a\n', 'b']],
  ['a block, and a line that is not indented', 'for x:\n  a\nb', ['for x:\n  a\n', 'b']],
  ['a block at the end', 'for x:\n  a', ['for x:\n  a\n']],
  [
    'empty lines within a block',
    'for x:\n\n  a\n\n\n  b\n   \n\n  c\n\nd',
    ['for x:\n\n  a\n\n\n  b\n   \n\n  c\n', 'd'],
  ],
  [
    'what goes on with a block',
    'if x:\n  a\nelif y:\n  b\n\nelse:\n  c\n# why\n  d\ne',
    ['if x:\n  a\nelif y:\n  b\n\nelse:\n  c\n# why\n  d\n', 'e'],
  ],
  ['what can not be mended', 'a $ b\nfor x:\n  $\nb', ['a $ b', 'for x:\n  $\n', 'b']],
  ['lines that go on', 'if a \\\nand b:\n  c\nd', ['if a \\\nand b:\n  c\n', 'd']],
  ['magics', '%time f(\n!ls (\nb', ['%time f(', '!ls (', 'b']],
  ['a magic’s sign within', 'f(\n%x\n)', ['f(\n%x\n)']],
  ['what is left open', 'a\nf(', ['a', 'f(\n']],
  ['nothing', '', []],
])('%s', async (_, text, expected) => {
  expect(await allOf(piped(text))).toEqual(expected);
});

test('Python isn’t asked about each line of a block that is there as a whole', async () => {
  const checked: string[] = [];
  const body = Array.from({ length: 50 }, (_, index) => `  line${index}`).join('\n');
  await allOf(piped(`def f():\n${body}\nb\n`), checked);
  expect(checked.length).toBeLessThan(6);
});

/** Typed one by one: nothing is there ahead. */
function typed(...given: (string | Line)[]): LineSource & { prompts: string[] } {
  const lines = given.map((line): Line => (typeof line === 'string' ? { kind: 'line', text: line } : line));
  const prompts: string[] = [];
  return {
    prompts,
    next(prompt) {
      prompts.push(prompt);
      return Promise.resolve(lines.shift() ?? { kind: 'end' });
    },
    peek: async () => undefined,
    drop() {},
    rest: () => true,
    close() {},
  };
}

test('prompts, and spaces alone as an empty line', async () => {
  const lines = typed('a', '', 'for x:', '  b', '    ', 'c');
  expect(await allOf(lines)).toEqual(['a', 'for x:\n  b\n    ', 'c']);
  expect(lines.prompts).toEqual(['>>> ', '>>> ', '>>> ', '... ', '... ', '>>> ', '>>> ']);
});

test('a line that isn’t indented isn’t asked for twice', async () => {
  const lines = typed('for x:', '  b', 'c');
  expect(await allOf(lines)).toEqual(['for x:\n  b\n', 'c']);
});

test('Ctrl-C drops what was begun', async () => {
  expect(await allOf(typed('f(', { kind: 'dropped' }, { kind: 'dropped' }, 'a'))).toEqual(['a']);
});
