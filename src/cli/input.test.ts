import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mentionsStdin, parseInputs, readInputs, readProgram, readStdin } from './input.ts';

let folder = '';
const at = (name: string) => join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vivarium-input-'));
  writeFileSync(at('good.py'), 'print("é")');
  writeFileSync(at('latin.py'), Buffer.from([0x70, 0xe9]));
  writeFileSync(at('a=b.csv'), '1');
  writeFileSync(at('C:\\data\\x.csv'), '1');
  mkdirSync(at('folder'));
});

afterAll(() => rmSync(folder, { recursive: true }));

test('a program is UTF-8 text in a file', () => {
  expect(readProgram(at('good.py'))).toBe('print("é")');
  expect(() => readProgram(at('none.py'))).toThrow(`no such file: ${at('none.py')}`);
  expect(() => readProgram(at('good.py/x'))).toThrow('no such file');
  expect(() => readProgram(at('folder'))).toThrow('is a folder');
  expect(() => readProgram(at('latin.py'))).toThrow('not UTF-8 text');
});

test('inputs have their base name or one of their own', async () => {
  const inputs = parseInputs([at('good.py'), `${at('good.py')}=lib/./x.py`, at('a=b.csv')]);
  expect(inputs.map(({ name }) => name)).toEqual(['good.py', 'lib/x.py', 'a=b.csv']);
  expect(Object.keys(await readInputs(inputs))).toEqual(['good.py', 'lib/x.py', 'a=b.csv']);
});

test.skipIf(process.platform === 'win32')('takes paths and names as Windows writes them', () => {
  const path = at('C:\\data\\x.csv');
  const inputs = parseInputs([path, `${path}=in\\y.csv`]);
  expect(inputs).toEqual([
    { path, name: 'x.csv' },
    { path, name: 'in/y.csv' },
  ]);
});

test.each(['../x', '/x', '', 'a/../../x', 'x/', '..', '..\\x'])('refuses the name %j', (name) => {
  expect(() => parseInputs([`${at('good.py')}=${name}`])).toThrow('not a name below');
});

test('refuses two files of one name, and what is no file', () => {
  expect(() => parseInputs([at('good.py'), `${at('a=b.csv')}=good.py`])).toThrow(
    'two files are named good.py',
  );
  expect(() => parseInputs([at('none')])).toThrow('no such file');
  expect(() => parseInputs([at('folder')])).toThrow('is a folder');
});

test('stdin is read to its end, as text, up to a limit', async () => {
  expect(await readStdin(Readable.from([Buffer.from('a\nß').subarray(0, 3), Buffer.from([0x9f])]))).toBe(
    'a\nß',
  );
  await expect(readStdin(Readable.from([Buffer.from([0xff])]))).rejects.toThrow('not UTF-8');
  const chunk = Buffer.alloc(2 ** 24);
  await expect(readStdin(Readable.from([chunk, chunk, chunk, chunk, chunk]))).rejects.toThrow(
    'stdin is larger than 31 MiB',
  );
});

test('knows programs that may read stdin', () => {
  expect(
    ['x = input()', 'import sys; sys.stdin.read()', 'open(0)', "open('/dev/stdin')"].every(mentionsStdin),
  ).toBe(true);
  expect(['print(1)', 'inputs = 1', "open('0.txt')"].some(mentionsStdin)).toBe(false);
});
