import { expect, test } from 'vitest';
import { readIndexPage } from './index-page.ts';

const sha256 = 'ab'.repeat(32);

function page(content: unknown, type: string) {
  const text = typeof content === 'string' ? content : JSON.stringify(content);
  return {
    status: 200,
    url: 'https://index.example/simple/x/',
    headers: { 'content-type': type },
    bytes: new TextEncoder().encode(text),
  };
}

test('links in HTML', () => {
  const html = `<!doctype html><a class=x href="../../f/x-1-py3-none-any.whl#sha256=${sha256}">1</a>
    <A HREF='https://files.example/x-2-py3-none-any.whl?a=1&amp;b=2'>2</A> <a href="x-3.tar.gz">3</a>
    <a href="http://files.example/x-4-py3-none-any.whl">4</a> <a href="https://[">5</a>`;
  expect(readIndexPage(page(html, 'text/html; charset=utf-8')).links).toEqual([
    { url: 'https://index.example/f/x-1-py3-none-any.whl', fileName: 'x-1-py3-none-any.whl', sha256 },
    {
      url: 'https://files.example/x-2-py3-none-any.whl?a=1&b=2',
      fileName: 'x-2-py3-none-any.whl',
      sha256: undefined,
    },
  ]);
});

test('links in JSON, made absolute', () => {
  const files = [
    { filename: 'x-1-py3-none-any.whl', url: 'x-1-py3-none-any.whl', hashes: { sha256 }, size: 3 },
    { filename: 'x-2-py3-none-any.whl', url: 'https://u:p@f.example/x-2-py3-none-any.whl', hashes: {} },
    { filename: 'x-3-py3-none-any.whl', url: 'ftp://f.example/x-3-py3-none-any.whl', hashes: {} },
    7,
  ];
  const { links, bytes } = readIndexPage(page({ name: 'x', files }, 'application/vnd.pypi.simple.v1+json'));
  expect(links).toEqual([
    { url: 'https://index.example/simple/x/x-1-py3-none-any.whl', fileName: 'x-1-py3-none-any.whl', sha256 },
    { url: 'https://f.example/x-2-py3-none-any.whl', fileName: 'x-2-py3-none-any.whl', sha256: undefined },
  ]);
  expect(JSON.parse(new TextDecoder().decode(bytes)).files[0]).toEqual({
    ...(files[0] as object),
    url: 'https://index.example/simple/x/x-1-py3-none-any.whl',
  });
});

test('the older JSON, by releases', () => {
  const releases = { '1': [{ url: 'https://f.example/x-1-py3-none-any.whl', digests: { sha256 } }] };
  expect(readIndexPage(page({ releases }, 'application/json')).links).toMatchObject([{ sha256 }]);
});

test.each([['null'], ['{'], ['[]'], ['{"files": 3}']])('%s links to nothing', (text) => {
  expect(readIndexPage(page(text, 'application/json')).links).toEqual([]);
});

test('JSON that is nested without end links to nothing', () => {
  const deep = `{"files":[{"url":"https://f.example/x-1-py3-none-any.whl"}],"x":${'['.repeat(1e5)}${']'.repeat(1e5)}}`;
  expect(readIndexPage(page(deep, 'application/json')).links).toEqual([]);
});

test('a large page of tags that never end is read in no time', () => {
  expect(readIndexPage(page('<a '.repeat(300_000), 'text/html')).links).toEqual([]);
});
