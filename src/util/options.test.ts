import { expect, expectTypeOf, test } from 'vitest';
import {
  boolean,
  checkOptions,
  func,
  integer,
  list,
  number,
  object,
  oneOf,
  optional,
  record,
  satisfying,
  string,
} from './options.ts';

const shape = {
  engine: oneOf('deno', 'node'),
  maxWorkers: optional(integer({ min: 1, max: 64 })),
  ratio: optional(number({ min: 0 })),
  shared: optional(boolean),
  env: optional(record(string)),
  argv: optional(list(string)),
  recycle: optional(object({ maxRequests: optional(integer({ min: 1 })) })),
  onStdout: optional(func<(text: string) => void>()),
  since: optional(satisfying<Date>('a Date', (value) => value instanceof Date)),
};

const check = (given: unknown) => checkOptions('create', given, shape);

test('good options come back typed, without undefined ones', () => {
  const onStdout = (_: string) => {};
  const given = {
    engine: 'deno',
    maxWorkers: 64,
    ratio: Infinity,
    shared: undefined,
    env: { A: 'b' },
    argv: ['x'],
    recycle: { maxRequests: 1 },
    onStdout,
    since: new Date(0),
  };
  const { shared: _, ...expected } = given;
  const options = check(given);
  expect(options).toStrictEqual(expected);
  expectTypeOf(options.engine).toEqualTypeOf<'deno' | 'node'>();
  expectTypeOf(options.maxWorkers).toEqualTypeOf<number | undefined>();
  expectTypeOf(options.onStdout).toEqualTypeOf<((text: string) => void) | undefined>();
});

test('one TypeError names every problem', () => {
  const given = {
    maxWorkers: 0,
    ratio: '1',
    shared: 1,
    env: { A: 1 },
    argv: ['x', null],
    recycle: { maxRequest: 1 },
    onStdout: 'x',
    since: 5,
    maxworker: 3,
    zzz: 1,
  };
  expect(() => check(given)).toThrow(
    new TypeError(
      'create: engine must be one of "deno", "node", not undefined; ' +
        'maxWorkers must be an integer from 1 to 64, not 0; ' +
        'ratio must be a number of at least 0, not "1"; ' +
        'shared must be true or false, not 1; ' +
        'env.A must be a string, not 1; ' +
        'argv[1] must be a string, not null; ' +
        "unknown option 'recycle.maxRequest' (did you mean 'recycle.maxRequests'?); " +
        'onStdout must be a function, not "x"; ' +
        'since must be a Date, not 5; ' +
        "unknown option 'maxworker' (did you mean 'maxWorkers'?); " +
        "unknown option 'zzz'",
    ),
  );
});

test.each([null, 1, 'x', [], () => 1])('options that are no object: %s', (given) => {
  expect(() => check(given)).toThrow(/^create: options must be an object, not /);
});

test('no options', () => {
  expect(checkOptions('create', undefined, { a: optional(string) })).toEqual({});
  expect(() => check(undefined)).toThrow('create: engine must be');
});

test.each([Number.NaN, 1.5, 2 ** 53, '1', 1n])('%s is no integer', (value) => {
  expect(() => checkOptions('f', { a: value }, { a: integer() })).toThrow('a must be an integer, not ');
});

test('inherited names and the prototype are not options', () => {
  expect(() => checkOptions('f', { toString: 1 }, {})).toThrow("unknown option 'toString'");
  expect(() => checkOptions('f', JSON.parse('{"__proto__":{"a":"x"}}'), { a: optional(string) })).toThrow(
    "unknown option '__proto__'",
  );
});

test('reads each option once', () => {
  let reads = 0;
  const given = {
    get a() {
      return ++reads === 1 ? 'checked' : 5;
    },
  };
  expect(checkOptions('f', given, { a: string })).toEqual({ a: 'checked' });
});
