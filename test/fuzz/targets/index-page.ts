/** A page of a package index: JSON when it begins with `{` or `[`, else HTML. */
import { readIndexPage } from '../../../src/packages/index-page.ts';
import { bytesOf, ensure, sameJson } from '../target.ts';

const url = 'http://index.test/simple/x/';
const sha256 = '0'.repeat(64);

export const sources: readonly string[] = ['packages/index-page.ts'];
export const json = true;
export const maxBytes = 262_144;
export const seeds: readonly Uint8Array[] = [
  `<html><a href="x-1-py3-none-any.whl#sha256=${sha256}" data-requires-python='&gt;=3'>x</a><A class=b HREF = '/f/y.whl'>y</A></html>`,
  `<a href="https://files.test/a%2Fb.whl?x=1&amp;y=2"><a href='//u:p@other.test/c.whl'><a href="javascript:x.whl">`,
  JSON.stringify({
    meta: {},
    files: [{ filename: 'x', url: 'x-1.whl', hashes: { sha256 } }, { url: 'https://f.test/y.whl' }],
  }),
  JSON.stringify({ releases: { '1.0': [{ url: '../x.whl', digests: { sha256 } }], '2.0': [null, 1] } }),
].map(bytesOf);
export const dictionary: readonly string[] = [
  ...[
    '<a ',
    '<a',
    'href',
    '=',
    'href="',
    "href='",
    '>',
    '"',
    "'",
    '.whl',
    '#sha256=',
    '&amp;',
    '%2F',
    '%',
    '\\',
    '..',
  ],
  ...[
    'http:',
    'https:',
    '//',
    'u:p@',
    'file:',
    'data:',
    'files',
    'releases',
    'url',
    'hashes',
    'digests',
    'sha256',
    sha256,
    '__proto__',
  ],
];

export function fuzz(data: Uint8Array): void {
  const isJson = data[0] === 0x7b || data[0] === 0x5b;
  const headers = { 'content-type': isJson ? 'application/vnd.pypi.simple.v1+json' : 'text/html' };
  const { links, bytes } = readIndexPage({ status: 200, url, headers, bytes: data });
  for (const link of links) {
    const { protocol, origin, username, password, hash, href } = new URL(link.url);
    ensure(href === link.url && username + password + hash === '', `credentials or a fragment: ${link.url}`);
    ensure(protocol === 'https:' || origin === 'http://index.test', `another origin: ${link.url}`);
    ensure(link.fileName.endsWith('.whl'), `no wheel: ${link.fileName}`);
    ensure(link.sha256 === undefined || /^[0-9a-f]{64}$/.test(link.sha256), 'no SHA-256');
  }
  ensure(
    bytes.length <= 8 * data.length + 100 * links.length + 100,
    `${bytes.length} bytes from ${data.length}`,
  );
  const again = readIndexPage({ status: 200, url, headers, bytes });
  ensure(sameJson(again.links, links), 'micropip sees other links than the host');
}
