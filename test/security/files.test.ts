/** T16, T17: what names and links can do on the way in, on the way out, and where the command line writes. The real engine; canaries are the host's. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRuntime } from '../../src/node.ts';
import type { Runtime } from '../../src/runtime.ts';
import { vivarium } from '../cli/program.ts';

const root = mkdtempSync(join(tmpdir(), 'vivarium-files-'));
const canary = join(root, 'canary.txt');
const secret = 'canary-a1b2c3';
writeFileSync(canary, secret);
afterAll(() => {
  expect(readFileSync(canary, 'utf8')).toBe(secret);
  rmSync(root, { recursive: true });
});

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ size: 1 });
});
afterAll(() => runtime?.close());

const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

// ---- in ------------------------------------------------------------------------------------------------------------

test.each([
  '../x',
  '..',
  '.',
  '',
  '/x',
  canary,
  'a/../../x',
  'a/./x',
  'a//x',
  'a/',
  'x\0y',
  'a\\..\\x',
  'C:\\x',
  'lone \ud800 surrogate',
  'x'.repeat(4097),
  'é'.repeat(2049),
])('T17: %j is no name for a file to pass in', async (path) => {
  await expect(runtime.run('1', { files: { [path]: 'x' } })).rejects.toMatchObject({ code: 'usage' });
});

const odd = [
  '__proto__',
  'constructor',
  'prototype/__proto__/toString',
  'hasOwnProperty',
  '%2e%2e/%2f',
  '..%2fx',
  '...',
  'a..b',
  'new\nline',
  'esc\u001b[2Jape',
  'caf\u00e9',
  'cafe\u0301',
  'CASE',
  'case',
  '\u202egnp.exe',
  'CON',
  'nul.txt',
  '-rf',
  '$(id)',
  ' ',
  'x'.repeat(255),
];

test('T17: odd names go in and come back as they are, each its own file', async () => {
  const before = Object.getOwnPropertyNames(Object.prototype);
  const code = `
import os
for folder, _, names in os.walk("."):
    for name in names:
        with open(os.path.join(folder, name), "a") as file:
            file.write(" and back")
`;
  const { files, status } = await runtime.run(code, {
    files: Object.fromEntries(odd.map((name, index) => [name, String(index)])),
  });
  expect(status).toBe('ok');
  const found = new Map(files.map(({ path, bytes }) => [path, text(bytes)]));
  expect([...found.keys()].sort()).toEqual([...odd].sort());
  for (const [index, name] of odd.entries()) expect(found.get(name)).toBe(`${index} and back`);
  expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  // Nothing of it is there for the next.
  expect((await runtime.run('import os; os.listdir()')).value).toEqual([]);
});

test('T17: a file and a folder of one name: told, and the next run works', async () => {
  const both = await runtime.run('1', { files: { a: 'x', 'a/b': 'y' } });
  expect(both).toMatchObject({ status: 'error', error: { message: expect.stringContaining('a/b') } });
  expect((await runtime.run('1 + 1')).value).toBe(2);
});

// ---- out -----------------------------------------------------------------------------------------------------------

const links = [
  '/proc/self/environ',
  '/proc/1/environ',
  '/etc/passwd',
  '/etc/hostname',
  canary,
  `../../../../../../../../..${canary}`,
  '..',
  '/',
  '/dev/stdin',
  '/dev/fd/0',
];

test('T16: links that the guest makes lead nowhere on the host, and are no files that come back', async () => {
  const code = `
import os
read = []
for index, target in enumerate(links):
    os.symlink(target, f"link-{index}")
    try:
        with open(f"link-{index}", "rb") as file:
            read.append(file.read(1000))
    except OSError as error:
        read.append(type(error).__name__)
    try:
        os.symlink(target, f"folder-{index}", target_is_directory=True)
        read.append(str(os.listdir(f"folder-{index}")))
    except OSError:
        pass
for index, target in enumerate(links):
    try:
        with open(f"link-{index}", "a") as file:
            file.write("written through a link")
    except OSError:
        pass
open("plain.txt", "w").write("plain")
[repr(one) for one in read]`;
  const { value, files } = await runtime.run(code, { globals: { links } });
  expect((value as unknown[]).length).toBeGreaterThanOrEqual(links.length);
  expect(JSON.stringify(value)).not.toContain(secret);
  expect(JSON.stringify(value)).not.toMatch(/root:|PATH=|HOME=/);
  expect(files.map(({ path }) => path)).toEqual(['plain.txt']);
  expect(readFileSync(canary, 'utf8')).toBe(secret);
  expect(readFileSync('/etc/hostname', 'utf8')).not.toContain('written through');
});

test('T17: what the guest calls its files: never a path out of the folder', async () => {
  const code = `
import os
for name in names:
    try:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        open(name, "w").write(name)
    except (OSError, ValueError):
        pass
os.makedirs("deep/er", exist_ok=True)
os.chdir("deep/er")
open("../../up.txt", "w").write("up")
open("../../../outside.txt", "w").write("outside")
`;
  const names = [
    '../x',
    '../../../../x',
    canary,
    '/tmp/x',
    'a/../b',
    '..\\..\\x',
    'C:\\x',
    '__proto__',
    ...odd,
  ];
  const { files, error } = await runtime.run(code, { globals: { names } });
  expect(error).toBeUndefined();
  const paths = files.map(({ path }) => path);
  expect(paths).toEqual(expect.arrayContaining(['up.txt', 'b', '__proto__', '..\\..\\x', ...odd]));
  expect(paths).not.toEqual(expect.arrayContaining(['outside.txt']));
  for (const path of paths) {
    expect(path.startsWith('/')).toBe(false);
    expect(path.split('/')).not.toEqual(expect.arrayContaining(['..']));
  }
});

// ---- what the command line writes ----------------------------------------------------------------------------------

describe('the command line', { timeout: 60_000 }, () => {
  const hostile = `
import os
names = [
    "fine.txt", "new\\nvivarium: wrote canary", "esc\\x1b[2J\\x1b]0;title\\x07", "c1\\x9b31m", "__proto__", "constructor",
    "back\\\\..\\\\slash", "C:evil", ".hidden", "\\u200b.zwsp", "%2e%2e", "linked/in.txt", "out.txt", "x" * 255, "\\u202egnp",
]
for name in names:
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    open(name, "w").write("from the guest")
os.symlink("/etc/passwd", "passwd")
raise ValueError("\\x1b[2J")
`;

  test.each([[[]], [['--force']], [['--out', 'out']]])('T16, T17: hostile names, with %j', async (flags) => {
    const cwd = mkdtempSync(join(root, 'cwd-'));
    const outside = mkdtempSync(join(root, 'outside-'));
    const folder = flags.includes('--out') ? join(cwd, 'out') : cwd;
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(outside, 'out.txt'), secret);
    symlinkSync(outside, join(folder, 'linked'));
    symlinkSync(join(outside, 'out.txt'), join(folder, 'out.txt'));
    const { code, stderr } = await vivarium(['run', '-c', hostile, ...flags], { cwd });
    expect(code).toBe(1);
    // Nothing through a link.
    expect(readdirSync(outside)).toEqual(['out.txt']);
    expect(readFileSync(join(outside, 'out.txt'), 'utf8')).toBe(secret);
    const wrote = [
      'fine.txt',
      '__proto__',
      'constructor',
      '%2e%2e',
      'x'.repeat(255),
      '\u202egnp',
      'linked',
      'out.txt',
    ];
    if (flags.includes('--out')) wrote.push('.hidden', '\u200b.zwsp');
    const found = readdirSync(folder).filter((name) => name !== 'out');
    expect(found.sort()).toEqual(wrote.sort());
    expect(existsSync(join(folder, 'passwd'))).toBe(false);
    // Ours are one line each, and steer no terminal.
    const ours = stderr.split('\n').filter((line) => line.startsWith('vivarium: '));
    expect(ours.join('')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(ours).not.toContain('vivarium: wrote canary');
    expect(ours.some((line) => line.includes('did not write new\ufffdvivarium: wrote canary: '))).toBe(true);
  });

  test('T17: --json escapes what could steer a terminal', async () => {
    const cwd = mkdtempSync(join(root, 'cwd-'));
    const { stdout, stderr } = await vivarium(['run', '--json', '-c', hostile], { cwd });
    expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(stderr.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    expect(JSON.parse(stdout)).toMatchObject({ status: 'error', error: { value: '\u001b[2J' } });
  });

  test.each(['../x', '/x', 'a/../../x', '..', ''])('T17: --file path=%s is refused', async (name) => {
    const { code, stderr } = await vivarium(['run', '-c', '1', '--file', `${canary}=${name}`], { cwd: root });
    expect([code, stderr]).toEqual([2, expect.stringContaining('not a name below the working folder')]);
  });
});
