import { readdir, readFile, realpath, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { ImageCache, imagesDir, temporaryKeepMs } from '../engines/image-cache.ts';
import { InstallError } from '../errors/errors.ts';
import type { Fingerprint } from '../image/header.ts';
import { parseImageDefinition } from '../packages/image-definition.ts';
import { lockHash } from '../packages/lock.ts';
import { recipeOf } from '../packages/recipes.ts';
import { isDiskError } from '../util/disk-error.ts';
import { type ImageInfo, imageInfo, verifiedInfo } from './image-info.ts';
import { isImagePath, NamedImages } from './named-images.ts';

export interface PruneOptions {
  /** Also those without a name that were used in the last days. Default 30. */
  unusedDays?: number;
  /** Every image without a name. Default false. */
  all?: boolean;
}

export interface Pruned {
  /** Paths. */
  removed: string[];
  freedBytes: number;
}

const dayMs = 24 * 3_600_000;

/** The images in a cache folder, as files. What is said of one is what its header says, which anybody may have written. */
export class ImageFiles {
  readonly #dir: string;
  readonly #cache: ImageCache;
  readonly #named: NamedImages;
  readonly #installed: () => Promise<Fingerprint>;

  /** `installed`: what images have to fit. */
  constructor(cacheDir: string, installed: () => Promise<Fingerprint>) {
    this.#dir = imagesDir(cacheDir);
    this.#cache = new ImageCache(cacheDir);
    this.#named = new NamedImages(cacheDir);
    this.#installed = installed;
  }

  /** Those with a name first, by name; then the last used first. */
  async list(): Promise<ImageInfo[]> {
    const installed = await this.#installed();
    const found = new Map<string, ImageInfo>();
    for (const path of await this.#files()) {
      if (!path.endsWith('.image')) continue;
      // One that went away meanwhile is none.
      const info = await imageInfo(path, installed).catch(() => undefined);
      if (info === undefined) continue;
      const given = dirname(path) === this.#namedDir ? info.id : usualName(info);
      found.set(path, { ...info, names: given === undefined ? [] : [given] });
    }
    for (const name of await this.#named.list()) {
      const path = await this.#pathOfName(name, installed);
      if (path === undefined) continue;
      const info = found.get(path);
      if (info === undefined) found.set(name, unbuilt(name));
      else if (!info.names.includes(name)) info.names.unshift(name);
    }
    return [...found.values()].sort(byNameThenUse);
  }

  /** By name, path or id. Rejects with `InstallError` when there is none. */
  async inspect(reference: string): Promise<ImageInfo> {
    const images = await this.list();
    if (isImagePath(reference)) return (await sameFile(reference, images)) ?? this.#outside(reference);
    const candidates = images.filter(({ names, id }) => names.includes(reference) || id === reference);
    const found = candidates.find(({ state }) => state === 'ready') ?? candidates[0];
    if (found !== undefined) return found;
    const known = images.map(({ names, id }) => names[0] ?? id);
    const suggestion = known.length === 0 ? 'there are none yet' : `there are ${known.join(', ')}`;
    throw new InstallError(`There is no image ${JSON.stringify(reference)}: ${suggestion}.`, {
      reason: 'not_found',
      package: '',
      suggestion,
    });
  }

  /** As `inspect`, with its checksums looked at. */
  async verify(reference: string): Promise<ImageInfo> {
    const { path, names, ...info } = await this.inspect(reference);
    if (path === null) return { ...info, path, names };
    return { ...(await verifiedInfo(path, await this.#installed())), names };
  }

  /**
   * By name, path or id: the file, and the names that it has. Resolves with the bytes that are free now. Rejects with
   * `InstallError` when there is none, or when it lies outside of the cache.
   */
  async remove(reference: string): Promise<number> {
    const { path, names, fileBytes } = await this.inspect(reference);
    if (path !== null && !this.#folders.includes(dirname(path))) {
      const suggestion = 'remove the file yourself';
      throw new InstallError(`${path} lies outside of the cache: ${suggestion}.`, {
        reason: 'not_allowed',
        package: '',
        suggestion,
      });
    }
    if (path !== null) await rm(path, { force: true });
    for (const name of names) await this.#named.remove(name);
    return fileBytes;
  }

  /**
   * What is of no use any more: images that don't fit this installation, that nobody has used for long, and leftovers of
   * processes that were killed. What has a name given by people stays, unless it can be built again.
   */
  async prune({ unusedDays = 30, all = false }: PruneOptions = {}): Promise<Pruned> {
    const now = Date.now();
    const images = await this.list();
    const named = new Set(await this.#named.list());
    const useless = images.flatMap(({ path, names, state, usedAt }) => {
      if (path === null || dirname(path) === this.#namedDir) return [];
      const unused = now - (usedAt?.getTime() ?? 0) > unusedDays * dayMs;
      const unwanted = (all || unused) && !names.some((name) => named.has(name));
      return state !== 'ready' || unwanted ? [path] : [];
    });
    const temporary: string[] = [];
    for (const path of await this.#files()) {
      if (!path.endsWith('.tmp')) continue;
      const found = await stat(path).catch(() => undefined);
      if (found !== undefined && now - found.mtimeMs > temporaryKeepMs) temporary.push(path);
    }
    const removed: string[] = [];
    let freedBytes = 0;
    for (const path of [...useless, ...temporary]) {
      const { size } = await stat(path).catch(() => ({ size: 0 }));
      // Windows keeps what is in use.
      const gone = await rm(path, { recursive: true, force: true }).then(
        () => true,
        () => false,
      );
      if (!gone) continue;
      removed.push(path);
      freedBytes += size;
    }
    return { removed, freedBytes };
  }

  get #namedDir(): string {
    return join(this.#dir, 'named');
  }

  get #folders(): string[] {
    return [this.#dir, this.#namedDir];
  }

  async #files(): Promise<string[]> {
    return (await Promise.all(this.#folders.map(files))).flat();
  }

  async #outside(path: string): Promise<ImageInfo> {
    try {
      return await imageInfo(path, await this.#installed());
    } catch (error) {
      const suggestion = 'check the path';
      throw new InstallError(
        `${path} can't be read: ${error instanceof Error ? error.message : String(error)}; ${suggestion}.`,
        { reason: 'not_found', package: '', suggestion },
        error,
      );
    }
  }

  /** Where the image of that name is, or will be. */
  async #pathOfName(name: string, installed: Fingerprint): Promise<string | undefined> {
    const found = await this.#named.find(name);
    if (found === undefined || found.kind === 'file') return found?.path;
    try {
      const definition = parseImageDefinition(await readFile(found.path, 'utf8'), found.path);
      const { lock, imports, warm } = definition;
      return this.#cache.pathOf({
        ...installed,
        lockHash: lockHash({ packages: lock.packages, imports, warm }),
      });
    } catch (error) {
      // Gone, or damaged: using it tells.
      if (error instanceof InstallError || isDiskError(error)) return name;
      throw error;
    }
  }
}

/** Full paths; none where there is no such folder. */
async function files(folder: string): Promise<string[]> {
  const found = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return found.filter((entry) => entry.isFile()).map(({ name }) => join(folder, name));
}

async function sameFile(path: string, images: readonly ImageInfo[]): Promise<ImageInfo | undefined> {
  const real = (one: string): Promise<string> => realpath(one).catch(() => resolve(one));
  const wanted = await real(path);
  for (const info of images) if (info.path !== null && (await real(info.path)) === wanted) return info;
  return undefined;
}

function usualName({ content }: ImageInfo): string | undefined {
  if (content === null) return undefined;
  return content.fingerprint.lockHash === '' ? 'stdlib' : recipeOf(content.warm);
}

function unbuilt(name: string): ImageInfo {
  return {
    id: name,
    names: [name],
    path: null,
    state: 'unbuilt',
    problem: 'it is built when it is used',
    content: null,
    fileBytes: 0,
    builtAt: null,
    usedAt: null,
  };
}

function byNameThenUse(a: ImageInfo, b: ImageInfo): number {
  const [one, other] = [a.names[0], b.names[0]];
  if (one !== undefined && other !== undefined && one !== other) return one < other ? -1 : 1;
  if ((one === undefined) !== (other === undefined)) return one === undefined ? 1 : -1;
  return (b.usedAt?.getTime() ?? 0) - (a.usedAt?.getTime() ?? 0);
}
