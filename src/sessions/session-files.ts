import { UsageError } from '../errors/errors.ts';
import type { DeltaNode } from '../image/delta.ts';
import { protocolLimits } from '../protocol/limits.ts';
import type { FileChange, SessionFile, SessionFiles } from '../session.ts';
import { blobsOf, type Manifest } from './manifest.ts';
import type { SessionCore } from './session-core.ts';
import type { Watcher } from './session-parts.ts';

/** Where Python works when nothing has changed it. */
const homeFolder = '/home/pyodide';
/** Links that lead to links. */
const maxLinks = 20;

export interface FilesParts {
  readonly core: SessionCore;
  /** Does it when the session has its turn. */
  call<T>(work: () => Promise<T>): Promise<T>;
  /** What a listener throws. */
  fault(error: unknown): void;
}

/** The files of a session, as its manifest has them: none of its image's own. */
export class StoredFiles implements SessionFiles {
  readonly #parts: FilesParts;

  constructor(parts: FilesParts) {
    this.#parts = parts;
  }

  list(path?: string): Promise<SessionFile[]> {
    return this.#look((manifest) => {
      const cwd = cwdOf(manifest);
      const folder = asked(path ?? '', cwd);
      return nodesOf(manifest)
        .filter((node) => isBelow(node.path, folder))
        .map((node) => fileOf(node, cwd))
        .sort((a, b) => (a.path < b.path ? -1 : 1));
    });
  }

  stat(path: string): Promise<SessionFile | undefined> {
    return this.#look((manifest) => {
      const cwd = cwdOf(manifest);
      const node = nodeAt(manifest, asked(path, cwd));
      return node && fileOf(node, cwd);
    });
  }

  read(path: string): Promise<Uint8Array> {
    const { core } = this.#parts;
    return this.#look(async (manifest) => {
      const node = followed(manifest, asked(path, cwdOf(manifest)));
      if (node?.kind !== 'file') throw new UsageError('usage', `The session has no file '${path}'.`);
      if (node.original !== null)
        throw new UsageError(
          'usage',
          `'${path}' holds what a file of the image does: only Python can read it.`,
        );
      return core.stored.content(manifest, node);
    });
  }

  async write(path: string, content: Uint8Array | string): Promise<void> {
    const { core, call } = this.#parts;
    asked(path, '/');
    if (/(^|\/)\.{0,2}$/.test(path)) throw unfit(path, 'names no file');
    // As it is now.
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content.slice();
    return call(async () => {
      const target = asked(path, path.startsWith('/') ? '/' : cwdOf(await this.#present()));
      await core.change([{ path: target, bytes }]);
    });
  }

  remove(path: string): Promise<boolean> {
    const { core, call } = this.#parts;
    return call(async () => {
      const manifest = await this.#present();
      const cwd = cwdOf(manifest);
      const target = asked(path, cwd);
      if (target === cwd || isBelow(cwd, target))
        throw unfit(path, 'has the working folder in it, which has to stay');
      if (!nodesOf(manifest).some((node) => node.path === target || isBelow(node.path, target))) return false;
      await core.change([{ path: target, bytes: null }]);
      return true;
    });
  }

  watch(listener: (changes: readonly FileChange[]) => void): () => void {
    const { core, fault } = this.#parts;
    const watcher: Watcher = (before, after) => {
      const changes = changesBetween(before, after);
      if (changes.length === 0) return;
      try {
        listener(changes);
      } catch (error) {
        fault(error);
      }
    };
    core.watchers.add(watcher);
    return () => void core.watchers.delete(watcher);
  }

  #look<T>(look: (manifest: Manifest) => T | Promise<T>): Promise<T> {
    return this.#parts.call(async () => look(await this.#present()));
  }

  async #present(): Promise<Manifest> {
    await this.#parts.core.settle();
    return this.#parts.core.stored.manifest();
  }
}

/** By path, relative to the working folder of `after`, and below it. */
export function changesBetween(before: Manifest, after: Manifest): FileChange[] {
  const cwd = cwdOf(after);
  const [old, now] = [before, after].map((manifest) => {
    const nodes = nodesOf(manifest).filter((node) => isBelow(node.path, cwd));
    return new Map(nodes.map((node) => [node.path, contentOf(manifest, node)]));
  });
  const changes: FileChange[] = [];
  for (const [path, content] of now ?? []) {
    const was = old?.get(path);
    const kind = was === undefined ? 'created' : 'changed';
    if (was !== content) changes.push({ kind, path: relative(path, cwd) });
  }
  for (const path of old?.keys() ?? [])
    if (!now?.has(path)) changes.push({ kind: 'removed', path: relative(path, cwd) });
  return changes.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Equal for what nobody has changed: that a file was written again, or that something in a folder changed, doesn't count. */
function contentOf(manifest: Manifest, node: DeltaNode): string {
  const { kind, mode, target, original } = node;
  return JSON.stringify([kind, mode, target, original, blobsOf(manifest, node)]);
}

function cwdOf({ header }: Manifest): string {
  return header?.tree.cwd ?? homeFolder;
}

/** Those that are in a folder. */
function nodesOf({ header }: Manifest): DeltaNode[] {
  return (header?.tree.nodes ?? []).filter(({ path }) => path !== '');
}

function nodeAt(manifest: Manifest, path: string): DeltaNode | undefined {
  return nodesOf(manifest).find((node) => node.path === path);
}

/** The file that a path leads to, by the links in it. */
function followed(manifest: Manifest, path: string): DeltaNode | undefined {
  const nodes = new Map(nodesOf(manifest).map((node) => [node.path, node]));
  let at: string[] = [];
  let left = path.split('/');
  for (let links = 0; ; ) {
    const part = left.shift();
    if (part === undefined) return nodes.get(`/${at.join('/')}`);
    if (part === '..') at.pop();
    if (part === '' || part === '.' || part === '..') continue;
    const node = nodes.get(`/${[...at, part].join('/')}`);
    if (node?.kind !== 'link') at.push(part);
    else {
      if (++links > maxLinks) return undefined;
      if (node.target.startsWith('/')) at = [];
      left = [...node.target.split('/'), ...left];
    }
  }
}

function fileOf({ path, kind, size, mtimeMs }: DeltaNode, cwd: string): SessionFile {
  return { path: relative(path, cwd), kind, size, modifiedAt: mtimeMs };
}

/** What a caller names, absolute. The worker ends with a path that its protocol doesn't have. Throws `usage`. */
function asked(path: string, cwd: string): string {
  if (typeof path !== 'string' || !path.isWellFormed() || path.includes('\0'))
    throw unfit(path, 'is no path');
  const { maxPathBytes } = protocolLimits;
  const full = absolute(path, cwd);
  if (full.length > maxPathBytes || new TextEncoder().encode(full).length > maxPathBytes)
    throw unfit(path, `is longer than ${maxPathBytes} bytes`);
  return full;
}

function unfit(path: unknown, why: string): UsageError {
  const text = String(path);
  const shown = JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
  return new UsageError('usage', `files: ${shown} ${why}.`);
}

/** Without `.` and `..`. */
function absolute(path: string, cwd: string): string {
  const segments: string[] = [];
  for (const segment of (path.startsWith('/') ? path : `${cwd}/${path}`).split('/')) {
    if (segment === '..') segments.pop();
    else if (segment !== '' && segment !== '.') segments.push(segment);
  }
  return `/${segments.join('/')}`;
}

function relative(path: string, cwd: string): string {
  return isBelow(path, cwd) ? path.slice(cwd === '/' ? 1 : cwd.length + 1) : path;
}

function isBelow(path: string, folder: string): boolean {
  return path.startsWith(folder === '/' ? '/' : `${folder}/`);
}
