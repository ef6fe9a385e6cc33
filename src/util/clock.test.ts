import { afterEach, expect, test, vi } from 'vitest';
import { systemClock } from './clock.ts';
import { FakeClock } from './fake-clock.ts';

afterEach(() => {
  vi.useRealTimers();
});

test('the fake clock fires in order of time, then of setting', () => {
  const clock = new FakeClock();
  const log: string[] = [];
  const note = (name: string) => () => log.push(`${name}@${clock.now()}`);
  clock.setTimeout(note('b'), 20);
  clock.setTimeout(note('a'), 10);
  clock.setTimeout(note('c'), 20);
  clock.setTimeout(note('later'), 31);
  clock.setTimeout(note('never'), Infinity);
  clock.setTimeout(() => clock.setTimeout(note('nested'), 5), 10);
  const cancelled = clock.setTimeout(note('cancelled'), 15);
  {
    using _timer = clock.setTimeout(note('disposed'), 1);
  }
  cancelled.cancel();
  clock.advance(30);
  expect(log).toEqual(['a@10', 'nested@15', 'b@20', 'c@20']);
  expect(clock.now()).toBe(30);
  expect(clock.pending).toBe(1);
  clock.advance(1);
  expect(log.at(-1)).toBe('later@31');
  expect(clock.pending).toBe(0);
});

test('a timer that cancels the next one', () => {
  const clock = new FakeClock();
  const fired = vi.fn();
  clock.setTimeout(() => second.cancel(), 1);
  const second = clock.setTimeout(fired, 1);
  clock.advance(5);
  expect(fired).not.toHaveBeenCalled();
});

test('the system clock fires, cancels, and takes long waits for long', () => {
  vi.useFakeTimers();
  const [fired, cancelled, long, never] = [vi.fn(), vi.fn(), vi.fn(), vi.fn()];
  systemClock.setTimeout(fired, 10);
  systemClock.setTimeout(cancelled, 10).cancel();
  systemClock.setTimeout(long, 1e12);
  systemClock.setTimeout(never, Infinity).cancel();
  vi.advanceTimersByTime(9);
  expect(fired).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1e6);
  expect(fired).toHaveBeenCalledTimes(1);
  for (const other of [cancelled, long, never]) expect(other).not.toHaveBeenCalled();
});

test('an unref timer does not keep the process alive', () => {
  const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  using _timer = systemClock.setTimeout(() => {}, 1e6, { unref: true });
  expect(process.getActiveResourcesInfo().filter((name) => name === 'Timeout')).toHaveLength(before);
  using _kept = systemClock.setTimeout(() => {}, 1e6);
  expect(process.getActiveResourcesInfo().filter((name) => name === 'Timeout')).toHaveLength(before + 1);
});
