import { parseJson } from '../protocol/json.ts';
import type { Page } from './http.ts';
import { fileNameOf } from './names.ts';

/** A file that an index page links to. */
export interface IndexLink {
  /** Absolute, without fragment and credentials. */
  url: string;
  fileName: string;
  sha256: string | undefined;
}

/**
 * The wheels of a page of an index, as HTML (PEP 503) or JSON (PEP 691), that may be fetched: over https, or from where the
 * page itself came. In JSON, micropip takes relative URLs as they stand, so `bytes` has absolute ones.
 */
export function readIndexPage(page: Page): { links: IndexLink[]; bytes: Uint8Array } {
  const content = new TextDecoder().decode(page.bytes);
  if (!/\bjson\b/.test(page.headers['content-type'] ?? '')) {
    const links = [...content.matchAll(/<a\b[^<>]*?\bhref\s*=\s*(?:"([^"]*)"|'([^']*)')/gi)]
      .map(([, double, single]) => linkOf((double ?? single ?? '').replaceAll('&amp;', '&'), page.url))
      .filter((link) => link !== undefined);
    return { links, bytes: page.bytes };
  }
  let json: unknown;
  try {
    // One that is nested too deep couldn't be written again.
    json = parseJson(content, 'page');
  } catch {
    return { links: [], bytes: page.bytes };
  }
  const links: IndexLink[] = [];
  for (const file of filesOf(json)) {
    if (typeof file !== 'object' || file === null || !('url' in file) || typeof file.url !== 'string')
      continue;
    const { hashes, digests } = file as { hashes?: unknown; digests?: unknown };
    const link = linkOf(file.url, page.url, shaOf(hashes) ?? shaOf(digests));
    if (link === undefined) continue;
    links.push(link);
    file.url = link.url;
  }
  return { links, bytes: new TextEncoder().encode(JSON.stringify(json)) };
}

/** Of the simple API, or of the older one with releases. */
function filesOf(json: unknown): unknown[] {
  const { files, releases } = (json ?? {}) as { files?: unknown; releases?: unknown };
  if (Array.isArray(files)) return files;
  return typeof releases === 'object' && releases !== null ? Object.values(releases).flat() : [];
}

function linkOf(href: string, base: string, known?: string): IndexLink | undefined {
  if (!URL.canParse(href, base)) return undefined;
  const url = new URL(href, base);
  const sha256 = known ?? /^#sha256=([0-9a-f]{64})$/.exec(url.hash)?.[1];
  url.hash = '';
  url.username = '';
  url.password = '';
  if (url.protocol !== 'https:' && url.origin !== new URL(base).origin) return undefined;
  const fileName = fileNameOf(url.href);
  return fileName?.endsWith('.whl') ? { url: url.href, fileName, sha256 } : undefined;
}

function shaOf(hashes: unknown): string | undefined {
  const sha256: unknown = (hashes as { sha256?: unknown } | null | undefined)?.sha256;
  return typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256) ? sha256 : undefined;
}
