import { expect, test } from 'vitest';
import { pictureFiles } from '../../src/cli/figures.ts';
import { execution } from './fake-host.ts';

const shown = (...data: Record<string, string>[]) =>
  data.map((one) => ({ data: one, metadata: {}, isMainResult: false }));

test('what was shown becomes files, under names that the program has not taken', () => {
  const png = Buffer.from([1, 2, 3]).toString('base64');
  const results = shown(
    { 'text/plain': 'x' },
    { 'image/png': png, 'image/svg+xml': '<svg/>' },
    { 'image/svg+xml': '<svg>é</svg>' },
    { 'image/jpeg': png },
  );
  const file = { id: '1', path: 'figure-2.svg', mimeType: 'x', size: 0, bytes: new Uint8Array() };
  expect(pictureFiles(execution({ results, files: [file] }))).toMatchObject([
    { path: 'figure-1.png', mimeType: 'image/png', size: 3, bytes: Buffer.from([1, 2, 3]) },
    { path: 'figure-3.svg', mimeType: 'image/svg+xml', bytes: Buffer.from('<svg>é</svg>') },
    { path: 'figure-4.jpg', mimeType: 'image/jpeg' },
  ]);
});
