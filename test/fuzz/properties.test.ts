/** T33, by the same oracles as the fuzzer: inputs that are put together by shape. It rarely gets that far by chance. */
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { fromWire, toWire } from '../../src/errors/wire.ts';
import { parseLock } from '../../src/packages/lock.ts';
import { parseHostMessage, parseWorkerMessage } from '../../src/protocol/parse.ts';
import { ProtocolError } from '../../src/protocol/protocol-error.ts';
import { decodeValue, encodeValue } from '../../src/protocol/value-codec.ts';
import { archive, type Member } from './archive.ts';
import { sampleMessages } from './sample-messages.ts';
import { bytesOf, check, refusable, sameJson, type Target, unpolluted } from './target.ts';
import * as distribution from './targets/distribution.ts';
import * as errors from './targets/errors.ts';
import * as image from './targets/image.ts';
import * as indexPage from './targets/index-page.ts';
import * as lock from './targets/lock.ts';
import * as messages from './targets/messages.ts';
import * as requirements from './targets/requirements.ts';
import * as values from './targets/values.ts';
import * as wheel from './targets/wheel.ts';

afterAll(requirements.close);

const jsonTargets: Record<string, Target> = {
  distribution,
  errors,
  image,
  indexPage,
  lock,
  messages,
  values,
};

/** Each way of JSON's and Unicode's to be odd. */
const odd: readonly string[] = [
  ...[
    'null',
    '-0',
    '1e400',
    '9007199254740993',
    '1e-400',
    '"\\ud800"',
    '"\\u0000"',
    '"a\\u2028b"',
    '"ﬁ\\u0301"',
  ],
  ...[
    '{"__proto__":{"x":1}}',
    '{"constructor":{"prototype":{"x":1}}}',
    '{"a":1,"a":2}',
    '{"length":1e9}',
    '{"toString":0}',
  ],
  ...[300, 100_000].map((depth) => `${'['.repeat(depth)}${']'.repeat(depth)}`),
  `${'{"a":'.repeat(100_000)}0${'}'.repeat(100_000)}`,
];

/** A seed with the value at one place put into another's stead, as text. */
function replacements(target: Target, put: string): string[] {
  const seeds = target.seeds.map((seed) => Buffer.from(seed).toString().split('\0')[0] ?? '');
  return seeds
    .filter((seed) => seed.startsWith('{') || seed.startsWith('['))
    .flatMap((seed) => {
      const value: unknown = JSON.parse(seed);
      return placesOf(value).map((place) =>
        JSON.stringify(replaced(value, place)).replace('"\\u0001"', () => put),
      );
    });
}

function placesOf(value: unknown): string[][] {
  const inner = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  return [[], ...inner.flatMap(([key, item]) => placesOf(item).map((place) => [key, ...place]))];
}

function replaced(value: unknown, [key, ...rest]: string[]): unknown {
  if (key === undefined) return '\u0001';
  const entries = Object.entries(value as object).map(([name, item]) => [
    name,
    name === key ? replaced(item, rest) : item,
  ]);
  return Array.isArray(value) ? entries.map(([, item]) => item) : Object.fromEntries(entries);
}

describe.each(Object.entries(jsonTargets))('%s', (_, target) => {
  test.each(odd.map((put) => [put.slice(0, 40), put]))('with %s in any place', async (_name, put) => {
    const made = replacements(target, put);
    expect(made.length).toBeGreaterThan(0);
    // Of the long ones some places are enough.
    const some = made.filter((_text, index) => put.length < 10_000 || index % 6 === 0);
    for (const text of [put, ...some]) await check(target, bytesOf(text));
  });
});

test('messages of what threads can post, and JSON has not', () => {
  const any = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    withSparseArray: true,
    withNullPrototype: true,
  });
  const cyclic: Record<string, unknown> = {};
  cyclic.a = cyclic;
  const put = fc.oneof(
    any,
    fc.constantFrom<unknown>(cyclic, [cyclic], Number.NaN, -0, 2 ** 53 + 2, undefined, '\udfff'),
  );
  const places = sampleMessages.flatMap((message) => placesOf(message).map((place) => ({ message, place })));
  const set = (value: unknown, [key, ...rest]: string[], item: unknown): unknown => {
    if (key === undefined) return item;
    const inner = (value as Record<string, unknown>)[key];
    if (Array.isArray(value)) return value.with(Number(key), set(inner, rest, item));
    return { ...(value as object), [key]: set(inner, rest, item) };
  };
  fc.assert(
    fc.property(fc.constantFrom(...places), put, ({ message, place }, item) => {
      for (const parse of [parseWorkerMessage, parseHostMessage]) {
        const parsed = refusable<unknown>(() => parse(set(message, place, item)), ProtocolError);
        if (parsed !== undefined) expect(sameJson(parse(parsed), parsed)).toBe(true);
      }
      unpolluted();
    }),
    { numRuns: 3000 },
  );
});

test('T33: values of any kind cross, or are refused by their place', () => {
  const any = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    withNullPrototype: true,
  });
  fc.assert(
    fc.property(any, (value) => {
      const wire = refusable(() => encodeValue(value), TypeError);
      if (wire === undefined) return;
      const again = encodeValue(decodeValue(wire.json, wire.parts));
      // A Map of texts comes back as an object, which has an order of its own. Then it stays.
      const third = encodeValue(decodeValue(again.json, again.parts));
      expect(sameJson(third, again)).toBe(true);
      unpolluted();
    }),
    { numRuns: 1000 },
  );
  const cyclic: unknown[] = [];
  cyclic.push({ cyclic });
  expect(() => encodeValue(cyclic)).toThrow(/value\[0\]\.cyclic contains itself/);
});

test('any error has a wire, and comes back as one of ours', () => {
  fc.assert(
    fc.property(fc.anything({ withBigInt: true, withMap: true }), (thrown) => {
      const wire = toWire(thrown);
      const message = parseWorkerMessage({ kind: 'error', id: null, error: wire });
      expect(message).toMatchObject({ error: wire });
      expect(fromWire(wire).code).toBe('internal');
    }),
  );
});

const hostileNames = [
  '..',
  '.',
  '',
  'C:',
  'js',
  '__proto__',
  'x.data',
  'purelib',
  'a',
  'é',
  'e\u0301',
  'A',
  'x-1.dist-info',
  'METADATA',
  '\0',
  '\\',
];
const memberName = fc
  .array(fc.constantFrom(...hostileNames), { minLength: 1, maxLength: 4 })
  .map((names) => names.join('/'));
const member: fc.Arbitrary<Member> = fc.record(
  {
    name: memberName,
    content: fc.uint8Array({ maxLength: 20 }),
    method: fc.constantFrom(0, 8, 12),
    mode: fc.constantFrom(0, 0o100644, 0o120777, 0o040755),
    localName: memberName,
    size: fc.constantFrom(0, 5, 0xffffffff),
    packedSize: fc.constantFrom(0, 5, 0xffffffff),
    offset: fc.constantFrom(0, 1, 60, 0xffffffff),
    extra: fc.constantFrom(Uint8Array.of(1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
  },
  { requiredKeys: ['name', 'content'] },
);

test('archives that lie', () => {
  const metadata = { name: 'x-1.dist-info/METADATA', content: bytesOf('x') };
  const lies = fc.record({
    before: fc.uint8Array({ maxLength: 30 }),
    gap: fc.nat(5),
    comment: fc.constantFrom(archive([metadata]), new Uint8Array()),
  });
  fc.assert(
    fc.property(fc.array(member, { maxLength: 4 }), fc.option(lies, { nil: {} }), (list, lie) => {
      wheel.fuzz(archive([metadata, ...list], lie));
    }),
    { numRuns: 3000 },
  );
  // One archive in another's comment, and behind it: there is one end, or none.
  wheel.fuzz(archive([metadata], { comment: archive([{ name: '../x', content: new Uint8Array() }]) }));
  wheel.fuzz(Buffer.concat([archive([{ name: '../x', content: new Uint8Array() }]), archive([metadata])]));
});

test('pages and requirements of their words', async () => {
  const words = (target: Target, first: string) =>
    fc
      .array(fc.constantFrom(...target.dictionary), { maxLength: 12 })
      .map((list) => bytesOf(first + list.join('')));
  fc.assert(fc.property(words(indexPage, ''), indexPage.fuzz), { numRuns: 1000 });
  const forms = fc.constantFrom(...'rwpsvf').chain((form) => words(requirements, form));
  await fc.assert(
    fc.asyncProperty(forms, (data) => requirements.fuzz(data)),
    { numRuns: 1000 },
  );
});

test('a lock of anything but a lock is refused', () => {
  expect(() => parseLock(JSON.parse('{"__proto__":{"version":1}}'))).toThrow('lock.version');
});
