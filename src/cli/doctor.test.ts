import { Writable } from 'node:stream';
import { WriteStream } from 'node:tty';
import { afterEach, expect, test, vi } from 'vitest';
import type { SecurityReport } from '../node.ts';
import { reportDiagnoses, reportSecurity } from './doctor.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

const diagnoses = [
  { name: 'node', ok: true, detail: '24' },
  { name: 'deno', ok: false, detail: 'none', fix: 'npm install deno' },
];

function sink(): { stream: Writable; text(): string } {
  let text = '';
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      text += chunk.toString();
      done();
    },
  });
  return { stream, text: () => text };
}

function report(terminal: boolean): { code: number; text: string } {
  const { stream, text } = sink();
  if (terminal) Object.assign(stream, { isTTY: true, getColorDepth: WriteStream.prototype.getColorDepth });
  const code = reportDiagnoses(diagnoses, stream, false);
  return { code, text: text() };
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

const fact = { name: 'deno', ok: true, detail: '2.9.5' };
const held = { id: 'T01', title: 'start a program', ok: true, attempts: [], detail: '13 refused', ms: 1240 };
const through = {
  id: 'T16',
  title: 'reach files',
  ok: false,
  attempts: [],
  detail: 'it learned a secret',
  ms: 90,
};

async function reportOf(
  probes: SecurityReport['probes'],
  json = false,
): Promise<{ code: number; text: string }> {
  const { stream, text } = sink();
  const ok = probes.every((probe) => probe.ok);
  const code = await reportSecurity(
    async ({ onBegin, onResult }) => {
      onBegin?.([fact], probes);
      for (const probe of probes) onResult?.(probe);
      return { ok, facts: [fact], probes };
    },
    stream,
    json,
  );
  return { code, text: text() };
}

test('security: a line for each probe, and what it comes to', async () => {
  const all = await reportOf([held]);
  expect(all.code).toBe(0);
  expect(all.text).toMatch(
    /^ok {6}deno {2}2\.9\.5\n\nok {6}T01 {3}1\.2 s {2}start a program {2}13 refused\n\nAll 1 probes held, in 0\.0 s\.\n$/,
  );
  const some = await reportOf([held, through]);
  expect(some.code).toBe(1);
  expect(some.text).toContain('FAILED  T16   0.1 s  reach files      it learned a secret\n');
  expect(some.text).toContain('1 of 2 probes got through.');
});

test('security: as JSON', async () => {
  const { code, text } = await reportOf([through], true);
  expect(code).toBe(1);
  expect(JSON.parse(text)).toStrictEqual({ ok: false, facts: [fact], probes: [through] });
});
