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

const disk = vi.hoisted(() => ({ full: false }));
vi.mock('node:fs', async (importOriginal) => {
  const fs = await importOriginal<typeof import('node:fs')>();
  const write: typeof fs.writeFileSync = (file, data, options) => {
    fs.writeFileSync(file, disk.full ? '' : data, options);
    if (disk.full) throw new Error('ENOSPC: no space left on device');
  };
  return { ...fs, writeFileSync: write };
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
  disk.full = false;
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

test.each(['../x', '/x', 'a/../../x', 'a//b', '.', '', 'a\\b', 'C:x', 'a\0b'])('refuses %j', (path) => {
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

test('follows no link out of the folder', () => {
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
