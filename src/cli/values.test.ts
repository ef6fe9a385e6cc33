import { describe, expect, test } from 'vitest';
import { formatBytes, parseDuration, parseEnv, parseSize } from './values.ts';

describe('durations', () => {
  test.each([
    ['30', 30_000],
    ['1.5s', 1500],
    ['.5', 500],
    ['500ms', 500],
    ['2m', 120_000],
  ])('%s', (text, ms) => expect(parseDuration(text)).toBe(ms));

  test.each(['', '0', '-1', '1h', 'ms', '1.2.3', 'NaN', '0.1ms'])('refuses %j', (text) => {
    expect(() => parseDuration(text)).toThrow('not a duration');
  });
});

describe('sizes', () => {
  test.each([
    ['512mb', 512 * 2 ** 20],
    ['64k', 65_536],
    ['1.5GiB', 1.5 * 2 ** 30],
  ])('%s', (text, bytes) => expect(parseSize(text)).toBe(bytes));

  test.each(['', '512', '0mb', 'mb', '-1mb', '1tb'])('refuses %j', (text) => {
    expect(() => parseSize(text)).toThrow('not a size');
  });
});

test('environment', () => {
  expect(parseEnv(['A=1', 'B=', 'C=x=y'])).toEqual({ A: '1', B: '', C: 'x=y' });
  expect(() => parseEnv(['=1'])).toThrow('NAME=value');
  expect(() => parseEnv(['A'])).toThrow('NAME=value');
});

test('bytes', () => {
  expect([999, 1536, 123_456, 5e9].map(formatBytes)).toEqual(['999 bytes', '1.5 kB', '123 kB', '5.0 GB']);
});
