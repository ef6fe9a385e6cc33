import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { History, historyLines } from '../../src/cli/history.ts';
import { temporaryFolder } from './program.ts';

const modeOf = (path: string): number => statSync(path).mode & 0o777;

test('lines come back, the newest first, for this user alone', () => {
  const path = join(temporaryFolder(), 'data', 'history');
  const first = new History(path);
  expect(first.read()).toEqual([]);
  for (const line of ['a = 1', '', '   ', 'a', 'a', '    indented', 'ü']) first.add(line);
  expect(new History(path).read()).toEqual(['ü', '    indented', 'a', 'a = 1']);
  expect(modeOf(path)).toBe(0o600);
});

test('a file that others could read is made private', () => {
  const path = join(temporaryFolder(), 'history');
  writeFileSync(path, 'secret\n');
  chmodSync(path, 0o644);
  expect(new History(path).read()).toEqual(['secret']);
  expect(modeOf(path)).toBe(0o600);
});

test('it is bounded', () => {
  const folder = temporaryFolder();
  const path = join(folder, 'history');
  const history = new History(path);
  history.read();
  const count = 2 * historyLines + 1;
  for (let n = 0; n < count; n++) history.add(`line ${n}`);
  expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(count + 1);
  const lines = new History(path).read();
  expect(lines).toHaveLength(historyLines);
  expect(lines[0]).toBe(`line ${count - 1}`);
  expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(historyLines + 1);
  expect(modeOf(path)).toBe(0o600);

  writeFileSync(path, `${'x'.repeat(3 * 2 ** 20)}\nshort\n`);
  expect(new History(path).read()).toEqual(['short']);
  expect(statSync(path).size).toBe(6);
  expect(readdirSync(folder)).toEqual(['history']);
});

test('a prompt without one is still a prompt', () => {
  const path = join(temporaryFolder(), 'history');
  mkdirSync(path);
  const history = new History(path);
  expect(history.read()).toEqual([]);
  expect(history.problem).toContain(path);
  expect(() => history.add('a')).not.toThrow();
});
