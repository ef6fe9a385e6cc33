import { UsageError } from '../errors/errors.ts';
import { protocolLimits } from '../protocol/limits.ts';
import { encodeValue } from '../protocol/value-codec.ts';
import type { RunLimits, RunOptions } from '../runtime.ts';
import type { SessionRunOptions } from '../session.ts';
import {
  boolean,
  type Check,
  checkOptions,
  func,
  integer,
  list,
  oneOf,
  optional,
  record,
  satisfying,
  string,
} from '../util/options.ts';
import type { ImageRequest } from './images.ts';
import type { JobMessage } from './job.ts';
import { limitChecks, limitNames } from './limits.ts';
import { isolations, type ResolvedRuntimeOptions } from './runtime-options.ts';

type FileContent = NonNullable<RunOptions['files']>[string];

const fileContent = satisfying<FileContent>(
  'bytes, text or an async iterable of bytes',
  (value) => typeof value === 'string' || value instanceof Uint8Array || isStream(value),
);

/** In one call; each may have as many characters as a name of the protocol. */
const maxPackages = 200;

const requirement = satisfying<string>(
  `a requirement of at most ${protocolLimits.maxNameChars} characters`,
  (value) => typeof value === 'string' && value.trim() !== '' && value.length <= protocolLimits.maxNameChars,
);

const sessionShape = {
  ...limitChecks,
  filename: optional(string),
  globals: optional(record(satisfying<unknown>('anything', () => true))),
  files: optional(record(fileContent)),
  argv: optional(list(string)),
  env: optional(record(string)),
  stdin: optional(
    satisfying<string | readonly string[]>(
      'text or an array of lines',
      (value) =>
        typeof value === 'string' ||
        (Array.isArray(value) && value.every((line) => typeof line === 'string')),
    ),
  ),
  figures: optional(oneOf('png', 'svg')),
  seed: optional(integer({ min: 0, max: 2 ** 32 - 1 })),
  signal: optional(satisfying<AbortSignal>('an AbortSignal', (value) => value instanceof AbortSignal)),
  onStdout: optional(func<NonNullable<RunOptions['onStdout']>>()),
  onStderr: optional(func<NonNullable<RunOptions['onStderr']>>()),
  onDisplay: optional(func<NonNullable<RunOptions['onDisplay']>>()),
  onProgress: optional(func<NonNullable<RunOptions['onProgress']>>()),
};

const sessionRunShape = { ...sessionShape, interactive: optional(boolean) };

/** Whose code it is, and its interpreter. */
export const sessionImageShape: {
  readonly tenant: Check<string | undefined>;
  readonly image: Check<string | undefined>;
  readonly packages: Check<readonly string[] | undefined>;
} = {
  tenant: optional(
    satisfying<string>(
      `a name of 1 to ${protocolLimits.maxNameChars} characters`,
      (value) => typeof value === 'string' && value !== '' && value.length <= protocolLimits.maxNameChars,
    ),
  ),
  image: optional(
    satisfying<string>(
      'the name or the path of an image',
      (value) => typeof value === 'string' && value !== '' && value.length <= protocolLimits.maxPathBytes,
    ),
  ),
  packages: optional(list(requirement)),
};

const shape = {
  ...sessionShape,
  isolation: optional(oneOf(...isolations)),
  ...sessionImageShape,
  sessionBytes: optional(satisfying<Uint8Array>('bytes', (value) => value instanceof Uint8Array)),
};

/** The options as they are now. Throws one `TypeError` for what is ill-typed or unknown. */
export function checkRun(code: unknown, options: unknown): RunOptions {
  if (typeof code !== 'string') throw new TypeError(`run: code must be a string, not ${typeof code}`);
  return checkOptions('run', options, shape);
}

/** Of a run of a session. */
export function checkSessionRun(code: unknown, options: unknown): SessionRunOptions {
  if (typeof code !== 'string') throw new TypeError(`run: code must be a string, not ${typeof code}`);
  return checkOptions('run', options, sessionRunShape);
}

/** What the run asks for instead of the runtime's own image, if it does. Throws `UsageError`. */
export function imageRequest({ image, packages = [] }: RunOptions): ImageRequest | undefined {
  if (image !== undefined && packages.length > 0)
    throw new UsageError(
      'usage',
      'run: image and packages exclude one another: an image holds its packages.',
    );
  if (packages.length > maxPackages) throw new UsageError('usage', `run: more than ${maxPackages} packages.`);
  if (image !== undefined) return { image };
  return packages.length > 0 ? { packages: [...packages] } : undefined;
}

/** The runtime's limits with the run's over them. Throws `UsageError` for one above the runtime's maximum. */
export function resolveLimits(options: RunOptions, runtime: ResolvedRuntimeOptions): RunLimits {
  const limits = { ...runtime.limits };
  for (const name of limitNames) {
    const asked = options[name];
    if (asked === undefined) continue;
    const max = runtime.maxLimits[name];
    if (asked > max)
      throw new UsageError('usage', `run: ${name} (${asked}) is above the runtime's maximum (${max}).`, {
        details: { limit: name, asked, max },
      });
    limits[name] = asked;
  }
  return limits;
}

/**
 * The message of a run. A promise only when files have to be read first; once `cancelled` says so, reading stops.
 * Throws `UsageError` and `TypeError`.
 */
export function runMessage(
  id: string,
  code: string,
  options: RunOptions & SessionRunOptions,
  limits: RunLimits,
  cancelled: () => boolean,
): JobMessage | Promise<JobMessage> {
  const { globals } = options;
  const encoded = globals === undefined ? undefined : encodeValue(globals, { name: 'globals' });
  const message: JobMessage = {
    id,
    purpose: options.interactive ? 'prompt' : 'program',
    code,
    filename: options.filename ?? '<run>',
    argv: options.argv ? [...options.argv] : [],
    env: { ...options.env },
    stdin:
      typeof options.stdin === 'object'
        ? options.stdin.map((line) => `${line}\n`).join('')
        : (options.stdin ?? ''),
    globals: encoded?.json ?? '["d"]',
    files: [],
    seed: options.seed ?? null,
    figures: options.figures ?? 'png',
    limits: {
      ...limits,
      timeoutMs: limits.timeoutMs === Infinity ? 0 : Math.ceil(limits.timeoutMs),
      cpuMs: limits.cpuMs === Infinity ? 0 : Math.ceil(limits.cpuMs),
    },
    parts: encoded?.parts ?? [],
  };
  const { maxTextChars, maxFrameBytes } = protocolLimits;
  const texts = [
    code,
    message.stdin,
    message.globals,
    ...message.argv,
    ...Object.entries(message.env).flat(),
  ];
  const chars = texts.reduce((sum, text) => sum + text.length, 0);
  const bytes = (message.parts ?? []).reduce((sum, part) => sum + part.byteLength, 0);
  if (chars > maxTextChars / 2 || bytes > maxFrameBytes / 4)
    throw new UsageError(
      'usage',
      'run: the code, stdin, arguments, environment and globals are too large together.',
    );
  return options.files === undefined
    ? message
    : withFiles(message, Object.entries(options.files), limits.fileBytes, cancelled);
}

// ---- files ---------------------------------------------------------------------------------------------------------

function withFiles(
  message: JobMessage,
  files: readonly (readonly [string, FileContent])[],
  maxBytes: number,
  cancelled: () => boolean,
): JobMessage | Promise<JobMessage> {
  if (files.length > protocolLimits.maxFiles)
    throw new UsageError('usage', `run: more than ${protocolLimits.maxFiles} files.`);
  let left = maxBytes;
  const take = (path: string, bytes: Uint8Array) => {
    left -= bytes.byteLength;
    if (left >= 0) return bytes;
    throw new UsageError('usage', `run: files are above fileBytes (${maxBytes}) together, at '${path}'.`);
  };
  const add = (path: string, bytes: Uint8Array) => {
    message.parts ??= [];
    message.files.push({ path, part: message.parts.push(bytes) - 1 });
  };
  for (const [path] of files) checkPath(path);
  if (!files.some(([, content]) => isStream(content))) {
    for (const [path, content] of files) add(path, take(path, bytesOf(content as string | Uint8Array)));
    return message;
  }
  const read = async () => {
    for (const [path, content] of files) {
      if (!isStream(content)) {
        add(path, take(path, bytesOf(content)));
        continue;
      }
      const chunks: Uint8Array[] = [];
      for await (const chunk of content) {
        if (cancelled()) return message;
        if (!(chunk instanceof Uint8Array)) throw new TypeError(`run: files.${path} must give bytes`);
        chunks.push(take(path, chunk));
      }
      add(path, joined(chunks));
    }
    return message;
  };
  return read();
}

/** A copy: an engine may transfer it. */
function bytesOf(content: string | Uint8Array): Uint8Array {
  return typeof content === 'string' ? new TextEncoder().encode(content) : new Uint8Array(content);
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

/** The kernel checks again; here it's the caller's mistake and has its name. */
function checkPath(path: string): void {
  const parts = path.split('/');
  const outside = parts.some((part) => part === '' || part === '.' || part === '..');
  if (outside || /[\0\\]/.test(path) || !path.isWellFormed())
    throw new UsageError('usage', `run: files: ${shown(path)} is no path below the working folder.`);
  if (
    path.length > protocolLimits.maxPathBytes ||
    new TextEncoder().encode(path).length > protocolLimits.maxPathBytes
  )
    throw new UsageError(
      'usage',
      `run: files: ${shown(path)} is longer than ${protocolLimits.maxPathBytes} bytes.`,
    );
}

function shown(path: string): string {
  return JSON.stringify(path.length > 100 ? `${path.slice(0, 100)}…` : path);
}

function isStream(value: unknown): value is AsyncIterable<Uint8Array> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}
