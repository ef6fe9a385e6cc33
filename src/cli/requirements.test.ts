import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { gatherRequirements, type RequirementFlags, splitPackages } from './requirements.ts';

test.each([
  ['numpy', ['numpy']],
  ['numpy,pandas', ['numpy', 'pandas']],
  [' numpy , pandas>=3,<4 ,six', ['numpy', 'pandas>=3,<4', 'six']],
  ['requests[socks,use_chardet_on_py3]>=2,!=2.5,six', ['requests[socks,use_chardet_on_py3]>=2,!=2.5', 'six']],
])('packages are parted by commas: %j', (text, packages) => expect(splitPackages(text)).toEqual(packages));

test.each(['', ' , '])('refuses %j', (text) =>
  expect(() => splitPackages(text)).toThrow('no package is named'),
);

describe('what is locked', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vivarium-requirements-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const gather = (flags: Partial<RequirementFlags>) =>
    gatherRequirements(
      { requirements: [], requirement: [], extra: [], ...flags },
      (path, extras = []) => Promise.resolve([[basename(path), ...extras].join('+')]),
      folder,
    );

  test('is all that was named', async () => {
    const flags = {
      requirements: ['six'],
      requirement: ['a.txt', 'b.txt'],
      script: 's.py',
      project: 'p.toml',
    };
    expect(await gather({ ...flags, extra: ['x'] })).toEqual(['six', 'a.txt', 'b.txt', 's.py', 'p.toml+x']);
  });

  test('is, of nothing, what the folder has', async () => {
    await expect(gather({})).rejects.toThrow('here is no pyproject.toml and no requirements.txt');
    await expect(gather({ requirements: ['six'], extra: ['x'] })).rejects.toThrow(
      '--extra needs a pyproject.toml',
    );
    writeFileSync(join(folder, 'requirements.txt'), '');
    expect(await gather({})).toEqual(['requirements.txt']);
    writeFileSync(join(folder, 'pyproject.toml'), '');
    expect(await gather({})).toEqual(['pyproject.toml']);
    expect(await gather({ extra: ['x'] })).toEqual(['pyproject.toml+x']);
    expect(await gather({ requirements: ['six'] })).toEqual(['six']);
  });
});
