import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { colourTraceback } from '../../src/cli/traceback.ts';

const text = `Traceback (most recent call last):
  File "<cell 1>", line 12, in <module>
    f("a", line 3)
    ~^^^^
  File "a b.py", line 1
    x = (
        ^
my.Problem: one
two: three
SystemExit
hint: install it
vivarium: timeout: 5 s
`;

test('places, marks and the exception are in colour; the text is the same', () => {
  const coloured = colourTraceback(text);
  expect(stripVTControlCharacters(coloured)).toBe(text);
  const lines = coloured.split('\n');
  const marked = lines.flatMap((line, index) => (line.includes('\u001b[') ? [index] : []));
  expect(marked).toEqual([1, 3, 4, 6, 7, 8, 9]);
  expect(lines[1]).toBe(
    '  File \u001b[35m"<cell 1>"\u001b[39m, line \u001b[35m12\u001b[39m, in \u001b[35m<module>\u001b[39m',
  );
});
