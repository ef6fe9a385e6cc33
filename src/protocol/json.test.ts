import { expect, test } from 'vitest';
import { parseJson } from './json.ts';
import { protocolLimits } from './limits.ts';
import { ProtocolError } from './protocol-error.ts';

test('brackets and escaped quotes in strings do not nest', () => {
  const value = { 'a"[[[': '\\', b: `${'['.repeat(500)}\\"{{{`, c: ['\\\\"[', '"'] };
  expect(parseJson(JSON.stringify(value), 'x')).toEqual(value);
  expect(parseJson(new TextEncoder().encode(JSON.stringify(value)), 'x')).toEqual(value);
});

test('nesting is refused before it is built', () => {
  const nested = (depth: number) => `${'[{"a":'.repeat(depth / 2)}1${'}]'.repeat(depth / 2)}`;
  expect(parseJson(nested(protocolLimits.maxJsonDepth), 'x')).toBeInstanceOf(Array);
  expect(() => parseJson(nested(protocolLimits.maxJsonDepth + 2), 'x')).toThrow(ProtocolError);
  for (const text of ['[', '{"a":', '[]]', '["\\', '"'].map((part) => part.repeat(100_000))) {
    expect(() => parseJson(text, 'x')).toThrow(ProtocolError);
  }
});

test('containers are counted', () => {
  const text = `[${'[],'.repeat(protocolLimits.maxJsonContainers)}[]]`;
  expect(() => parseJson(text, 'x')).toThrow(/JSON containers/);
});

test('size is refused before it is read', () => {
  expect(() => parseJson(new Uint8Array(protocolLimits.maxJsonBytes + 1), 'x')).toThrow(/at most 67108864/);
});

test('a byte order mark is not JSON', () => {
  expect(() => parseJson(Uint8Array.of(0xef, 0xbb, 0xbf, 0x31), 'x')).toThrow('not JSON');
});
