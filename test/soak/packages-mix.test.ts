import { expect, it } from 'vitest';
import type { Execution } from '../../src/runtime.ts';
import { packagesMix } from './packages-mix.ts';

const probe = (value: unknown): Execution =>
  ({ status: 'ok', stdout: 'probe\n', stderr: '', value }) as unknown as Execution;
const draws = (salt: number): string[] => [0, 1, 2, 3, 4].map((index) => `${index} ${salt}`);

it('a probe that draws a number again is not clean', () => {
  const { isClean } = packagesMix();
  expect(isClean(probe([7, ...draws(1)]))).toBe(true);
  expect(isClean(probe([7, ...draws(2)]))).toBe(true);
  expect(isClean(probe([7, ...draws(3).slice(0, 4), '4 1']))).toBe(false);
});

it('a probe whose next descriptor has moved, or that draws too little, is not clean', () => {
  const { isClean } = packagesMix();
  expect(isClean(probe([7, ...draws(1)]))).toBe(true);
  expect(isClean(probe([8, ...draws(2)]))).toBe(false);
  expect(isClean(probe([7, '0 3']))).toBe(false);
  expect(isClean(probe('nothing'))).toBe(false);
});
