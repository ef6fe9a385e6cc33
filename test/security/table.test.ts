import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const root = new URL('../../', import.meta.url);
const text = readFileSync(new URL('docs/security.md', root), 'utf8');
const rows = [...text.matchAll(/^\| ([TF]\d\d) \| (.+?) \| (.+) \|$/gm)].map(([, id = '', , cell = '']) => ({
  id,
  files: [...cell.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file),
  due: /\bdue with \S/.test(cell) || /\bmeasured: \S/.test(cell),
}));

it('has each row of the two tables once', () => {
  const ids = rows.map(({ id }) => id);
  const range = (letter: string, from: number, to: number, ...without: number[]): string[] =>
    Array.from({ length: to - from + 1 }, (_, at) => from + at)
      .filter((number) => !without.includes(number))
      .map((number) => `${letter}${String(number).padStart(2, '0')}`);
  expect(ids).toStrictEqual([...range('T', 1, 53, 23, 26, 27, 28, 29, 52), ...range('F', 1, 18, 15)]);
});

it.each(rows)('$id names what tests it, or says why there is nothing', ({ id, files, due }) => {
  expect(files.length > 0 || due).toBe(true);
  for (const file of files) {
    expect(existsSync(new URL(file, root)), file).toBe(true);
    expect(readFileSync(new URL(file, root), 'utf8'), file).toMatch(new RegExp(`\\b${id}\\b`));
  }
});
