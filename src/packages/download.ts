import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InstallError } from '../errors/errors.ts';
import { type Asking, type Http, TransientError } from './http.ts';

/** After this long without a byte a part belongs to nobody: whoever wrote it was killed. */
const abandonedMs = 600_000;
const keepPartMs = 7 * 24 * 3_600_000;

export interface DownloadOptions extends Asking {
  url: string;
  /** Of the package, for messages. */
  name: string;
  maxBytes: number;
  /** Bytes of the file that are there; all of them, as far as it is known, else 0. */
  onBytes?: (done: number, total: number) => void;
}

export interface Downloaded {
  /** A file that belongs to the caller, who moves or removes it. */
  path: string;
  /** Whether it begins with what an earlier download left: then it may be two versions of the file put together. */
  resumed: boolean;
}

/**
 * Unfinished files. Each has one owner, named in the file's name, so that processes never write to the same one: a part is
 * claimed by renaming it, given up by renaming it back. `key~validator~owner.part`, where the validator is the strong
 * ETag that came with it, if any.
 */
export class PartialDownloads {
  readonly #dir: string;
  readonly #http: Http;

  constructor(dir: string, http: Http) {
    this.#dir = dir;
    this.#http = http;
  }

  /** Fetches a file, going on where an earlier download stopped. Rejects with `InstallError`, and keeps what came when the next time may go on with it. */
  async download(options: DownloadOptions): Promise<Downloaded> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const key = createHash('sha256').update(options.url).digest('hex').slice(0, 32);
    const part = await this.#claim(key);
    const resumed = part.size > 0;
    try {
      await this.#http.retry(options.url, () => this.#attempt(part, options), {
        signal: options.signal,
        gained: () => part.size,
      });
      return { path: part.path, resumed: resumed && part.resumed };
    } catch (error) {
      const resumable =
        options.signal?.aborted || (error instanceof InstallError && error.reason === 'network');
      if (part.size === 0 || !resumable) await rm(part.path, { force: true });
      else await rename(part.path, this.#path(key, part.etag, '')).catch(() => undefined);
      throw error;
    }
  }

  async #attempt(part: Part, options: DownloadOptions): Promise<void> {
    const { url, name, maxBytes, onBytes, signal, budget } = options;
    const { size } = await stat(part.path).catch(() => ({ size: 0 }));
    // Somebody thought that it was abandoned.
    if (size !== part.size) await part.restart();
    const response = await this.#http.open(url, {
      // A range of a body that is packed for the way would be a range of something else.
      headers: { 'accept-encoding': 'identity', ...rangeOf(part) },
      signal,
      budget,
    });
    const { status, headers, body } = response;
    const range = contentRange(headers['content-range']);
    if (status === 416 || (status === 206 && range?.from !== part.size)) {
      body.destroy();
      await part.restart();
      throw new TransientError('the server has another file now');
    }
    if (status !== 200 && status !== 206) {
      body.destroy();
      const suggestion = 'run `vivarium lock` again';
      throw new InstallError(`${name}: ${url} is not there (${status}); ${suggestion}`, {
        reason: 'not_found',
        package: name,
        suggestion,
        url,
      });
    }
    if (status === 200) {
      await part.restart();
      const etag = headers.etag ?? '';
      await part.moveTo(this.#path(part.key, etag, part.owner), etag);
    }
    const length = Number(headers['content-length'] ?? Number.NaN);
    const total = range?.total ?? (Number.isSafeInteger(length) ? part.size + length : 0);
    if (total > maxBytes) {
      body.destroy();
      throw tooLarge(options);
    }
    onBytes?.(part.size, total);
    await using file = await open(part.path, 'a', 0o600);
    for await (const chunk of this.#http.chunks(response, { signal, budget })) {
      if (part.size + chunk.length > maxBytes) throw tooLarge(options);
      await file.write(chunk);
      part.size += chunk.length;
      onBytes?.(part.size, total);
    }
    if (total > 0 && part.size !== total) throw new TransientError('the connection was closed too early');
  }

  /** Takes over what nobody works on, or begins anew. */
  async #claim(key: string): Promise<Part> {
    const owner = randomUUID();
    for (const file of await readdir(this.#dir)) {
      const [fileKey, validator = '', previous = ''] = file.replace(/\.part$/, '').split('~');
      const path = join(this.#dir, file);
      const found = await stat(path).catch(() => undefined);
      if (found === undefined) continue;
      const idleMs = Date.now() - found.mtimeMs;
      if (idleMs > keepPartMs) await rm(path, { force: true });
      if (fileKey !== key || idleMs > keepPartMs || (previous !== '' && idleMs < abandonedMs)) continue;
      const etag = Buffer.from(validator, 'base64url').toString('utf8');
      const mine = this.#path(key, etag, owner);
      try {
        await rename(path, mine);
      } catch {
        continue; // Somebody else was quicker.
      }
      return new Part(key, owner, mine, etag, found.size);
    }
    return new Part(key, owner, this.#path(key, '', owner), '', 0);
  }

  #path(key: string, etag: string, owner: string): string {
    const validator = isStrong(etag) ? Buffer.from(etag).toString('base64url') : '';
    return join(this.#dir, `${key}~${validator}~${owner}.part`);
  }
}

class Part {
  readonly key: string;
  readonly owner: string;
  path: string;
  etag: string;
  size: number;
  resumed = true;

  constructor(key: string, owner: string, path: string, etag: string, size: number) {
    this.key = key;
    this.owner = owner;
    this.path = path;
    this.etag = etag;
    this.size = size;
  }

  async restart(): Promise<void> {
    await rm(this.path, { force: true });
    this.size = 0;
    this.resumed = false;
  }

  async moveTo(path: string, etag: string): Promise<void> {
    if (this.size > 0) await rename(this.path, path);
    this.path = path;
    this.etag = etag;
  }
}

/** A weak one doesn't promise equal bytes; a long one makes no file name. */
function isStrong(etag: string): boolean {
  return /^"[\x21\x23-\x7e]{1,80}"$/.test(etag);
}

function rangeOf(part: Part): Record<string, string> {
  if (part.size === 0) return {};
  return { range: `bytes=${part.size}-`, ...(isStrong(part.etag) ? { 'if-range': part.etag } : {}) };
}

function contentRange(header: string | undefined): { from: number; total: number | undefined } | undefined {
  const match = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(header ?? '');
  if (match === null) return undefined;
  return { from: Number(match[1]), total: match[2] === '*' ? undefined : Number(match[2]) };
}

function tooLarge({ url, name, maxBytes }: DownloadOptions): InstallError {
  const suggestion = 'use another version of the package';
  return new InstallError(`${name}: ${url} has more than ${maxBytes} bytes; ${suggestion}`, {
    reason: 'unsafe_wheel',
    package: name,
    suggestion,
    url,
  });
}
