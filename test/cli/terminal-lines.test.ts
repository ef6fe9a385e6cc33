import { PassThrough } from 'node:stream';
import { expect, test, vi } from 'vitest';
import { TerminalLines, type TerminalOptions } from '../../src/cli/terminal-lines.ts';

function subject(options: Partial<TerminalOptions> = {}) {
  const raw: boolean[] = [];
  const input = Object.assign(new PassThrough(), { setRawMode: (on: boolean) => raw.push(on) });
  const output = Object.assign(new PassThrough(), { columns: 80, rows: 24 });
  let shown = '';
  output.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
  });
  const entered: string[] = [];
  const lines = new TerminalLines({
    input,
    output,
    history: ['newest', 'oldest'],
    historySize: 10,
    complete: async (line) => ({ word: line, matches: [`${line}_one`, `${line}_two`] }),
    onLine: (line) => entered.push(line),
    ...options,
  });
  return { lines, type: (keys: string) => input.write(keys), raw, input, entered, shown: () => shown };
}

const line = (text: string) => ({ kind: 'line', text });

test('a line, its prompt, and the terminal given back meanwhile', async () => {
  const { lines, type, raw, entered, shown } = subject();
  const next = lines.next('>>> ');
  type('1 + 1\r');
  expect(await next).toEqual(line('1 + 1'));
  expect(shown()).toContain('>>> ');
  expect(entered).toEqual(['1 + 1']);
  expect(raw.at(-1)).toBe(true);
  expect(lines.rest()).toBe(true);
  expect(raw.at(-1)).toBe(false);
  void lines.next('>>> ');
  expect(raw.at(-1)).toBe(true);
  lines.close();
  expect(raw.at(-1)).toBe(false);
});

test('lines of a paste, and those that were typed before they were asked for', async () => {
  const { lines, type } = subject();
  const next = lines.next('>>> ');
  type('a\rb\rc\r');
  expect(await next).toEqual(line('a'));
  expect(await lines.peek()).toBe('b');
  expect([await lines.next('... '), await lines.next('... ')]).toEqual([line('b'), line('c')]);
  expect(await lines.peek()).toBeUndefined();
});

test('former lines', async () => {
  const { lines, type } = subject();
  const next = lines.next('>>> ');
  type('\x1b[A\x1b[A\r');
  expect(await next).toEqual(line('oldest'));
});

test('Tab completes as far as it’s clear, and indents', async () => {
  const { lines, type, shown } = subject();
  const next = lines.next('>>> ');
  type('name\t');
  await vi.waitFor(() => expect(shown()).toContain('name_'));
  type('two\r');
  expect(await next).toEqual(line('name_two'));
  const indented = lines.next('... ');
  type('\t');
  await vi.waitFor(() => expect(shown()).toMatch(/\.\.\. .* {4}$/));
  type('x\r');
  expect(await indented).toEqual(line('    x'));
});

test('Tab when nothing can be asked', async () => {
  let asked = 0;
  const complete = async () => {
    asked += 1;
    throw new Error('no worker');
  };
  const { lines, type } = subject({ complete });
  const next = lines.next('>>> ');
  type('a\t');
  await vi.waitFor(() => expect(asked).toBe(1));
  type('b\r');
  expect(await next).toEqual(line('ab'));
});

test('Ctrl-C drops the line, wherever the cursor is', async () => {
  const { lines, type, shown } = subject();
  const next = lines.next('>>> ');
  type('abc\x1b[D\x03');
  expect(await next).toEqual({ kind: 'dropped' });
  expect(shown()).toContain('\nKeyboardInterrupt\n');
  const after = lines.next('>>> ');
  type('d\r');
  expect(await after).toEqual(line('d'));
});

test('Ctrl-C before what was entered runs', async () => {
  const { lines, type, shown } = subject();
  const next = lines.next('>>> ');
  type('a\rb\r');
  expect(await next).toEqual(line('a'));
  type('\x03');
  await vi.waitFor(() => expect(shown()).toContain('KeyboardInterrupt'));
  expect(lines.rest()).toBe(false);
  expect(await lines.next('>>> ')).toEqual({ kind: 'dropped' });
  const after = lines.next('>>> ');
  type('c\r');
  expect(await after).toEqual(line('c'));
});

test('Ctrl-D and a terminal that has gone end it', async () => {
  const first = subject();
  const next = first.lines.next('>>> ');
  first.type('\x04');
  expect(await next).toEqual({ kind: 'end' });
  expect(await first.lines.next('>>> ')).toEqual({ kind: 'end' });
  expect(first.lines.rest()).toBe(true);
  const second = subject();
  const gone = second.lines.next('>>> ');
  second.input.end();
  expect(await gone).toEqual({ kind: 'end' });
});
