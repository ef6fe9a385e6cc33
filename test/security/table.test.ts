import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const root = new URL('../../', import.meta.url);
const text = readFileSync(new URL('docs/security.md', root), 'utf8');
const rows = [...text.matchAll(/^\| ([TF]\d\d) \| (.+?) \| (.+) \|$/gm)].map(([, id = '', , cell = '']) => ({
  id,
  files: [...cell.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file),
  due: /\bdue with (.+)$/.exec(cell)?.[1]?.split(' and ') ?? [],
}));
/** The parts that don't exist yet. */
const parts = ['HTTP', 'MCP', 'the browser', 'the cluster', 'host tools', 'a network for guests'];

/** Whether a file says the row's id where it counts: in its name, in a title, or at the head of a probe. */
function names(file: string, id: string): boolean {
  if (file.includes(`/${id.toLowerCase()}-`)) return true;
  const content = readFileSync(new URL(file, root), 'utf8');
  if (file.endsWith('.py')) return new RegExp(`^"""[^:]*\\b${id}\\b`).test(content);
  const code = content.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  return new RegExp(`['"\`][^'"\`\\n]*\\b${id}\\b`).test(code);
}

it('has each row of the two tables once', () => {
  const ids = rows.map(({ id }) => id);
  const range = (letter: string, from: number, to: number, ...without: number[]): string[] =>
    Array.from({ length: to - from + 1 }, (_, at) => from + at)
      .filter((number) => !without.includes(number))
      .map((number) => `${letter}${String(number).padStart(2, '0')}`);
  expect(ids).toStrictEqual([...range('T', 1, 53, 23, 26, 27, 28, 29, 52), ...range('F', 1, 18, 15)]);
});

it.each(rows)('$id names what tests it, or says why there is nothing', ({ id, files, due }) => {
  expect(files.length + due.length).toBeGreaterThan(0);
  for (const part of due) expect(parts).toContain(part);
  for (const file of files) {
    expect(existsSync(new URL(file, root)), file).toBe(true);
    expect(names(file, id), file).toBe(true);
  }
});
