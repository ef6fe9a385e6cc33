import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InstallError } from '../errors/errors.ts';
import { type Distribution, type InstalledPyodide, micropipLock } from './distribution.ts';
import type { FetchBudget } from './fetch-budget.ts';
import { type Http, networkError, type Page } from './http.ts';
import { type IndexLink, readIndexPage } from './index-page.ts';
import { compare } from './lock.ts';
import { fileNameOf, normalizeName, wheelParts } from './names.ts';
import { micropipIndex } from './sources.ts';
import { unpackWheel } from './unpack-wheel.ts';
import { sha256Of, type WheelCache } from './wheel-cache.ts';

/**
 * Where a mirror seems to be, as seen from inside: no host has a name under `.invalid`, and micropip takes URLs of the
 * web only.
 */
export const mirrorBaseUrl = 'https://mirror.invalid/';
const simpleUrl = `${mirrorBaseUrl}simple`;

/** A wheel of a mirror folder that its lock doesn't list. */
export interface LocalWheel {
  name: string;
  version: string;
  fileName: string;
  sha256: string;
}

export async function localWheels(
  { sources }: WheelCache,
  { packages }: Distribution,
): Promise<LocalWheel[]> {
  const { mirror } = sources;
  if (mirror?.kind !== 'folder') return [];
  const listed = new Set([...packages.values()].map(({ fileName }) => fileName));
  const files = (await readdir(mirror.path)).filter((file) => !listed.has(file)).sort(compare);
  const found: LocalWheel[] = [];
  for (const fileName of files) {
    const parts = wheelParts(fileName);
    const path = join(mirror.path, fileName);
    if (parts === undefined || !(await stat(path)).isFile()) continue;
    found.push({ ...parts, fileName, sha256: await hashOf(path) });
  }
  return found;
}

/** By path, size and time of change: code that runs may ask time and again. What is used is verified in any case. */
const hashes = new Map<string, string>();
const maxHashes = 10_000;

async function hashOf(path: string): Promise<string> {
  const { size, mtimeMs } = await stat(path);
  const key = JSON.stringify([path, size, mtimeMs]);
  const known = hashes.get(key);
  if (known !== undefined) return known;
  const sha256 = sha256Of(await readFile(path));
  if (hashes.size >= maxHashes) hashes.clear();
  hashes.set(key, sha256);
  return sha256;
}

interface AccessOptions {
  wheels: WheelCache;
  pyodide: InstalledPyodide;
  distribution: Distribution;
  local: readonly LocalWheel[];
  requirements: readonly string[];
  signal?: AbortSignal | undefined;
  budget?: FetchBudget | undefined;
}

/**
 * All that a resolution may fetch: pages below the indexes, what they link to, wheels of the distribution and of the
 * mirror, and URLs that were asked for.
 */
export class ResolverAccess {
  readonly #options: AccessOptions;
  readonly #http: Http;
  /** By URL without fragment. */
  readonly #links = new Map<string, IndexLink>();
  #defaultIndex: Promise<string | undefined> | undefined;
  #fatal: InstallError | undefined;
  #unreachable: InstallError | undefined;

  constructor(options: AccessOptions) {
    this.#options = options;
    this.#http = options.wheels.http;
    for (const requirement of options.requirements) {
      const url = /(?:^|@\s*)(https?:\/\/[^\s;#?]+\.whl)/i.exec(requirement)?.[1];
      if (url !== undefined)
        this.#allow({ url: new URL(url).href, fileName: fileNameOf(url) ?? '', sha256: undefined });
    }
  }

  get lockfileBaseUrl(): string {
    return this.#options.wheels.sources.mirror === null ? this.#options.pyodide.cdnUrl : mirrorBaseUrl;
  }

  /** In the order in which they are searched. */
  get indexUrls(): string[] {
    const { local, wheels } = this.#options;
    return [
      ...(local.length > 0 ? [simpleUrl] : []),
      ...(wheels.sources.offline ? [] : wheels.sources.indexUrls),
    ];
  }

  /** What came from a source that is not to be trusted: it ends the resolution, whatever micropip made of it. */
  get fatal(): InstallError | undefined {
    return this.#fatal;
  }

  /** The first source that couldn't be reached. micropip takes that for "not found". */
  get unreachable(): InstallError | undefined {
    return this.#unreachable;
  }

  get #asking(): { signal?: AbortSignal; budget?: FetchBudget } {
    const { signal, budget } = this.#options;
    return { ...(signal && { signal }), ...(budget && { budget }) };
  }

  /** Answers one request from inside. Rejects with `InstallError`. */
  async fetch(url: string, headers: Record<string, string>): Promise<Page> {
    try {
      return await this.#fetch(withoutFragment(url), headers);
    } catch (error) {
      if (error instanceof InstallError) {
        if (error.reason === 'network') this.#unreachable ??= error;
        else if (error.reason !== 'not_found') this.#fatal ??= error;
      }
      throw error;
    }
  }

  async #fetch(url: string, headers: Record<string, string>): Promise<Page> {
    if (isBelow(url, mirrorBaseUrl)) return this.#fromMirror(url);
    const link = this.#links.get(url);
    if (link !== undefined) return wheelPage(url, (await this.wheel(url)).bytes);
    const asking = this.#asking;
    const accept = headers.accept === undefined ? {} : { accept: headers.accept };
    const metadataOf = url.endsWith('.metadata')
      ? this.#links.get(url.slice(0, -'.metadata'.length))
      : undefined;
    if (metadataOf !== undefined) return this.#http.page(url, accept, asking);
    if (isBelow(url, this.lockfileBaseUrl)) return this.#fromDistribution(url, fileNameOf(url) ?? '');
    if (!(await this.#isBelowIndex(url))) {
      throw networkError(url, 'it is neither a source of packages nor linked from one');
    }
    const page = await this.#http.page(url, accept, asking);
    if (page.status !== 200) return page;
    const { links, bytes } = readIndexPage(page);
    for (const one of links) this.#allow(one);
    return { ...page, url, bytes };
  }

  /** A wheel that an index or a requirement named: from the cache, or fetched. */
  async wheel(url: string): Promise<{ bytes: Uint8Array; sha256: string; fileName: string }> {
    const link = this.#links.get(withoutFragment(url));
    if (link === undefined) throw networkError(url, 'no source has named it');
    const { fileName, sha256 } = link;
    const name = wheelParts(fileName)?.name ?? fileName;
    const found = await this.#options.wheels.fetchUrl(link.url, { name, fileName, sha256 }, this.#asking);
    link.sha256 = found.sha256;
    return { ...found, fileName };
  }

  #allow(link: IndexLink): void {
    if (wheelParts(link.fileName) !== undefined && !this.#links.has(link.url))
      this.#links.set(link.url, link);
  }

  async #fromMirror(url: string): Promise<Page> {
    const path = new URL(url).pathname.slice(1);
    const name = /^simple\/([^/]+)\/$/.exec(path)?.[1];
    const { local, wheels } = this.#options;
    if (name !== undefined) return simplePage(url, normalizeName(name), local);
    const fileName = fileNameOf(url) ?? '';
    const own = local.find((one) => one.fileName === fileName);
    if (own === undefined) return this.#fromDistribution(url, fileName);
    const [wheel] = await wheels.fetch([{ ...own, source: { kind: 'mirror' } }], this.#asking);
    return wheelPage(url, wheel?.bytes ?? new Uint8Array());
  }

  async #fromDistribution(url: string, fileName: string): Promise<Page> {
    const { distribution, wheels } = this.#options;
    const found = [...distribution.packages.values()].find((one) => one.fileName === fileName);
    if (found === undefined) return { status: 404, url, headers: {}, bytes: new Uint8Array() };
    const [wheel] = await wheels.fetch([{ ...found, source: { kind: 'distribution' } }], this.#asking);
    return wheelPage(url, wheel?.bytes ?? new Uint8Array());
  }

  async #isBelowIndex(url: string): Promise<boolean> {
    for (const index of this.#options.wheels.sources.indexUrls) {
      const base = index === micropipIndex ? await this.#defaultIndexUrl() : index;
      if (base !== undefined && isBelow(url, base)) return true;
    }
    return false;
  }

  /** micropip's own constant, read from the very wheel that resolves. */
  #defaultIndexUrl(): Promise<string | undefined> {
    this.#defaultIndex ??= this.#readDefaultIndex();
    return this.#defaultIndex;
  }

  async #readDefaultIndex(): Promise<string | undefined> {
    const { distribution, pyodide, wheels } = this.#options;
    const { packages } = micropipLock(distribution, pyodide);
    const found = await wheels.fetch(packages, this.#asking);
    const micropip = found.find((one) => one.package.name === 'micropip');
    const source = micropip && unpackWheel(micropip.bytes).get('micropip/package_index.py');
    return /^PYPI_URL = ["'](https:\/\/[^"'\s]+)["']/m.exec(new TextDecoder().decode(source))?.[1];
  }
}

function withoutFragment(url: string): string {
  if (!URL.canParse(url)) return url;
  const parsed = new URL(url);
  parsed.hash = '';
  return parsed.href;
}

function isBelow(url: string, base: string): boolean {
  if (!URL.canParse(url)) return false;
  const [one, other] = [new URL(url), new URL(base)];
  const folder = other.pathname.endsWith('/') ? other.pathname : `${other.pathname}/`;
  return one.origin === other.origin && one.username === '' && one.pathname.startsWith(folder);
}

function wheelPage(url: string, bytes: Uint8Array): Page {
  return { status: 200, url, headers: { 'content-type': 'application/octet-stream' }, bytes };
}

/** As PEP 691 has it; 404 sends micropip to the next index. */
function simplePage(url: string, name: string, local: readonly LocalWheel[]): Page {
  const files = local
    .filter((one) => one.name === name)
    .map(({ fileName, sha256 }) => ({
      filename: fileName,
      url: `${mirrorBaseUrl}${encodeURIComponent(fileName)}`,
      hashes: { sha256 },
    }));
  const body = { meta: { 'api-version': '1.0' }, name, files };
  return {
    status: files.length > 0 ? 200 : 404,
    url,
    headers: { 'content-type': 'application/vnd.pypi.simple.v1+json' },
    bytes: new TextEncoder().encode(JSON.stringify(body)),
  };
}
