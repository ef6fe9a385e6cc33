import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
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
  let now = 0;
  const bar = new ProgressBar(stream, { now: () => now });
  bar.update(half);
  now = 299;
  bar.update(half);
  bar.stop();
  expect(written).toEqual([]);
});

test('shows stage, bar and bytes, then wipes them', () => {
  const { stream, written } = screen();
  let now = 0;
  const bar = new ProgressBar(stream, { now: () => now });
  now = 300;
  bar.update(half);
  const line = written.join('');
  expect(line).toContain('image');
  expect(line).toContain('██████████░░░░░░░░░░ 5.0 MB of 10.0 MB');
  expect(line).toContain('building');
  bar.stop();
  expect(written.at(-1)).toBe('\u001b[2K');
  now = 900;
  bar.update(half);
  expect(written.at(-1)).toBe('\u001b[2K');
});

test('draws twenty times a second at most, and fits the screen', () => {
  const { stream, written } = screen();
  let now = 0;
  const bar = new ProgressBar(stream, { now: () => now, delayMs: 0 });
  bar.update({ ...half, message: 'x'.repeat(200) });
  const drawn = written.length;
  expect(written.every((text) => text.length <= 80)).toBe(true);
  now = 49;
  bar.update(half);
  expect(written).toHaveLength(drawn);
  now = 50;
  bar.update({ stage: 'stdlib', done: 1, total: 3, message: '' });
  expect(written.join('')).toContain('1 of 3');
  const before = written.length;
  now = 100;
  bar.update({ stage: 'image', done: 0, total: 1, message: 'building' });
  expect(written.slice(before).join('')).not.toMatch(/░|of 1/);
});
