/** Where packages come from: a mirror, Pyodide's distribution, package indexes. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InstallError } from '../errors/errors.ts';

export interface SourceOptions {
  /** Path of a folder, or a `file:`, `http:` or `https:` URL. Default `VIVARIUM_MIRROR`, else none. */
  mirror?: string | undefined;
  /** Nothing is fetched: what is in the cache and in a mirror folder has to do. Default false. */
  offline?: boolean | undefined;
}

/** A folder with `pyodide-lock.json` and wheels. URLs end with `/` and hold no credentials. */
export type Mirror = { kind: 'folder'; path: string } | { kind: 'url'; url: string };

export interface Sources {
  readonly mirror: Mirror | null;
  /** Simple repositories (PEP 503, 691), searched in this order; `micropipIndex` stands for micropip's own. */
  readonly indexUrls: readonly string[];
  readonly offline: boolean;
  /** The `Authorization` header for a URL, from credentials that its origin was given with. Never to be shown. */
  authorization(url: string): string | undefined;
  /** Whether the operator named the origin of a URL, as the mirror's or an index's: then it may be anywhere. */
  names(url: string): boolean;
}

/** micropip's own name for its default index. */
export const micropipIndex = 'PYPI';

/**
 * From options and the environment: `VIVARIUM_MIRROR` and pip's `PIP_INDEX_URL`, `PIP_EXTRA_INDEX_URL`, `PIP_NO_INDEX`.
 * Extra indexes are searched first: a name of theirs can't be taken over by somebody who registers it publicly. Throws
 * `InstallError` (`mirror`, `network`).
 */
export function resolveSources(
  options: SourceOptions = {},
  env: Readonly<Record<string, string | undefined>> = process.env,
): Sources {
  const credentials = new Map<string, string>();
  const origins = new Set<string>();
  const plain = (text: string, reason: 'mirror' | 'network', name: string): string => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol)) {
      const suggestion = `set it to an http: or https: URL`;
      throw new InstallError(`${name} is no URL of the web; ${suggestion}`, {
        reason,
        package: '',
        suggestion,
      });
    }
    if (url.username !== '' || url.password !== '') {
      const pair = `${decoded(url.username)}:${decoded(url.password)}`;
      credentials.set(url.origin, `Basic ${Buffer.from(pair).toString('base64')}`);
      url.username = '';
      url.password = '';
    }
    url.hash = '';
    origins.add(url.origin);
    return url.href;
  };

  const mirror = (options.mirror ?? env.VIVARIUM_MIRROR) || undefined;
  const index = env.PIP_INDEX_URL?.trim();
  const extra = env.PIP_EXTRA_INDEX_URL?.split(/\s+/).filter((url) => url !== '') ?? [];
  const noIndex = /^(1|true|yes|on)$/i.test(env.PIP_NO_INDEX ?? '');
  const indexUrls = [
    ...extra.map((url) => plain(url, 'network', 'PIP_EXTRA_INDEX_URL')),
    ...(index ? [plain(index, 'network', 'PIP_INDEX_URL')] : [micropipIndex]),
  ].map((url) => url.replace(/\/+$/, ''));
  const resolved: Sources = {
    mirror: mirror === undefined ? null : readMirror(mirror, (url) => plain(url, 'mirror', 'the mirror')),
    indexUrls: noIndex ? [] : indexUrls,
    offline: options.offline ?? false,
    authorization: (url) => (URL.canParse(url) ? credentials.get(new URL(url).origin) : undefined),
    names: (url) => URL.canParse(url) && origins.has(new URL(url).origin),
  };
  return Object.freeze(resolved);
}

function readMirror(mirror: string, plain: (url: string) => string): Mirror {
  if (/^file:/i.test(mirror)) {
    try {
      return { kind: 'folder', path: fileURLToPath(mirror) };
    } catch (error) {
      throw mirrorError('the mirror is no file: URL of this machine', 'write it like file:///folder', error);
    }
  }
  // A drive letter is no scheme.
  if (/^\w{2,}:\/\//.test(mirror)) return { kind: 'url', url: `${plain(mirror).replace(/\/+$/, '')}/` };
  return { kind: 'folder', path: resolve(mirror.replace(/^~(?=\/|$)/, homedir())) };
}

/** What isn't encoded rightly stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** For messages. */
export function describeMirror(mirror: Mirror): string {
  return mirror.kind === 'folder' ? mirror.path : mirror.url;
}

export function mirrorError(problem: string, suggestion: string, cause?: unknown): InstallError {
  return new InstallError(`${problem}; ${suggestion}`, { reason: 'mirror', package: '', suggestion }, cause);
}
