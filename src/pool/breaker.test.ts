import { expect, it } from 'vitest';
import { Breaker, failuresToOpen, maxBackoffMs } from './breaker.ts';

const error = new Error('no');

it('waits twice as long each time, up to a bound', () => {
  const breaker = new Breaker(() => 0.5);
  const waits = Array.from({ length: 12 }, () => breaker.failed(error, false));
  expect(waits.slice(0, 4)).toEqual([100, 200, 400, 800]);
  expect(waits.at(-1)).toBe(maxBackoffMs);
});

it('spreads its waits by a half either way', () => {
  expect(new Breaker(() => 0).failed(error, false)).toBe(50);
  expect(new Breaker(() => 1).failed(error, false)).toBe(150);
});

it('opens after so many failures in a row and closes with a success', () => {
  const breaker = new Breaker(() => 0.5);
  for (let n = 1; n < failuresToOpen; n++) breaker.failed(error, false);
  expect(breaker.open).toBe(false);
  expect(breaker.succeeded()).toBe(false);
  for (let n = 1; n <= failuresToOpen; n++) breaker.failed(error, false);
  expect(breaker.open).toBe(true);
  expect(breaker.succeeded()).toBe(true);
  expect(breaker).toMatchObject({ open: false, failures: 0, lastError: error });
  expect(breaker.failed(error, false)).toBe(100);
});

it('opens at once when trying again is no use', () => {
  const breaker = new Breaker(() => 0.5);
  breaker.failed(error, true);
  expect(breaker.open).toBe(true);
});
