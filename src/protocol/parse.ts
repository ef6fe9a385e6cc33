import { protocolLimits } from './limits.ts';
import {
  type AnswerMessage,
  type AskMessage,
  type BuildPackages,
  type ChangeFilesMessage,
  type DisplayMessage,
  type FrozenMessage,
  type HostMessage,
  type InitMessage,
  type InitOptions,
  protocolVersion,
  type Question,
  type ReadyMessage,
  type ResultMessage,
  type RunMessage,
  type StopReason,
  type ThawMessage,
  type WireError,
  type WirePythonError,
  type WorkerMessage,
} from './messages.ts';
import { ProtocolError } from './protocol-error.ts';
import {
  absolutePath,
  amount,
  boolean,
  count,
  fail,
  id,
  integer,
  jsonObject,
  list,
  name,
  nullable,
  number,
  object,
  oneOf,
  parts,
  path,
  type Reader,
  record,
  text,
} from './read.ts';

/** The member of a union whose `kind` may be `K`. */
type OfKind<M, K> = M extends { kind: infer X } ? (K extends X ? M : never) : never;
type Readers<M extends { kind: string }> = { readonly [K in M['kind']]: Reader<OfKind<M, K>> };

const { maxFiles, maxItems, maxFrames, maxMimeTypes, maxErrors, maxStackChars } = protocolLimits;

const maxUrlChars = 16_384;
const anyText = text();
const env = record(maxItems, anyText);
const stopReason = oneOf<StopReason>('timeout', 'cpu', 'interrupted');
const bundle = { data: record(maxMimeTypes, anyText), metadata: jsonObject };

function kind<K extends string>(only: K): Reader<K> {
  return oneOf(only);
}

/** A chain of at most `errors`. Built once: the reader of the longest chain holds those of the shorter ones. */
function wireError(errors: number): Reader<WireError> {
  if (errors === 0) return (_, at) => fail(at, `more than ${maxErrors} errors in a chain`);
  return object<WireError>({
    code: name,
    message: anyText,
    details: jsonObject,
    stack: nullable(text(maxStackChars)),
    cause: nullable(wireError(errors - 1)),
  });
}

// ---- host → worker -------------------------------------------------------------------------------------------------

const run = object<RunMessage>(
  {
    kind: kind('run'),
    id,
    purpose: oneOf('program', 'prompt', 'check', 'complete'),
    code: anyText,
    filename: anyText,
    argv: list(maxItems, anyText),
    env,
    stdin: anyText,
    globals: anyText,
    files: list(maxFiles, object<RunMessage['files'][number]>({ path, part: count })),
    after: oneOf('rewind', 'none', 'hold', 'discard'),
    seed: nullable(number),
    figures: oneOf('png', 'svg'),
    limits: object<RunMessage['limits']>({
      timeoutMs: amount,
      cpuMs: amount,
      memoryBytes: amount,
      outputBytes: amount,
      fileBytes: amount,
      fileCount: amount,
      valueBytes: amount,
    }),
    parts,
  },
  'parts',
);

const changeFiles = object<ChangeFilesMessage>(
  {
    kind: kind('change_files'),
    id,
    changes: list(
      maxFiles,
      object<ChangeFilesMessage['changes'][number]>({ path: absolutePath, part: nullable(count) }),
    ),
    parts,
  },
  'parts',
);

const hostReaders: Readers<HostMessage> = {
  init: object<InitMessage>(
    {
      kind: kind('init'),
      id,
      version: count,
      options: object<InitOptions>({
        mode: oneOf('build', 'restore', 'plain'),
        maxHeapBytes: count,
        warmingRuns: count,
        env,
        assets: nullable(
          object<NonNullable<InitOptions['assets']>>({
            glueUrl: anyText,
            wasmUrl: anyText,
            stdlibUrl: anyText,
            imageUrl: nullable(anyText),
          }),
        ),
        packages: object<BuildPackages>({
          wheels: list(maxItems, object<BuildPackages['wheels'][number]>({ fileName: name, url: anyText })),
          imports: list(maxItems, name),
          warm: list(maxItems, object<BuildPackages['warm'][number]>({ filename: anyText, code: anyText })),
        }),
        fingerprint: object<InitOptions['fingerprint']>({
          pyodide: name,
          buildId: name,
          kernelHash: name,
          lockHash: name,
        }),
      }),
      parts,
    },
    'parts',
  ),
  run: (value, at) => {
    const message = run(value, at);
    for (const [index, { part }] of message.files.entries())
      partAt(message, part, `${at}.files[${index}].part`);
    return message;
  },
  answer: object<AnswerMessage>(
    { kind: kind('answer'), id, error: nullable(wireError(maxErrors)), body: anyText, parts },
    'parts',
  ),
  freeze: object({ kind: kind('freeze'), id, tasks: oneOf('keep', 'cancel', 'refuse') }),
  thaw: object<ThawMessage>({ kind: kind('thaw'), id, header: nullable(anyText), parts }, 'parts'),
  rewind: object({ kind: kind('rewind'), id }),
  change_files: (value, at) => {
    const message = changeFiles(value, at);
    for (const [index, { part }] of message.changes.entries())
      if (part !== null) partAt(message, part, `${at}.changes[${index}].part`);
    return message;
  },
  interrupt: object({ kind: kind('interrupt'), id, reason: stopReason }),
  ping: object({ kind: kind('ping'), id }),
  shutdown: object({ kind: kind('shutdown') }),
};

// ---- worker → host -------------------------------------------------------------------------------------------------

function onePart<K extends string>(...kinds: K[]): Reader<{ kind: K; id: string; parts: Uint8Array[] }> {
  return object<{ kind: K; id: string; parts: Uint8Array[] }>({
    kind: oneOf(...kinds),
    id,
    parts: (value, at) => {
      const given = parts(value, at);
      return given.length === 1 ? given : fail(at, 'must be one part');
    },
  });
}

const output = onePart('stdout', 'stderr');

const pythonError = object<WirePythonError>({
  name: anyText,
  value: anyText,
  traceback: list(maxItems, anyText),
  frames: list(
    maxFrames,
    object<WirePythonError['frames'][number]>({
      file: anyText,
      line: integer,
      column: nullable(integer),
      endLine: nullable(integer),
      endColumn: nullable(integer),
      function: anyText,
      source: nullable(anyText),
    }),
  ),
  line: nullable(integer),
  column: nullable(integer),
});

const result = object<ResultMessage>(
  {
    kind: kind('result'),
    id,
    status: oneOf('ok', 'error'),
    stopped: nullable(stopReason),
    text: nullable(anyText),
    value: nullable(count),
    display: nullable(object<NonNullable<ResultMessage['display']>>(bundle)),
    error: nullable(pythonError),
    exitCode: nullable(integer),
    files: list(maxFiles, object<ResultMessage['files'][number]>({ path, size: count, part: count })),
    executionCount: count,
    runMs: amount,
    cpuMs: amount,
    heapBytes: count,
    peakBytes: count,
    deltaBytes: integer,
    truncated: object<ResultMessage['truncated']>({
      stdout: boolean,
      stderr: boolean,
      value: boolean,
      results: boolean,
      files: boolean,
    }),
    parts,
  },
  'parts',
);

const questionReaders: Readers<Question> = {
  install: object({ kind: kind('install'), requirements: list(maxItems, name) }),
  fetch: object({
    kind: kind('fetch'),
    url: text(maxUrlChars),
    headers: record(maxItems, text(maxUrlChars)),
  }),
};

function question(value: unknown, at: string): Question {
  return parse<Question>(questionReaders, value, at);
}

const workerReaders: Readers<WorkerMessage> = {
  ready: object<ReadyMessage>({
    kind: kind('ready'),
    id,
    version: count,
    pyodide: name,
    python: name,
    heapBytes: count,
    bootMs: amount,
  }),
  image: onePart('image'),
  progress: object({
    kind: kind('progress'),
    id,
    stage: name,
    done: amount,
    total: amount,
    message: anyText,
  }),
  stdout: output,
  stderr: output,
  display: object<DisplayMessage>({ kind: kind('display'), id, ...bundle }),
  result: (value, at) => {
    const message = result(value, at);
    if (message.value !== null) partAt(message, message.value, `${at}.value`);
    for (const [index, { part, size }] of message.files.entries()) {
      const length = partAt(message, part, `${at}.files[${index}].part`).byteLength;
      if (length !== size) fail(`${at}.files[${index}].size`, `${size}, but the part has ${length} bytes`);
    }
    return message;
  },
  rewound: object({
    kind: kind('rewound'),
    id,
    rewindMs: amount,
    heapBytes: count,
    dirty: nullable(anyText),
  }),
  delta: onePart('delta'),
  frozen: object<FrozenMessage>({
    kind: kind('frozen'),
    id,
    header: anyText,
    cancelled: list(maxItems, anyText),
    freezeMs: amount,
  }),
  thawed: object({ kind: kind('thawed'), id, heapBytes: count, thawMs: amount }),
  changed: object({ kind: kind('changed'), id }),
  ask: object<AskMessage>({ kind: kind('ask'), id, question }),
  error: object({ kind: kind('error'), id: nullable(id), error: wireError(maxErrors) }),
  pong: object({
    kind: kind('pong'),
    id,
    busy: nullable(id),
    heapBytes: count,
    residentBytes: nullable(count),
  }),
};

// --------------------------------------------------------------------------------------------------------------------

/** A fresh message of known fields only, or a `ProtocolError` that names the path: `run.files[3].path: …`. */
export function parseHostMessage(value: unknown): HostMessage {
  return parse<HostMessage>(hostReaders, value);
}

/** As `parseHostMessage`, for what a worker sends. Its text and numbers are still those of hostile code. */
export function parseWorkerMessage(value: unknown): WorkerMessage {
  return parse<WorkerMessage>(workerReaders, value);
}

/** Throws a `ProtocolError` unless the other side speaks this version. */
export function checkVersion(theirs: number): void {
  if (theirs !== protocolVersion) {
    throw new ProtocolError(`protocol version ${theirs} on the other side, ${protocolVersion} on this one`);
  }
}

function parse<M>(readers: Record<string, Reader<M>>, value: unknown, at?: string): M {
  const found: unknown =
    typeof value === 'object' && value !== null && Object.hasOwn(value, 'kind')
      ? (value as { kind: unknown }).kind
      : undefined;
  const reader = typeof found === 'string' && Object.hasOwn(readers, found) ? readers[found] : undefined;
  return reader === undefined
    ? fail(`${at ?? 'message'}.kind`, 'is unknown')
    : reader(value, at ?? (typeof found === 'string' ? found : 'message'));
}

function partAt(message: { parts?: Uint8Array[] }, index: number, at: string): Uint8Array {
  return message.parts?.[index] ?? fail(at, `no part ${index}`);
}
