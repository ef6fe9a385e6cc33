import { resolve } from 'node:path';
import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { resolveSources } from './sources.ts';

test('nothing set: micropip’s own index and no mirror', () => {
  expect(resolveSources({}, {})).toMatchObject({ mirror: null, indexUrls: ['PYPI'], offline: false });
  expect(resolveSources({}, { VIVARIUM_MIRROR: '' }).mirror).toBeNull();
});

test.each([
  ['wheels', { kind: 'folder', path: resolve('wheels') }],
  ['/a/b', { kind: 'folder', path: resolve('/a/b') }],
  ['file:///a/b%20c', { kind: 'folder', path: '/a/b c' }],
  ['http://m.example/p', { kind: 'url', url: 'http://m.example/p/' }],
  ['https://me:secret@m.example/p//', { kind: 'url', url: 'https://m.example/p/' }],
])('the mirror %s', (mirror, expected) => {
  expect(resolveSources({ mirror }, { VIVARIUM_MIRROR: 'other' }).mirror).toEqual(expected);
  expect(resolveSources({}, { VIVARIUM_MIRROR: mirror }).mirror).toEqual(expected);
});

test('a mirror that can be none', () => {
  expect(() => resolveSources({ mirror: 'ftp://x/' }, {})).toThrow(
    expect.objectContaining({ reason: 'mirror' }),
  );
});

test('pip’s variables: extra indexes come first, credentials stay out of sight', () => {
  const sources = resolveSources(
    {},
    {
      PIP_INDEX_URL: 'https://user:p%40ss@index.example/simple/',
      PIP_EXTRA_INDEX_URL: ' https://token@extra.example:8443/a  http://third.example/b/ ',
    },
  );
  expect(sources.indexUrls).toEqual([
    'https://extra.example:8443/a',
    'http://third.example/b',
    'https://index.example/simple',
  ]);
  const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`;
  expect(sources.authorization('https://index.example/files/x.whl')).toBe(basic('user:p@ss'));
  expect(sources.authorization('https://extra.example:8443/')).toBe(basic('token:'));
  expect(sources.authorization('https://extra.example/')).toBeUndefined();
  expect(sources.authorization('http://index.example/simple')).toBeUndefined();
  expect(`${inspect(sources, { depth: 9, showHidden: true })}${JSON.stringify(sources)}`).not.toMatch(
    /p@ss|p%40ss|token/,
  );
});

test('an extra index is searched before the default', () => {
  expect(resolveSources({}, { PIP_EXTRA_INDEX_URL: 'https://x.example/' }).indexUrls).toEqual([
    'https://x.example',
    'PYPI',
  ]);
  expect(resolveSources({}, { PIP_NO_INDEX: '1', PIP_INDEX_URL: 'https://x.example' }).indexUrls).toEqual([]);
  expect(() => resolveSources({}, { PIP_INDEX_URL: 'me:secret' })).toThrow(
    /^PIP_INDEX_URL is no URL(?!.*secret)/,
  );
});

test('a password that is not encoded as it should be is taken as it stands', () => {
  const { authorization } = resolveSources({}, { PIP_INDEX_URL: 'https://me:50%25%@index.example/simple' });
  const pair = Buffer.from('me:50%25%').toString('base64');
  expect(authorization('https://index.example/simple/x/')).toBe(`Basic ${pair}`);
});

test('a file: URL of another machine is no mirror', () => {
  expect(() => resolveSources({ mirror: 'file://server/wheels' }, {})).toThrow(
    expect.objectContaining({ reason: 'mirror' }),
  );
});
