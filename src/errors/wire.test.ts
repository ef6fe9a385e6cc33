import { describe, expect, test } from 'vitest';
import { parseWorkerMessage } from '../protocol/parse.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { type ErrorCode, errorCodes, isSessionCode } from './codes.ts';
import {
  InstallError,
  InternalError,
  LimitError,
  PythonError,
  SessionError,
  UsageError,
  VivariumError,
  WorkerError,
} from './errors.ts';
import { fromWire, toVivariumError, toWire } from './wire.ts';

const classes = {
  python: PythonError,
  limit: LimitError,
  worker: WorkerError,
  caller: UsageError,
  install: InstallError,
  internal: InternalError,
};

test.each(Object.keys(errorCodes) as ErrorCode[])('%s comes back as its class', (code) => {
  const error = fromWire(toWire(new VivariumError(code, 'why', { details: { a: [1] } })));
  expect(error).toBeInstanceOf(isSessionCode(code) ? SessionError : classes[errorCodes[code].fault]);
  expect(error).toMatchObject({ code, message: 'why' });
  if (code !== 'python')
    expect(error.details).toMatchObject({ a: [1], remoteStack: expect.stringContaining('why') });
});

test('causes survive, also those without a code', () => {
  const error = new WorkerError('crashed', 'gone', { cause: new TypeError('x', { cause: 'a string' }) });
  const back = fromWire(toWire(error));
  expect(back.cause).toMatchObject({ code: 'internal', message: 'x', details: { name: 'TypeError' } });
  expect((back.cause as Error).cause).toMatchObject({ code: 'internal', message: 'a string' });
  expect(((back.cause as Error).cause as Error).cause).toBeUndefined();
});

describe('toWire always makes a message that the protocol takes', () => {
  const loop = new Error('loop');
  loop.cause = loop;
  const hostile = new Error('x');
  for (const key of ['name', 'message', 'stack', 'cause']) {
    Object.defineProperty(hostile, key, {
      get() {
        throw new Error('trap');
      },
    });
  }
  const long = new Error('m'.repeat(1e6));
  long.stack = 's'.repeat(1e6);
  const details: Record<string, unknown> = { n: 1n };
  test.each<[string, unknown]>([
    ['a chain without end', loop],
    ['getters that throw', hostile],
    ['long texts', long],
    ['details that are no JSON', new UsageError('usage', 'x', { details })],
    [
      'details with holes',
      new UsageError('usage', 'x', { details: { a: undefined, b: Number.NaN, c: () => 1 } }),
    ],
    ['huge details', new UsageError('usage', 'x', { details: { a: 'x'.repeat(1e6) } })],
    ['details that are nested deeper than the wire', new UsageError('usage', 'x', { details: nested(150) })],
    ['null', null],
    ['undefined', undefined],
    ['a symbol', Symbol('x')],
    ['an object without a text', Object.create(null)],
    ['a revoked proxy', revoked()],
  ])('%s', (_, error) => {
    const wire = toWire(error);
    expect(parseWorkerMessage({ kind: 'error', id: null, error: wire })).toMatchObject({ error: wire });
    expect(JSON.stringify(wire).length).toBeLessThan(200_000);
    expect(fromWire(wire)).toBeInstanceOf(VivariumError);
  });

  function nested(depth: number): Record<string, unknown> {
    return depth === 0 ? {} : { a: nested(depth - 1) };
  }

  function revoked(): unknown {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  }
});

test('an InstallError has its facts as texts, whatever the wire says', () => {
  const details = { reason: { a: 1 }, package: ['p'], suggestion: 's', more: [1] };
  const error = fromWire({ code: 'install', message: 'm', details, stack: null, cause: null });
  expect(error.details).toEqual({ reason: 'not_found', package: '', suggestion: 's', more: [1] });
});

test('an unknown code is internal', () => {
  const wire = { code: 'toString', message: 'm', details: {}, stack: null, cause: null };
  expect(fromWire(wire)).toBeInstanceOf(InternalError);
  expect(fromWire(wire)).toMatchObject({ code: 'internal', message: 'm', details: {} });
});

test('toVivariumError', () => {
  const usage = new UsageError('usage', 'x');
  expect(toVivariumError(usage)).toBe(usage);
  const protocol = new ProtocolError('bad');
  expect(toVivariumError(protocol)).toMatchObject({ name: 'WorkerError', code: 'protocol', cause: protocol });
  const bug = new TypeError('bug');
  expect(toVivariumError(bug)).toMatchObject({ name: 'InternalError', message: 'bug', cause: bug });
  expect(toVivariumError(Object.create(null))).toMatchObject({ code: 'internal' });
  expect(toVivariumError('text')).toMatchObject({ code: 'internal', message: 'text', cause: 'text' });
});
