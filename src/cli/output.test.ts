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
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { writeOutputs } from './output.ts';

const disk = vi.hoisted(() => ({ full: false, foldsNames: false }));
vi.mock('node:fs', async (importOriginal) => {
  const fs = await importOriginal<typeof import('node:fs')>();
  const write: typeof fs.writeFileSync = (file, data, options) => {
    fs.writeFileSync(file, disk.full ? '' : data, options);
    if (disk.full) throw new Error('ENOSPC: no space left on device');
  };
  // As a disk is that takes two spellings for one name.
  const lstat = (path: string, options: object) =>
    fs.lstatSync(
      disk.foldsNames ? path.replace(/[^/]*$/, (name) => name.normalize().toLowerCase()) : path,
      options,
    );
  return { ...fs, writeFileSync: write, lstatSync: lstat };
});

let folder = '';
let outside = '';

beforeEach(() => {
  const root = mkdtempSync(join(tmpdir(), 'vivarium-output-'));
  folder = join(root, 'out');
  outside = join(root, 'outside');
  mkdirSync(outside);
});

afterEach(() => {
  disk.full = disk.foldsNames = false;
  rmSync(join(folder, '..'), { recursive: true });
});

function write(
  path: string,
  options: { replace?: boolean; hidden?: boolean; inputs?: string[]; text?: string } = {},
) {
  const bytes = new TextEncoder().encode(options.text ?? 'new');
  const file = { id: '1', path, mimeType: 'text/plain', size: bytes.length, bytes };
  const rules = {
    folder,
    replace: options.replace ?? false,
    hidden: options.hidden ?? false,
    inputs: new Set(options.inputs),
  };
  return writeOutputs([file], rules)[0];
}

const existing = (name: string, text = 'old') => {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

test('writes below the folder and makes it', () => {
  expect(write('a/b/c.txt')).toMatchObject({ kind: 'wrote', target: join(folder, 'a/b/c.txt') });
  expect(readFileSync(join(folder, 'a/b/c.txt'), 'utf8')).toBe('new');
});

test.each(['../x', '/x', 'a/../../x', 'a//b', '.', '', 'a\\b', 'C:x', 'a\0b'])('T17: refuses %j', (path) => {
  expect(write(path, { replace: true })).toMatchObject({ kind: 'refused' });
  expect(existsSync(folder)).toBe(false);
});

test('keeps what is there, unless it is the same, was passed in, or may be replaced', () => {
  const target = existing('x.txt');
  expect(write('x.txt')).toMatchObject({ kind: 'refused', reason: expect.stringContaining('--force') });
  expect(write('x.txt', { text: 'old' })).toMatchObject({ kind: 'unchanged' });
  expect(readFileSync(target, 'utf8')).toBe('old');
  expect(write('x.txt', { inputs: [target] })).toMatchObject({ kind: 'wrote' });
  expect(readFileSync(target, 'utf8')).toBe('new');
  expect(write('x.txt', { replace: true, text: 'newer' })).toMatchObject({ kind: 'wrote' });
  expect(readFileSync(target, 'utf8')).toBe('newer');
  expect(readdirSync(folder)).toEqual(['x.txt']);
});

test('hidden names need a folder that was asked for', () => {
  expect(write('.git/config')).toMatchObject({ kind: 'refused' });
  expect(write('a/.env', { replace: true })).toMatchObject({ kind: 'refused' });
  expect(write('.env', { hidden: true })).toMatchObject({ kind: 'wrote' });
});

test('T16: follows no link out of the folder', () => {
  writeFileSync(join(outside, 'x.txt'), 'old');
  mkdirSync(folder);
  symlinkSync(outside, join(folder, 'folder'));
  symlinkSync(join(outside, 'x.txt'), join(folder, 'x.txt'));
  expect(write('folder/y.txt', { replace: true })).toMatchObject({ kind: 'refused' });
  expect(write('x.txt')).toMatchObject({ kind: 'refused' });
  expect(write('x.txt', { replace: true })).toMatchObject({ kind: 'wrote' });
  expect(readFileSync(join(outside, 'x.txt'), 'utf8')).toBe('old');
  expect(readdirSync(outside)).toEqual(['x.txt']);
});

test('T17: two names that are one on this disk: the second is told, not written over the first', () => {
  const rules = { folder, replace: true, hidden: true, inputs: new Set<string>() };
  const file = (path: string) => ({
    id: path,
    path,
    mimeType: '',
    size: 1,
    bytes: new TextEncoder().encode(path),
  });
  disk.foldsNames = true;
  const outcomes = writeOutputs(['caf\u00e9.txt', 'CAFE\u0301.txt', 'x', 'X', 'y'].map(file), rules);
  expect(outcomes.map(({ kind }) => kind)).toEqual(['wrote', 'refused', 'wrote', 'refused', 'wrote']);
  expect(outcomes[3]).toMatchObject({ reason: 'on this disk it is the same file as x' });
  expect(readFileSync(join(folder, 'x'), 'utf8')).toBe('x');
  // Elsewhere they are two.
  disk.foldsNames = false;
  const both = writeOutputs(['x', 'X'].map(file), { ...rules, folder: join(folder, 'other') });
  expect(both.map(({ kind }) => kind)).toEqual(['wrote', 'wrote']);
});

test.each(['a\nb', 'a\u001b[2Jb', '\u0007', 'a\tb', 'x\u0085y', '\u009b31m', 'folder\r/x'])(
  'T17: %j has control characters',
  (path) => {
    expect(write(path, { replace: true, hidden: true })).toMatchObject({
      kind: 'refused',
      reason: 'a name with control characters',
    });
    expect(existsSync(folder)).toBe(false);
  },
);

test.each(['\u200b.git/config', '\u2060.\u200dnpmrc', '.\u200cgit/x'])(
  'T17: %j is hidden on some disks',
  (path) => {
    expect(write(path)).toMatchObject({ kind: 'refused' });
    expect(existsSync(folder)).toBe(false);
  },
);

const windowsOnly = [
  'CON',
  'con.txt',
  'aux.py',
  'NUL',
  'COM1.log',
  'lpt\u00b2',
  'a/PRN /x',
  'x.',
  'x ',
  'GIT~1/config',
  'a?b',
  'a*',
  'a|b',
  'a<b',
  'CONIN$',
];
test.each(windowsOnly)('T17: %j means something else on Windows', (path) => {
  const rules = { folder, replace: true, hidden: true, inputs: new Set<string>() };
  const file = { id: '1', path, mimeType: '', size: 0, bytes: new Uint8Array() };
  expect(writeOutputs([file], { ...rules, windows: true })).toMatchObject([{ kind: 'refused' }]);
  expect(existsSync(folder)).toBe(false);
  expect(writeOutputs([file], { ...rules, windows: false })).toMatchObject([{ kind: 'wrote' }]);
});

test.each(['console.py', 'a.con', 'communication', 'null', 'auxiliary.txt', 'v1~draft'])(
  '%j is fine anywhere',
  (path) => {
    const file = { id: '1', path, mimeType: '', size: 0, bytes: new Uint8Array() };
    const rules = { folder, replace: false, hidden: false, inputs: new Set<string>(), windows: true };
    expect(writeOutputs([file], rules)).toMatchObject([{ kind: 'wrote' }]);
  },
);

test('a name as long as names may be; a longer one is told', () => {
  expect(write('x'.repeat(255))).toMatchObject({ kind: 'wrote' });
  expect(write('x'.repeat(256))).toMatchObject({
    kind: 'refused',
    reason: expect.stringContaining('ENAMETOOLONG'),
  });
  expect(readdirSync(folder)).toHaveLength(1);
});

test.each(['__proto__', 'constructor', 'prototype/__proto__/x', '%2e%2e', '%2e%2e/x', '...', 'a..b'])(
  'T17: %j is a name',
  (path) => {
    expect(write(path, { hidden: true })).toMatchObject({ kind: 'wrote', target: join(folder, path) });
    expect(readFileSync(join(folder, path), 'utf8')).toBe('new');
  },
);

test('a folder in the way is an answer, not an exception', () => {
  mkdirSync(join(folder, 'x'), { recursive: true });
  expect(write('x', { replace: true })).toMatchObject({ kind: 'refused' });
});

test('leaves nothing of a file that a full disk has no room for, and the old one as it was', () => {
  const target = existing('x.txt');
  disk.full = true;
  const reason = expect.stringContaining('ENOSPC');
  expect(write('new.txt')).toMatchObject({ kind: 'refused', reason });
  expect(write('x.txt', { replace: true })).toMatchObject({ kind: 'refused', reason });
  expect(readdirSync(folder)).toEqual(['x.txt']);
  expect(readFileSync(target, 'utf8')).toBe('old');
});
