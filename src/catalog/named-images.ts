import { randomUUID } from 'node:crypto';
import { access, mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { InstallError } from '../errors/errors.ts';
import { decodePrelude, preludeBytes, readHeader } from '../image/format.ts';
import { ImageError, type ImageHeader } from '../image/header.ts';
import { encodeImageDefinition, type ImageDefinition } from '../packages/image-definition.ts';
import type { ImageSource } from '../packages/image-source.ts';
import { isRecipe } from '../packages/recipes.ts';
import { isDiskError } from '../util/disk-error.ts';
import { trace } from '../util/trace.ts';

export type NamedImage = { kind: 'file'; path: string } | { kind: 'definition'; path: string };

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Throws `InstallError` when nothing may be called so. */
export function checkImageName(name: string): void {
  const [problem, suggestion] = !namePattern.test(name)
    ? ['is no name for an image', 'use letters, digits, dots, dashes and underscores, at most 64']
    : name.endsWith('.image')
      ? ['would be taken for a path', 'leave out the ending']
      : isRecipe(name)
        ? ['is the name of a recipe', 'use another name']
        : [];
  if (problem === undefined || suggestion === undefined) return;
  throw new InstallError(`${JSON.stringify(name)} ${problem}: ${suggestion}.`, {
    reason: 'bad_requirement',
    package: '',
    suggestion,
  });
}

/** A path is told from a name by its separators or its ending. */
export function isImagePath(text: string): boolean {
  return /[\\/]/.test(text) || text.endsWith('.image');
}

/**
 * Images that people gave a name: by what they are built from, so that another version of Vivarium can build them anew,
 * or as a file that was imported.
 */
export class NamedImages {
  readonly #dir: string;

  constructor(cacheDir: string) {
    this.#dir = join(cacheDir, 'images', 'named');
  }

  async find(name: string): Promise<NamedImage | undefined> {
    if (!namePattern.test(name)) return undefined;
    for (const [kind, ending] of [
      ['definition', 'json'],
      ['file', 'image'],
    ] as const) {
      const path = join(this.#dir, `${name}.${ending}`);
      if (await exists(path)) return { kind, path };
    }
    return undefined;
  }

  async list(): Promise<string[]> {
    const files = await readdir(this.#dir).catch(() => []);
    const names = files.filter((file) => /\.(json|image)$/.test(file));
    return [...new Set(names.map((file) => file.replace(/\.(json|image)$/, '')))].sort();
  }

  /** Replaces what had that name. Rejects with `InstallError` when the name is none. */
  async define(definition: ImageDefinition): Promise<void> {
    const path = await this.#place(definition.name, 'json');
    const temporary = `${path}.${randomUUID()}.tmp`;
    await writeFile(temporary, encodeImageDefinition(definition), { mode: 0o600 });
    trace('lock.writing', { temporary, path });
    await rename(temporary, path);
    await rm(join(this.#dir, `${definition.name}.image`), { force: true });
  }

  /** Where the file of an image goes that is being imported; moved there whole by the caller. */
  async placeOfFile(name: string): Promise<string> {
    return this.#place(name, 'image');
  }

  /** After an import: the file is what has the name now. */
  async forgetDefinition(name: string): Promise<void> {
    await rm(join(this.#dir, `${name}.json`), { force: true });
  }

  /** False when there was none. */
  async remove(name: string): Promise<boolean> {
    const found = await this.find(name);
    if (found !== undefined) await rm(found.path, { force: true });
    return found !== undefined;
  }

  async #place(name: string, ending: 'json' | 'image'): Promise<string> {
    checkImageName(name);
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    return join(this.#dir, `${name}.${ending}`);
  }
}

/** An image file as it is. Rejects with `InstallError` when it is none. */
export async function sourceOfFile(path: string, name: string = basename(path)): Promise<ImageSource> {
  const { fingerprint } = await headerOfFile(path);
  return {
    lockHash: fingerprint.lockHash,
    name,
    path: resolve(path),
    load: () => Promise.reject(new Error('an image file is not built')),
  };
}

/** Rejects with `InstallError` when the file is missing or no image. Checksums aren't looked at. */
export async function headerOfFile(path: string): Promise<ImageHeader> {
  try {
    // Opening a pipe would wait for its writer.
    if (!(await stat(path)).isFile()) throw new ImageError('it is no file');
    await using file = await open(path);
    const { size } = await file.stat();
    const prelude = new Uint8Array(Math.min(preludeBytes, size));
    await file.read(prelude, 0, prelude.length, 0);
    const { headerBytes, filesOffset } = decodePrelude(prelude, size);
    const first = new Uint8Array(preludeBytes + headerBytes);
    await file.read(first, 0, first.length, 0);
    return readHeader(first, size - filesOffset);
  } catch (error) {
    if (!(error instanceof ImageError) && !isDiskError(error)) throw error;
    const missing = 'code' in error && error.code === 'ENOENT';
    const suggestion = missing
      ? 'check the path'
      : 'build it again with vivarium image build, or import it again';
    const why = missing ? 'there is no such file' : error.message;
    throw new InstallError(
      `The image ${path} can't be used: ${why}; ${suggestion}.`,
      { reason: missing ? 'not_found' : 'bad_lock', package: '', suggestion },
      error,
    );
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
