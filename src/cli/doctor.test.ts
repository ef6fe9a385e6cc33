import { Writable } from 'node:stream';
import { WriteStream } from 'node:tty';
import { afterEach, expect, test, vi } from 'vitest';
import { reportDiagnoses } from './doctor.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

const diagnoses = [
  { name: 'node', ok: true, detail: '24' },
  { name: 'deno', ok: false, detail: 'none', fix: 'npm install deno' },
];

function report(terminal: boolean): { code: number; text: string } {
  let text = '';
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      text += chunk.toString();
      done();
    },
  });
  if (terminal) Object.assign(stream, { isTTY: true, getColorDepth: WriteStream.prototype.getColorDepth });
  return { code: reportDiagnoses(diagnoses, stream, false), text };
}

const plain = 'ok       node  24\nmissing  deno  none\n               mend it: npm install deno\n';

test('is coloured on a terminal, unless NO_COLOR is set', () => {
  vi.stubEnv('FORCE_COLOR', undefined);
  vi.stubEnv('NO_COLOR', undefined);
  vi.stubEnv('NODE_DISABLE_COLORS', undefined);
  vi.stubEnv('CI', undefined);
  vi.stubEnv('TERM', 'xterm');
  expect(report(false)).toEqual({ code: 1, text: plain });
  expect(report(true).text).toContain('\u001b[32mok');
  vi.stubEnv('NO_COLOR', '1');
  expect(report(true).text).toBe(plain);
});
