import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { FakeClock } from '../util/fake-clock.ts';
import { ProgressBar } from './progress.ts';

function screen() {
  const written: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      written.push(String(chunk));
      done();
    },
  });
  return { stream: Object.assign(stream, { columns: 60 }), written };
}

const half = { stage: 'image', done: 5_000_000, total: 10_000_000, message: 'building' };

test('shows nothing when it is over soon', () => {
  const { stream, written } = screen();
  const clock = new FakeClock();
  const bar = new ProgressBar(stream, { clock });
  bar.update(half);
  clock.advance(299);
  bar.stop();
  expect(written).toEqual([]);
  expect(clock.pending).toBe(0);
});

test('shows stage, bar, bytes and seconds though nothing new comes, then wipes them', () => {
  const { stream, written } = screen();
  const clock = new FakeClock();
  const bar = new ProgressBar(stream, { clock });
  bar.update(half);
  clock.advance(300);
  const line = written.join('');
  expect(line).toContain('image');
  expect(line).toContain('██████████░░░░░░░░░░ 5.0 MB of 10.0 MB');
  expect(line).toContain('building');
  expect(line).toContain('0.3s');
  clock.advance(1000);
  expect(written.join('')).toContain('1.3s');
  bar.stop();
  expect(written.at(-1)).toBe('\u001b[2K');
  bar.update(half);
  clock.advance(1000);
  expect(written.at(-1)).toBe('\u001b[2K');
});

test('draws ten times a second, and fits the screen', () => {
  const { stream, written } = screen();
  const clock = new FakeClock();
  const bar = new ProgressBar(stream, { clock, delayMs: 0 });
  bar.update({ ...half, message: 'x'.repeat(200) });
  clock.advance(0);
  const drawn = written.length;
  expect(drawn).toBeGreaterThan(0);
  expect(written.every((text) => text.length <= 80)).toBe(true);
  bar.update({ stage: 'stdlib', done: 1, total: 3, message: '' });
  clock.advance(99);
  expect(written).toHaveLength(drawn);
  clock.advance(1);
  expect(written.join('')).toContain('1 of 3');
  bar.update({ stage: 'image', done: 0, total: 1, message: 'building' });
  const before = written.length;
  clock.advance(100);
  expect(written.slice(before).join('')).not.toMatch(/░|of 1/);
  bar.update({ stage: 'assets', done: 9_600_000, total: 0, message: 'reading' });
  clock.advance(100);
  expect(written.join('')).toContain('assets 9.6 MB reading');
  bar.stop();
});
