import { expect, test } from 'vitest';
import { jsonText } from './json.ts';

test('is the same data, and says nothing to a terminal', () => {
  const hostile = '\u001b[2J\u007f\u009b31m\u202egnp.\u2066\u{e0041}\u2028é😀\n';
  const text = jsonText({ [hostile]: hostile });
  expect(JSON.parse(text)).toEqual({ [hostile]: hostile });
  expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}]/u);
  expect(text).toContain('é😀');
});
