import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { forms } from './envelope.ts';
import { encodeFrame, FrameDecoder } from './frames.ts';
import { protocolLimits } from './limits.ts';
import {
  type AskMessage,
  type HostMessage,
  type InitMessage,
  protocolVersion,
  type ResultMessage,
  type RunMessage,
  type WireError,
  type WorkerMessage,
} from './messages.ts';
import { checkVersion, parseHostMessage, parseWorkerMessage } from './parse.ts';
import { ProtocolError } from './protocol-error.ts';

const run: RunMessage = {
  kind: 'run',
  id: 'r1',
  code: 'print(1)',
  filename: '<run>',
  argv: ['a'],
  env: { A: 'b' },
  stdin: '',
  globals: '["d"]',
  files: [{ path: 'data/a b.csv', part: 0 }],
  purpose: 'program',
  after: 'rewind',
  seed: null,
  figures: 'png',
  limits: {
    timeoutMs: 1,
    cpuMs: 0,
    memoryBytes: 2,
    outputBytes: 3,
    fileBytes: 4,
    fileCount: 5,
    valueBytes: 6,
  },
  parts: [Uint8Array.of(1)],
};

const init: InitMessage = {
  kind: 'init',
  id: 'i',
  version: 1,
  options: {
    mode: 'restore',
    maxHeapBytes: 2 ** 32,
    env: { LANG: 'C' },
    warmingRuns: 2,
    assets: { glueUrl: 'file:///a', wasmUrl: 'file:///b', stdlibUrl: 'file:///c', imageUrl: null },
    packages: {
      wheels: [{ fileName: 'a-1-py3-none-any.whl', url: 'file:///d' }],
      imports: ['a', 'a.b'],
      warm: [{ filename: 'w.py', code: 'import a' }],
    },
    fingerprint: { pyodide: '1', buildId: 'b', kernelHash: 'k', lockHash: 'l' },
  },
};

const wireError: WireError = { code: 'crashed', message: 'm', details: { a: 1 }, stack: 's', cause: null };

const hostMessages: HostMessage[] = [
  init,
  run,
  { kind: 'answer', id: 'r1', error: wireError, body: 'null', parts: [Uint8Array.of(1), Uint8Array.of()] },
  { kind: 'freeze', id: 'f', tasks: 'cancel' },
  { kind: 'thaw', id: 't', header: '{}', parts: [Uint8Array.of(1)] },
  { kind: 'rewind', id: 'w' },
  {
    kind: 'change_files',
    id: 'c',
    changes: [
      { path: '/a/b', part: 0 },
      { path: '/c', part: null },
    ],
    parts: [Uint8Array.of(1)],
  },
  { kind: 'interrupt', id: 'r1', reason: 'timeout' },
  { kind: 'ping', id: 'p' },
  { kind: 'shutdown' },
];

const result: ResultMessage = {
  kind: 'result',
  id: 'r1',
  status: 'error',
  stopped: 'cpu',
  text: null,
  value: 0,
  display: { data: { 'text/html': '<b>' }, metadata: { a: [1, { b: null }] } },
  error: {
    name: 'ValueError',
    value: 'no',
    traceback: ['Traceback'],
    frames: [
      { file: '<run>', line: 1, column: 2, endLine: null, endColumn: null, function: 'f', source: 'f()' },
    ],
    line: 1,
    column: null,
  },
  exitCode: 3,
  files: [{ path: 'out.txt', size: 2, part: 1 }],
  executionCount: 1,
  runMs: 0.5,
  cpuMs: 0.25,
  heapBytes: 1,
  peakBytes: 2,
  deltaBytes: -3,
  truncated: { stdout: false, stderr: true, value: false, results: false, files: false },
  parts: [Uint8Array.of(0x31), Uint8Array.of(1, 2)],
};

const ask: AskMessage = { kind: 'ask', id: 'r1', question: { kind: 'install', requirements: ['numpy>=2'] } };

const workerMessages: WorkerMessage[] = [
  { kind: 'ready', id: 'i', version: 1, pyodide: 'p', python: '3', heapBytes: 1, bootMs: 0.5 },
  { kind: 'image', id: 'i', parts: [Uint8Array.of(1, 2)] },
  ask,
  { kind: 'progress', id: 'i', stage: 'image', done: 1, total: 0, message: '' },
  { kind: 'stdout', id: 'r1', parts: [Uint8Array.of(1)] },
  { kind: 'stderr', id: 'r1', parts: [Uint8Array.of()] },
  { kind: 'display', id: 'r1', data: { 'image/png': 'AA==' }, metadata: {} },
  result,
  { kind: 'rewound', id: 'r1', rewindMs: 1, heapBytes: 2, dirty: null },
  { kind: 'delta', id: 'f', parts: [Uint8Array.of(1, 2)] },
  { kind: 'frozen', id: 'f', header: '{}', cancelled: ['task'], freezeMs: 1.5 },
  { kind: 'thawed', id: 't', heapBytes: 1, thawMs: 0.5 },
  { kind: 'changed', id: 'c' },
  { kind: 'error', id: null, error: { ...wireError, cause: wireError } },
  { kind: 'pong', id: 'p', busy: 'r1', heapBytes: 1, residentBytes: null },
];

const both: [HostMessage | WorkerMessage, (value: unknown) => unknown][] = [
  ...hostMessages.map((message): [HostMessage, typeof parseHostMessage] => [message, parseHostMessage]),
  ...workerMessages.map((message): [WorkerMessage, typeof parseWorkerMessage] => [
    message,
    parseWorkerMessage,
  ]),
];

/** The same message with the field at `path` changed; `undefined` removes it. */
function changed(message: object, path: string, value: unknown): unknown {
  const copy = structuredClone(message);
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const holder = keys.reduce<Record<string, unknown>>(
    (object, key) => object[key] as Record<string, unknown>,
    copy as Record<string, unknown>,
  );
  if (value === undefined) delete holder[last];
  else holder[last] = value;
  return copy;
}

test('every kind is here', () => {
  expect(both.map(([{ kind }]) => kind).sort()).toEqual(Object.keys(forms).sort());
});

describe.each(both)('$kind', (message, parse) => {
  test('comes out as it was, as fresh objects', () => {
    const parsed = parse(message);
    expect(parsed).toStrictEqual(message);
    expect(parsed).not.toBe(message);
    for (const [key, value] of Object.entries(parsed as object)) {
      if (typeof value === 'object' && value !== null) {
        expect(value).not.toBe((message as unknown as Record<string, unknown>)[key]);
      }
    }
  });

  test('comes through a frame', () => {
    const decoder = new FrameDecoder();
    const sent = encodeFrame(message).flatMap((chunk) => decoder.push(chunk));
    const { parts = [], ...rest } = parse(sent[0]) as { parts?: Uint8Array[] };
    const { parts: given = [], ...expected } = message as { parts?: Uint8Array[] };
    expect(rest).toStrictEqual(expected);
    expect(parts).toEqual(given);
  });

  test('each field is needed, typed, and no other is taken', () => {
    for (const key of Object.keys(message)) {
      const path = `${message.kind}.${key}`;
      if (key !== 'kind' && key !== 'parts') {
        expect(() => parse(changed(message, key, undefined))).toThrow(`${path}: is missing`);
      }
      for (const wrong of [Symbol.iterator, Number.NaN, { length: 1 }, [[]], true]) {
        const field = (message as unknown as Record<string, unknown>)[key];
        if (typeof field === typeof wrong) continue;
        expect(() => parse({ ...message, [key]: wrong })).toThrow(ProtocolError);
      }
    }
    expect(() => parse({ ...message, extra: 1 })).toThrow(`${message.kind}.extra: is unknown`);
    expect(() => parse({ ...message, ['__proto__']: 1 })).toThrow('.__proto__: is unknown');
    expect(() => parse(Object.create(message))).toThrow(ProtocolError);
  });

  test('mutated anywhere, it is refused or still well-formed', () => {
    const paths = leaves(message);
    const any = fc.anything({ withBigInt: true, withDate: true, withMap: true, withTypedArray: true });
    fc.assert(
      fc.property(fc.constantFrom(...paths), any, (path, value) => {
        let parsed: unknown;
        try {
          parsed = parse(changed(message, path, value));
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
          return;
        }
        expect(parse(parsed)).toStrictEqual(parsed);
      }),
      { numRuns: 60 },
    );
  });
});

function leaves(value: object, prefix = ''): string[] {
  return Object.entries(value).flatMap(([key, inner]) => {
    const path = prefix + key;
    const deeper = typeof inner === 'object' && inner !== null && !ArrayBuffer.isView(inner);
    return deeper ? [path, ...leaves(inner, `${path}.`)] : [path];
  });
}

test.each<[string, unknown, string]>([
  ['id', '', 'result.id: must not be empty'],
  ['id', 'x'.repeat(129), 'result.id: 129 chars, at most 128'],
  ['value', 2, 'result.value: no part 2'],
  ['value', -1, 'result.value: must not be negative'],
  ['value', 0.5, 'result.value: must be an integer'],
  ['runMs', Infinity, 'result.runMs: must be a finite number'],
  ['heapBytes', 2 ** 53, 'result.heapBytes: must be an integer'],
  ['status', 'oom', 'result.status: must be one of ok, error'],
  ['files.0.part', 2, 'result.files[0].part: no part 2'],
  ['files.0.size', 3, 'result.files[0].size: 3, but the part has 2 bytes'],
  ['files.0.mime', 'x', 'result.files[0].mime: is unknown'],
  ['error.frames.0.line', '1', 'result.error.frames[0].line: must be an integer'],
  [
    'error.frames',
    Array(1001).fill(result.error?.frames[0]),
    'result.error.frames: 1001 items, at most 1000',
  ],
  ['files', Array(100_001), 'result.files: 100001 items, at most 100000'],
  ['files', Array(1), 'result.files[0]: must be an object'],
  [
    'display.data',
    Object.fromEntries(Array.from({ length: 101 }, (_, i) => [i, ''])),
    '101 entries, at most 100',
  ],
  ['display.data', new Map(), 'result.display.data: must be a plain object'],
  ['display.metadata.a', Number.NaN, 'result.display.metadata.a: must be a finite number'],
  ['display.metadata.a', () => 1, 'result.display.metadata.a: must be'],
  ['truncated.value', 1, 'result.truncated.value: must be true or false'],
  ['parts.0', [1], 'result.parts[0]: must be a Uint8Array'],
  ['parts.0', new Uint8Array(new SharedArrayBuffer(1)), 'result.parts[0]: must not be shared memory'],
])('%s that is wrong', (path, value, problem) => {
  expect(() => parseWorkerMessage(changed(result, path, value))).toThrow(problem);
  expect(() => parseWorkerMessage(changed(result, path, value))).toThrow(ProtocolError);
});

test.each([
  '',
  '.',
  '..',
  '/',
  '/etc/passwd',
  '../x',
  'a/..',
  'a/../b',
  './a',
  'a/./b',
  'a//b',
  'a/',
  'a\0b',
])('the path %j is refused, each way', (path) => {
  expect(() => parseHostMessage(changed(run, 'files.0.path', path))).toThrow('run.files[0].path: must');
  expect(() => parseWorkerMessage(changed(result, 'files.0.path', path))).toThrow(
    'result.files[0].path: must',
  );
});

test('other odd paths are names like any other', () => {
  for (const path of [
    '...',
    '..a',
    'a..',
    'a/..b',
    '.hidden',
    'a\\..\\b',
    'C:',
    '%2e%2e',
    '__proto__',
    'ü/ 💥',
  ]) {
    expect(parseWorkerMessage(changed(result, 'files.0.path', path))).toMatchObject({ files: [{ path }] });
  }
  expect(() => parseWorkerMessage(changed(result, 'files.0.path', 'ü'.repeat(2049)))).toThrow('4096 bytes');
});

test('a question is one that there is, whole, and of no other size', () => {
  const fetch = { kind: 'fetch', url: 'https://example.test/', headers: { accept: 'x' } };
  expect(parseWorkerMessage({ ...ask, question: fetch })).toStrictEqual({ ...ask, question: fetch });
  for (const [question, problem] of [
    [null, 'ask.question.kind: is unknown'],
    [{}, 'ask.question.kind: is unknown'],
    [{ kind: 'ask' }, 'ask.question.kind: is unknown'],
    [{ kind: '__proto__' }, 'ask.question.kind: is unknown'],
    [{ kind: 'install' }, 'ask.question.requirements: is missing'],
    [{ kind: 'install', requirements: 'numpy' }, 'ask.question.requirements: must be'],
    [{ kind: 'install', requirements: [1] }, 'ask.question.requirements[0]: must be'],
    [{ kind: 'install', requirements: ['x'.repeat(1025)] }, 'ask.question.requirements[0]: 1025 chars'],
    [{ kind: 'install', requirements: Array(10_001).fill('a') }, '10001 items, at most 10000'],
    [{ kind: 'install', requirements: [], url: 'x' }, 'ask.question.url: is unknown'],
    [{ ...fetch, url: 'x'.repeat(16_385) }, 'ask.question.url: 16385 chars, at most 16384'],
    [{ ...fetch, headers: { accept: 1 } }, 'ask.question.headers.accept: must be'],
  ] as const)
    expect(() => parseWorkerMessage({ ...ask, question }), JSON.stringify(question)).toThrow(problem);
});

test('a piece of an image is one part', () => {
  for (const parts of [[], [Uint8Array.of(1), Uint8Array.of(2)]])
    expect(() => parseWorkerMessage({ kind: 'image', id: 'i', parts })).toThrow(
      'image.parts: must be one part',
    );
  expect(() => parseWorkerMessage({ kind: 'image', id: 'i' })).toThrow('image.parts: is missing');
});

test('packages of an image that are none', () => {
  for (const [path, value, problem] of [
    ['wheels', [{ fileName: 'a' }], 'init.options.packages.wheels[0].url: is missing'],
    ['wheels', [{ fileName: 1, url: 'x' }], 'init.options.packages.wheels[0].fileName: must be'],
    ['imports', [1], 'init.options.packages.imports[0]: must be'],
    ['warm', ['1'], 'init.options.packages.warm[0]: must be an object'],
    ['warm', Array(10_001), '10001 items, at most 10000'],
  ] as const)
    expect(() => parseHostMessage(changed(init, `options.packages.${path}`, value))).toThrow(problem);
});

test('a chain of errors and nested metadata are bounded, a cycle too', () => {
  const chain = (length: number): WireError => ({
    ...wireError,
    cause: length === 1 ? null : chain(length - 1),
  });
  const message = (error: WireError) => ({ kind: 'error', id: null, error });
  expect(parseWorkerMessage(message(chain(protocolLimits.maxErrors)))).toEqual(message(chain(8)));
  expect(() => parseWorkerMessage(message(chain(9)))).toThrow('more than 8 errors in a chain');
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  expect(() => parseWorkerMessage(changed(result, 'display.metadata', cycle))).toThrow('nested too deep');
});

test('one object in many places is read as many, up to a limit', () => {
  let shared: Record<string, unknown> = {};
  for (let level = 0; level < 40; level++) shared = { a: shared, b: shared };
  const error = { code: 'c', message: 'm', details: shared, stack: null, cause: null };
  expect(() => parseWorkerMessage({ kind: 'error', id: null, error })).toThrow('containers');
});

test('names of the prototype are keys of a record like any other', () => {
  const env = JSON.parse('{"__proto__":"a","constructor":"b","toString":"c"}');
  const parsed = parseHostMessage(changed(run, 'env', env)) as RunMessage;
  expect(Object.entries(parsed.env)).toEqual(Object.entries(env));
  expect(Object.getPrototypeOf(parsed.env)).toBe(Object.prototype);
});

test("inherited fields are not the message's", () => {
  Object.defineProperty(Object.prototype, 'id', { value: 'x', configurable: true });
  try {
    expect(() => parseHostMessage({ kind: 'ping' })).toThrow('ping.id: is missing');
  } finally {
    Reflect.deleteProperty(Object.prototype, 'id');
  }
});

test('what is no message', () => {
  for (const value of [
    undefined,
    null,
    1,
    'ping',
    [],
    {},
    { kind: 1 },
    { kind: '__proto__' },
    { kind: 'toString' },
  ]) {
    expect(() => parseHostMessage(value)).toThrow('message.kind: is unknown');
  }
  for (const message of workerMessages)
    expect(() => parseHostMessage(message)).toThrow('message.kind: is unknown');
  for (const message of hostMessages)
    expect(() => parseWorkerMessage(message)).toThrow('message.kind: is unknown');
});

test('versions', () => {
  checkVersion(protocolVersion);
  const next = protocolVersion + 1;
  expect(() => checkVersion(next)).toThrow(
    `protocol version ${next} on the other side, ${protocolVersion} on this one`,
  );
});
