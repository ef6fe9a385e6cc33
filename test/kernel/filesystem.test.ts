import { beforeAll, expect, it } from 'vitest';
import type { FilesReport } from './filesystem.inside.ts';
import { loadInside } from './inside.ts';

const noSpace = 51;

let report: FilesReport;
beforeAll(async () => {
  await using inside = await loadInside('filesystem');
  report = await inside.run<FilesReport>({});
});

it('a rewind undoes any sequence of operations', () => {
  expect(report.rewind).toBe(null);
  expect(report.sequences).toBeGreaterThanOrEqual(1000);
  expect(report.applied).toBeGreaterThan(report.sequences * 5);
});

it('files take no more bytes and nodes than they may, and give them back', () => {
  expect(report.quota).toStrictEqual({
    exactly: undefined,
    more: noSpace,
    again: undefined,
    afterTruncate: undefined,
    farWrite: noSpace,
    farWriteAt: noSpace,
    farTruncate: noSpace,
    farFtruncate: noSpace,
    farImage: noSpace,
    allocated: 0,
    nodes: [undefined, undefined, undefined, undefined, undefined, noSpace],
    freedNode: undefined,
    linkNode: noSpace,
    fresh: undefined,
    copyTooLarge: noSpace,
    copy: undefined,
    copyAgain: undefined,
    besideCopy: noSpace,
    besideCut: [undefined, noSpace],
    besideNothing: [undefined, noSpace],
    besideGiven: [undefined, noSpace, noSpace],
    insteadOfGiven: [undefined, noSpace],
    afterGiven: [undefined, noSpace],
  });
});
