import { expect, it } from 'vitest';
import { mimeTypeOf } from './mime.ts';

it.each([
  ['a/b.CSV', 'text/csv'],
  ['a.tar.gz', 'application/gzip'],
  ['png', 'application/octet-stream'],
  ['.json', 'application/octet-stream'],
  ['a.png/b', 'application/octet-stream'],
  ['a.constructor', 'application/octet-stream'],
])('takes %s for %s', (path, type) => {
  expect(mimeTypeOf(path)).toBe(type);
});
