import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { OutputMessage } from '../protocol/messages.ts';
import { Output } from './output.ts';

let now = 1000;
beforeEach(() => {
  now = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
});
afterEach(() => vi.restoreAllMocks());

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function make(maxBytes = 1_000_000): { output: Output; posted: OutputMessage[]; said(): string[] } {
  const posted: OutputMessage[] = [];
  const output = new Output((message) => posted.push(message));
  output.begin('r', maxBytes);
  return {
    output,
    posted,
    said: () => posted.map(({ kind, parts }) => `${kind}:${new TextDecoder().decode(parts[0])}`),
  };
}

describe('Output', () => {
  it('sends the first bytes at once, then what comes within ten milliseconds together', () => {
    const { output, said } = make();
    output.write('stdout', bytes('a'));
    expect(said()).toStrictEqual(['stdout:a']);
    now += 4;
    output.write('stdout', bytes('b'));
    now += 5;
    output.write('stdout', bytes('c'));
    expect(said()).toStrictEqual(['stdout:a']);
    now += 1;
    output.write('stdout', bytes('d'));
    expect(said()).toStrictEqual(['stdout:a', 'stdout:bcd']);
  });

  it('sends a tail when it is due, without another write', () => {
    const { output, said } = make();
    output.write('stdout', bytes('a'));
    output.write('stdout', bytes('b'));
    output.visit(now + 9);
    expect(said()).toStrictEqual(['stdout:a']);
    output.visit(now + 10);
    expect(said()).toStrictEqual(['stdout:a', 'stdout:b']);
    output.visit(now + 100);
    output.flush();
    expect(said().length).toBe(2);
  });

  it('sends pieces of 64 KiB at once, whatever the time', () => {
    const { output, posted } = make();
    output.write('stdout', bytes('a'));
    output.write('stdout', new Uint8Array(200_000));
    expect(posted.map(({ parts }) => parts[0]?.length)).toStrictEqual([1, 65_536, 65_536, 65_536]);
    output.flush();
    expect(posted.at(-1)?.parts[0]?.length).toBe(200_000 - 3 * 65_536);
  });

  it('keeps the order over both streams, byte by byte', () => {
    const write = fc.record({
      stream: fc.constantFrom('stdout' as const, 'stderr' as const),
      size: fc.oneof(fc.nat(40), fc.integer({ min: 65_000, max: 140_000 })),
      later: fc.nat(6),
    });
    fc.assert(
      fc.property(fc.array(write, { maxLength: 30 }), (writes) => {
        const { output, posted } = make(Number.MAX_SAFE_INTEGER);
        const sent: [string, number][] = [];
        let next = 0;
        for (const { stream, size, later } of writes) {
          now += later;
          const chunk = Uint8Array.from({ length: size }, () => next++ % 251);
          output.write(stream, chunk);
          if (size === 0) continue;
          const last = sent.at(-1);
          if (last?.[0] === stream) last[1] += size;
          else sent.push([stream, size]);
        }
        output.flush();
        const got: [string, number][] = [];
        let expected = 0;
        let wrong = 0;
        for (const { kind, parts } of posted) {
          const part = parts[0] ?? new Uint8Array();
          for (const byte of part) if (byte !== expected++ % 251) wrong++;
          const last = got.at(-1);
          if (last?.[0] === kind) last[1] += part.length;
          else got.push([kind, part.length]);
        }
        expect(wrong).toBe(0);
        expect(got).toStrictEqual(sent);
        expect(Math.max(0, ...posted.map(({ parts }) => parts[0]?.length ?? 0))).toBeLessThanOrEqual(65_536);
      }),
      { numRuns: 50 },
    );
  });

  it('copies: what was written may change', () => {
    const { output, said } = make();
    output.write('stdout', bytes('x'));
    const chunk = bytes('abc');
    output.write('stdout', chunk);
    chunk.fill(0);
    output.flush();
    expect(said()).toStrictEqual(['stdout:x', 'stdout:abc']);
  });

  it('cuts both streams at one limit and marks the one that was cut', () => {
    const { output, said } = make(5);
    output.write('stdout', bytes('abc'));
    output.write('stderr', bytes('de'));
    expect(output.truncated).toStrictEqual({ stdout: false, stderr: false, results: false });
    output.write('stderr', bytes(''));
    expect(output.truncated.stderr).toBe(false);
    output.write('stderr', bytes('f'));
    expect(output.truncated).toStrictEqual({ stdout: false, stderr: true, results: false });
    output.write('stdout', bytes('g'));
    output.flush();
    expect(output.truncated.stdout).toBe(true);
    expect(said()).toStrictEqual(['stdout:abc', 'stderr:de']);
  });

  it('charges displays to the same limit, whole or not at all', () => {
    const { output } = make(10);
    expect(output.charge(6)).toBe(true);
    expect(output.charge(5)).toBe(false);
    expect(output.truncated).toStrictEqual({ stdout: false, stderr: false, results: true });
    output.write('stdout', bytes('abcd'));
    expect(output.truncated.stdout).toBe(false);
    expect(output.charge(0)).toBe(true);
    output.write('stdout', bytes('e'));
    expect(output.truncated.stdout).toBe(true);
  });

  it('starts each run anew', () => {
    const { output, posted } = make(2);
    output.write('stderr', bytes('abc'));
    output.write('stderr', bytes('left'));
    output.begin('next', 100);
    expect(output.truncated).toStrictEqual({ stdout: false, stderr: false, results: false });
    output.write('stderr', bytes('x'));
    expect(posted.at(-1)).toMatchObject({ kind: 'stderr', id: 'next', parts: [bytes('x')] });
  });
});
