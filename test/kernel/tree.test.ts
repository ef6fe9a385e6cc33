import { beforeAll, expect, it } from 'vitest';
import { loadInside } from './inside.ts';
import type { TreeReport } from './tree.inside.ts';

let report: TreeReport;
beforeAll(async () => {
  await using inside = await loadInside('tree');
  report = await inside.run<TreeReport>({});
});

const inWork = (path: string): boolean => path.startsWith('/made');

it('an image has folders, files with their modes, links and descriptors, in the order of names', () => {
  const { folders, files, links, descriptors } = report.tree;
  expect(folders.filter(inWork)).toStrictEqual([
    '/made',
    '/made/a',
    '/made/constructor',
    '/made/empty',
    '/made/z',
    '/made/z/deep',
  ]);
  expect(files.filter(([path]) => inWork(path))).toStrictEqual([
    ['/made/a/none', 0, 0o400],
    ['/made/a/one', 10, 0o751],
    ['/made/a/toString', 23, 0o666],
    ['/made/constructor/x', 1, 0o666],
    ['/made/log', 5, 0o666],
    ['/made/z/deep/two', 11, 0o666],
    ['/made/é💥', 3, 0o666],
  ]);
  expect(links).toStrictEqual([
    ['/made/dangling', 'nowhere'],
    ['/made/z/link', '../a'],
  ]);
  expect(descriptors.map(([, path, , position]) => [path, position])).toStrictEqual([
    ['/made/a/one', 6],
    ['/made/log', 5],
    ['/made/z/deep/two', 11],
  ]);
  const numbers = descriptors.map(([fd]) => fd);
  expect((numbers[1] ?? 0) - (numbers[0] ?? 0)).toBe(2);
});

it('leaves out what is not its own: devices, processes, the standard library', () => {
  const paths = [...report.tree.folders, ...report.tree.files.map(([path]) => path)];
  expect(paths.filter((path) => /^\/(dev|proc)\b|\.zip$/.test(path))).toStrictEqual([]);
});

it('a fresh file system gets it all, and would give the same image again', () => {
  expect(report.again).toStrictEqual(report.tree);
  expect(report.link).toBe('../a');
  expect(report.listed).toStrictEqual(
    ['.', '..', 'a', 'constructor', 'dangling', 'empty', 'log', 'z', 'é💥'].sort(),
  );
  expect(report.texts).toStrictEqual({
    '/made/a/none': '',
    '/made/a/one': 'first file',
    '/made/a/toString': 'a name of the prototype',
    '/made/constructor/x': 'x',
    '/made/log': 'begun',
    '/made/z/deep/two': 'second more',
    '/made/é💥': 'odd',
  });
});

it('its files are views of the image, which nobody has copied', () => {
  expect(report.copied).toStrictEqual([]);
});

it('what was open is open again: at its place, as it was opened, and after a rewind too', () => {
  expect(report.descriptors).toStrictEqual({
    one: 'file',
    oneWritten: 'refused',
    log: 'begun and on',
    two: 'second more!',
    oneAgain: 'file',
    logAgain: 'begun',
  });
});

it('a change copies what it changes, and a rewind brings the image’s view back', () => {
  expect(report.changed).toBe(null);
  expect(report.changes).toBeGreaterThanOrEqual(10);
});

it('what can’t be brought back is refused by its name', () => {
  const { removed, replaced, folder, device, nothing, 'open device': openDevice } = report.refused;
  for (const one of [removed, replaced])
    expect(one).toMatch(/^the descriptor \d+ \(\/made\/a\/none\) is open/);
  expect(folder).toMatch(/^the descriptor \d+ \(\/made\/a\) is open/);
  expect(device).toMatch(/^\/made\/device is neither a file nor a folder/);
  expect(openDevice).toMatch(/^the descriptor \d+ \(\/dev\/null\) is open/);
  expect(nothing).toBe('taken');
});
