import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { forms, type Message } from './envelope.ts';
import { encodeFrame, FrameDecoder } from './frames.ts';
import { protocolLimits } from './limits.ts';
import { ProtocolError } from './protocol-error.ts';

const bytes = (...values: number[]) => Uint8Array.from(values);

function whole(chunks: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(chunks.flatMap((chunk) => [...chunk]));
}

/** A frame with any JSON text, any lengths and any rest. */
function forged(
  json: string | Uint8Array,
  rest: Uint8Array = bytes(),
  lengths: [number?, number?] = [],
): Uint8Array {
  const text = typeof json === 'string' ? new TextEncoder().encode(json) : json;
  const frame = new Uint8Array(8 + text.length + rest.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, lengths[0] ?? 4 + text.length + rest.length, true);
  view.setUint32(4, lengths[1] ?? text.length, true);
  frame.set(text, 8);
  frame.set(rest, 8 + text.length);
  return frame;
}

function pushAll(decoder: FrameDecoder, stream: Uint8Array, size: number): unknown[] {
  const messages: unknown[] = [];
  for (let at = 0; at < stream.length; at += size)
    messages.push(...decoder.push(stream.subarray(at, at + size)));
  return messages;
}

const anyText = fc.string({ unit: 'binary' });
const anyParts = fc.array(fc.uint8Array({ maxLength: 60 }), { minLength: 1, maxLength: 5 });
const anyMessage: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ kind: fc.constant('ping' as const), id: anyText }),
  fc.record({ kind: fc.constant('shutdown' as const) }),
  fc.record({ kind: fc.constantFrom('stdout' as const, 'stderr' as const), id: anyText, parts: anyParts }),
  fc.record({
    kind: fc.constant('display' as const),
    id: anyText,
    data: fc.dictionary(anyText, anyText),
    metadata: fc.dictionary(anyText, fc.string()),
  }),
  fc.record({
    kind: fc.constant('error' as const),
    id: fc.option(anyText),
    error: fc.record({
      code: anyText,
      message: anyText,
      details: fc.constant({}),
      stack: fc.constant(null),
      cause: fc.constant(null),
    }),
  }),
  fc.record({
    kind: fc.constant('ready' as const),
    id: anyText,
    version: fc.nat(),
    pyodide: anyText,
    python: anyText,
    heapBytes: fc.nat(),
    bootMs: fc.nat(),
  }),
  fc.record({
    kind: fc.constant('answer' as const),
    id: anyText,
    error: fc.constant(null),
    body: anyText,
    parts: anyParts,
  }),
  fc.record({
    kind: fc.constant('ask' as const),
    id: anyText,
    question: fc.record({ kind: fc.constant('install' as const), requirements: fc.array(anyText) }),
  }),
  fc.record({ kind: fc.constant('image' as const), id: anyText, parts: anyParts }),
);

/** `toStrictEqual` minds the prototype, which `fc.record` and `JSON.parse` choose differently. */
const plain = (value: unknown): unknown => structuredClone(value);

describe('round trip', () => {
  test('any messages, in any chunks', () => {
    fc.assert(
      fc.property(
        fc.array(anyMessage, { maxLength: 4 }),
        fc.integer({ min: 1, max: 80 }),
        (messages, size) => {
          const stream = whole(messages.flatMap((message) => encodeFrame(message)));
          expect(plain(pushAll(new FrameDecoder(), stream, size))).toStrictEqual(plain(messages));
        },
      ),
      { numRuns: 200 },
    );
  });

  test('lone surrogates and line separators', () => {
    const message: Message = { kind: 'ping', id: '\ud800 \udc00\u2028 \0 \u{1f40d}' };
    expect(new FrameDecoder().push(whole(encodeFrame(message)))).toEqual([message]);
  });

  test('the layout of a frame', () => {
    const json = '{"jsonrpc":"2.0","method":"stdout","params":{"id":"r"},"parts":[2]}';
    const frame = whole(encodeFrame({ kind: 'stdout', id: 'r', parts: [bytes(1, 2)] }));
    expect([...frame.subarray(0, 8)]).toEqual([4 + json.length + 2, 0, 0, 0, json.length, 0, 0, 0]);
    expect(new TextDecoder().decode(frame.subarray(8, -2))).toBe(json);
    expect([...frame.subarray(-2)]).toEqual([1, 2]);
  });

  test('the envelope is JSON-RPC 2.0', () => {
    const envelope = (message: Message) => {
      const frame = whole(encodeFrame(message, { auth: 't' }));
      const length = new DataView(frame.buffer).getUint32(4, true);
      return JSON.parse(new TextDecoder().decode(frame.subarray(8, 8 + length)));
    };
    expect(envelope({ kind: 'ping', id: 'p' })).toEqual({
      jsonrpc: '2.0',
      method: 'ping',
      id: 'p',
      params: {},
      auth: 't',
    });
    expect(envelope({ kind: 'stdout', id: 'r', parts: [bytes(1, 2)] })).toEqual({
      jsonrpc: '2.0',
      method: 'stdout',
      params: { id: 'r' },
      parts: [2],
      auth: 't',
    });
    expect(envelope({ kind: 'pong', id: 'p', busy: null, heapBytes: 1, residentBytes: null })).toEqual({
      jsonrpc: '2.0',
      id: 'p',
      result: { kind: 'pong', busy: null, heapBytes: 1, residentBytes: null },
      auth: 't',
    });
    const error = { code: 'usage', message: 'no', details: {}, stack: null, cause: null };
    expect(envelope({ kind: 'error', id: null, error })).toEqual({
      jsonrpc: '2.0',
      id: null,
      error: { code: -32602, message: 'no', data: error },
      auth: 't',
    });
  });
});

describe('memory', () => {
  test('small frames are one chunk, large parts are passed on uncopied', () => {
    expect(encodeFrame({ kind: 'stdout', id: 'r', parts: [bytes(1), bytes(2)] })).toHaveLength(1);
    const large = new Uint8Array(100_000);
    const chunks = encodeFrame({ ...answer, parts: [bytes(1), large, bytes(2)] });
    expect(chunks).toHaveLength(3);
    expect(chunks[1]).toBe(large);
  });

  test('each part has its own buffer, and a chunk may be reused', () => {
    const parts = [bytes(1, 2), new Uint8Array(50_000).fill(3), bytes(4)];
    const stream = whole(encodeFrame({ ...answer, parts }));
    for (const size of [stream.length, 1000]) {
      const decoder = new FrameDecoder();
      const messages: unknown[] = [];
      // A Buffer, for its `slice` does not copy.
      const reused = Buffer.alloc(size);
      for (let at = 0; at < stream.length; at += size) {
        const chunk = stream.subarray(at, at + size);
        reused.set(chunk);
        messages.push(...decoder.push(reused.subarray(0, chunk.length)));
        reused.fill(0xff);
      }
      const [message] = messages as [{ parts: Uint8Array<ArrayBuffer>[] }];
      expect(message.parts.every((part, index) => Buffer.compare(part, parts[index] ?? bytes()) === 0)).toBe(
        true,
      );
      const buffers = message.parts.map((part) => part.buffer);
      expect(buffers[0]?.byteLength).toBe(2);
      expect(buffers[1]?.byteLength).toBeLessThan(60_000);
      expect(buffers[2]?.byteLength).toBe(1);
      // A buffer listed twice would make this throw.
      structuredClone(message, { transfer: buffers });
    }
  });

  test('a lying length allocates nothing', () => {
    const decoder = new FrameDecoder();
    const before = process.memoryUsage().arrayBuffers;
    decoder.push(forged('{}', bytes(), [protocolLimits.maxFrameBytes - 4, 2]));
    decoder.push(new Uint8Array(1000));
    expect(decoder.partial).toBe(true);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
  });

  test('a large frame is not copied again for each chunk, which would take minutes', () => {
    const [header, part] = encodeFrame({ ...answer, parts: [new Uint8Array(32 * 2 ** 20)] });
    const decoder = new FrameDecoder();
    decoder.push(header ?? bytes());
    expect(pushAll(decoder, part ?? bytes(), 1024)).toHaveLength(1);
  });
});

const answer = { kind: 'answer' as const, id: 'i', error: null, body: 'null' };
const ping = whole(encodeFrame({ kind: 'ping', id: 'p' }));

describe('refusals', () => {
  const envelope = (fields: object) => forged(JSON.stringify({ jsonrpc: '2.0', ...fields }));

  test.each<[string, Uint8Array, RegExp]>([
    ['frame too large', forged('{}', bytes(), [protocolLimits.maxFrameBytes - 3, 2]), /at most 268435456/],
    ['largest length', forged('{}', bytes(), [0xffffffff, 2]), /at most/],
    ['JSON too large', forged('{}', bytes(), [2e8, protocolLimits.maxJsonBytes + 1]), /of JSON, at most/],
    ['JSON longer than the body', forged('{}', bytes(), [6, 3]), /3 bytes of JSON in a body of 6/],
    ['body without room for a length', forged('{}', bytes(), [3, 0]), /in a body of 3/],
    ['no JSON', forged(''), /not JSON/],
    ['bad JSON', forged('{"jsonrpc":'), /not JSON/],
    ['bad UTF-8', forged(bytes(0x22, 0xc3, 0x28, 0x22)), /not UTF-8/],
    ['an encoded surrogate', forged(bytes(0x22, 0xed, 0xa0, 0x80, 0x22)), /not UTF-8/],
    ['too deep', forged('['.repeat(100_000) + ']'.repeat(100_000)), /deeper than 200/],
    ['no object', forged('[]'), /envelope: must be an object/],
    ['another JSON-RPC', forged('{"jsonrpc":"1.0","method":"ping","id":"1","params":{}}'), /jsonrpc/],
    ['no form', envelope({ id: '1' }), /needs one of/],
    [
      'two forms',
      envelope({ id: '1', method: 'ping', params: {}, result: { kind: 'pong' } }),
      /needs one of/,
    ],
    ['unknown field', envelope({ id: '1', method: 'ping', params: {}, extra: 1 }), /unknown field 'extra'/],
    ['unknown kind', envelope({ id: '1', method: 'exec', params: {} }), /"exec" is no request/],
    ['inherited kind', envelope({ id: '1', method: 'toString', params: {} }), /is no request/],
    ['a reply as a request', envelope({ id: '1', method: 'pong', params: {} }), /"pong" is no request/],
    ['a request without id', envelope({ method: 'ping', params: {} }), /"ping" is no notification/],
    ['kind smuggled', envelope({ id: '1', method: 'ping', params: { kind: 'run' } }), /'kind' given twice/],
    ['parts smuggled', envelope({ method: 'stdout', params: { id: 'r', parts: [] } }), /'parts' given twice/],
    ['id smuggled', envelope({ id: '1', result: { kind: 'pong', id: '2' } }), /'id' given twice/],
    ['params of a reply', envelope({ id: '1', result: { kind: 'pong' }, params: {} }), /params/],
    [
      'parts no array',
      envelope({ id: '1', method: 'ping', params: {}, parts: 1 }),
      /parts: must be an array/,
    ],
    ['negative part', envelope({ id: '1', method: 'ping', params: {}, parts: [-1, 1] }), /parts\[0\]/],
    [
      'parts beyond the frame',
      envelope({ id: '1', method: 'ping', params: {}, parts: [1e9] }),
      /parts of 1000000000/,
    ],
    ['auth no string', envelope({ id: '1', method: 'ping', params: {}, auth: 1 }), /auth/],
    [
      'bytes without a part',
      forged('{"jsonrpc":"2.0","method":"shutdown","params":{}}', bytes(1)),
      /parts of 0 bytes in 1/,
    ],
  ])('%s', (_, stream, reason) => {
    for (const size of [stream.length, 7]) {
      const decoder = new FrameDecoder();
      const run = () => pushAll(decoder, stream, size);
      expect(run).toThrow(ProtocolError);
      expect(decoder.failure?.message).toMatch(reason);
      expect(() => decoder.push(ping)).toThrow(decoder.failure);
    }
  });

  test('frames before a bad one in the same chunk are delivered', () => {
    const decoder = new FrameDecoder();
    const stream = whole([ping, forged('{'), ping]);
    expect(decoder.push(stream)).toEqual([{ kind: 'ping', id: 'p' }]);
    expect(decoder.failure).toBeInstanceOf(ProtocolError);
    expect(() => decoder.push(ping)).toThrow(ProtocolError);
  });

  test('with a token, frames without it or with another', () => {
    for (const auth of [undefined, '', 'tokem']) {
      const decoder = new FrameDecoder({ auth: 'token' });
      const frame = whole(encodeFrame({ kind: 'ping', id: 'p' }, auth === undefined ? {} : { auth }));
      expect(() => decoder.push(frame)).toThrow('wrong token');
    }
    const decoder = new FrameDecoder({ auth: 'token' });
    expect(decoder.push(whole(encodeFrame({ kind: 'ping', id: 'p' }, { auth: 'token' })))).toHaveLength(1);
    expect(decoder.auth).toBe('token');
  });

  test('a sender stays below the limits too', () => {
    const huge = new Uint8Array(protocolLimits.maxFrameBytes);
    expect(() => encodeFrame({ kind: 'stdout', id: 'r', parts: [huge] })).toThrow(ProtocolError);
    const many = Array.from({ length: protocolLimits.maxParts + 1 }, () => bytes());
    expect(() => encodeFrame({ kind: 'stdout', id: 'r', parts: many })).toThrow(ProtocolError);
  });

  test('arbitrary bytes, and mutated frames, raise nothing else', () => {
    const survives = (stream: Uint8Array, size: number) => {
      const decoder = new FrameDecoder();
      try {
        for (const message of pushAll(decoder, stream, size)) expect(message).toBeTypeOf('object');
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
      }
      expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    };
    const size = fc.integer({ min: 1, max: 100 });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), size, survives), { numRuns: 500 });
    const edits = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(anyMessage, edits, size, (message, changes, chunk) => {
        const stream = whole(encodeFrame(message));
        for (const [at, byte] of changes) stream[at % stream.length] = byte;
        survives(stream, chunk);
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.json(), size, (json, chunk) => survives(forged(json), chunk)),
      { numRuns: 200 },
    );
  });

  test('keys of the prototype stay data', () => {
    const stream = forged(
      '{"jsonrpc":"2.0","method":"interrupt","params":{"id":"r","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}}',
    );
    const [message] = new FrameDecoder().push(stream) as [object];
    expect(Object.keys(message).sort()).toEqual(['__proto__', 'constructor', 'id', 'kind']);
    expect(Object.getPrototypeOf(message)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

test('every kind has a form', () => {
  expect(Object.values(forms)).not.toContain(undefined);
  expect(Object.keys(forms)).toHaveLength(25);
});
