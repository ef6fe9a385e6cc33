import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { normalizeName, requirementName, wheelParts } from './names.ts';
import {
  checkRequirement,
  projectRequirements,
  readRequirements,
  scriptRequirements,
} from './requirements.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vivarium-requirements-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  return join(folder, name);
}

test.each([
  ['numpy', 'numpy'],
  ['Typing_Extensions >= 4, <5', 'typing-extensions'],
  ['requests[socks]==2.33.1', 'requests'],
  ["tomli; python_version < '3.11'", 'tomli'],
  ['zope.interface', 'zope-interface'],
  ['name @ https://x.example/other-1.0-py3-none-any.whl', 'name'],
  ['https://x.example/a/my_pkg-1.0-py3-none-any.whl#sha256=00', 'my-pkg'],
])('%s is about %s', (requirement, name) => {
  expect(requirementName(requirement)).toBe(name);
  expect(checkRequirement(` ${requirement} `)).toBe(requirement);
});

test('names as PEP 503 has them', () => {
  expect(normalizeName('A.-_b__C')).toBe('a-b-c');
  expect(wheelParts('my_Pkg-1.0.post1+local-1-cp314-cp314-pyemscripten_2026_0_wasm32.whl')).toEqual({
    name: 'my-pkg',
    version: '1.0.post1+local',
  });
  expect(wheelParts('my_pkg-1.0.tar.gz')).toBeUndefined();
});

test.each([
  ['git+https://example.com/x.git', 'source code'],
  ['x @ git+ssh://example.com/x.git', 'source code'],
  ['https://example.com/x-1.0.tar.gz', 'no wheel'],
  ['file:///tmp/x-1.0-py3-none-any.whl', 'no wheel'],
  ['https://me:secret@example.com/x-1.0-py3-none-any.whl', 'credentials'],
  ['./x-1.0-py3-none-any.whl', 'is a path'],
  ['x-1.0-py3-none-any.whl', 'is a path'],
  ['..', 'is a path'],
  ['', 'is no requirement'],
  ['--upgrade', 'is no requirement'],
  ['a b', 'is no requirement'],
  ['a\nb', 'more than one line'],
])('refuses %j', (requirement, problem) => {
  expect(() => checkRequirement(requirement)).toThrow(problem);
  expect(() => checkRequirement(requirement)).toThrow(
    expect.objectContaining({ reason: 'bad_requirement', message: expect.not.stringContaining('secret') }),
  );
});

test('refuses what is too long', () => {
  expect(() => checkRequirement('a'.repeat(3000))).toThrow(/^requirement: .{0,110} is too long$/);
});

describe('requirements.txt', () => {
  test('comments, continuations, includes, hashes', async () => {
    await file('more.txt', 'six\n-r requirements.txt\n');
    const path = await file(
      'requirements.txt',
      `\uFEFF# all of it\r\nnumpy>=2  # fast\r\n\r\nrequests[socks] \\\r\n  ==2.33.1 \\\r\n  --hash=sha256:${'a'.repeat(64)}\r\n` +
        `-r more.txt\nx @ https://e.example/x-1-py3-none-any.whl#frag\nnumpy>=2\npandas \\\n# in between\n`,
    );
    expect(await readRequirements(path)).toEqual([
      'numpy>=2',
      'requests[socks]   ==2.33.1',
      'six',
      'x @ https://e.example/x-1-py3-none-any.whl#frag',
      'pandas',
    ]);
  });

  test.each([
    ['-c constraints.txt', 'constraints'],
    ['--constraint=c.txt', 'constraints'],
    ['-e .', 'editable'],
    ['-e.', 'editable'],
    ['--index-url https://me:secret@x.example/simple', 'PIP_INDEX_URL'],
    ['-ihttps://x.example/simple', 'PIP_INDEX_URL'],
    ['--pre', '--pre is not supported'],
    ['-r https://x.example/r.txt', 'URL'],
    ['-r missing.txt', 'ENOENT'],
    ['ok\ngit+https://x.example/y', 'source code'],
  ])('refuses %j', async (text, problem) => {
    const path = await file('requirements.txt', text);
    const error: unknown = await readRequirements(path).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ reason: 'bad_requirement', message: expect.stringContaining(problem) });
    expect((error as Error).message).not.toContain('secret');
  });

  test('a chain of too many files ends', async () => {
    for (let index = 0; index < 60; index++) await file(`r${index}.txt`, `-r r${index + 1}.txt`);
    await expect(readRequirements(join(folder, 'r0.txt'))).rejects.toThrow('includes more than 50 files');
  });

  test('a file that is not there is named', async () => {
    await expect(readRequirements(join(folder, 'no.txt'))).rejects.toThrow(
      `${join(folder, 'no.txt')}: can't be read`,
    );
  });
});

describe('a block of PEP 723', () => {
  const block = (body: string): string => `import os\n\n# /// script\n${body}\n# ///\nprint(1)\n`;

  test('its dependencies', async () => {
    const text = block(
      '# requires-python = ">=3.11"\n# dependencies = [\n#   "requests<3",\n#\n#   "rich",\n# ]',
    );
    expect(scriptRequirements(text)).toEqual(['requests<3', 'rich']);
    expect(scriptRequirements(text.replaceAll('\n', '\r\n'))).toEqual(['requests<3', 'rich']);
    expect(await readRequirements(await file('script.py', text))).toEqual(['requests<3', 'rich']);
  });

  test('it ends with the last closing line of its comments', () => {
    const text = '# /// script\n# dependencies = ["a"]\n# note = """\n# ///\n# """\n# ///\n# not of it\n';
    expect(scriptRequirements(text)).toEqual(['a']);
  });

  test.each([
    ['print(1)'],
    ['# /// script\n# dependencies = ["a"]\n'],
    ['# /// script\n# dependencies = ["a"]\n#bad\n# ///'],
    ['# /// script\n# ///\n'],
    ['# /// other\n# dependencies = ["a"]\n# ///'],
    ['#/// script\n# dependencies = ["a"]\n# ///'],
    [' # /// script\n # dependencies = ["a"]\n # ///'],
  ])('none in %j', (text) => {
    expect(scriptRequirements(text)).toBeUndefined();
  });

  test.each([
    [block('# dependencies = 1'), 'must be an array of strings'],
    [block('# dependencies = ['), 'is no TOML'],
    [`${block('# dependencies = []')}${block('# dependencies = []')}`, 'more than one'],
    [block('# dependencies = ["-e ."]'), 'is no requirement'],
  ])('refuses %j', (text, problem) => {
    expect(() => scriptRequirements(text)).toThrow(problem);
  });

  test('a script without one is named', async () => {
    const path = await file('script.py', 'print(1)');
    await expect(readRequirements(path)).rejects.toThrow(`${path}: has no \`# /// script\` block`);
  });
});

test('pyproject.toml, with extras', () => {
  const text =
    '[project]\nname="x"\ndependencies=["a>1"]\n[project.optional-dependencies]\nMy_Plot=["b", "a>1"]\n';
  expect(projectRequirements(text)).toEqual(['a>1']);
  expect(projectRequirements(text, ['my-plot'])).toEqual(['a>1', 'b']);
  expect(() => projectRequirements(text, ['no'])).toThrow("there is no extra 'no'; there are: my-plot");
  expect(() => projectRequirements('a = 1')).toThrow('has no [project]');
});

describe('a megabyte that looks like something is read in one go', () => {
  const long = 2 ** 20 - 100;

  test.each([
    ['spaces', `a${' '.repeat(long)}b`, 'is too long'],
    ['comments', `a${' #'.repeat(long / 2)}\u2028b`, undefined],
    ['a file', `-r ${'a'.repeat(long)}`, '-r names no file'],
  ])('%s', async (_, text, problem) => {
    const found = readRequirements(await file('requirements.txt', text));
    if (problem === undefined) await expect(found).resolves.toEqual(['a']);
    else await expect(found).rejects.toThrow(problem);
  });

  test('blocks that never end', () => {
    expect(scriptRequirements('# /// a\n'.repeat(long / 8))).toBeUndefined();
  });
});

test('a lone surrogate is no text', () => {
  expect(() => checkRequirement('a @ \ud800')).toThrow('is no text');
});
