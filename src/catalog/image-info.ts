import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { InstallError } from '../errors/errors.ts';
import { readHeader, splitImage, verifyImage } from '../image/format.ts';
import { type Fingerprint, ImageError, type ImageHeader, maxImageBytes, pageBytes } from '../image/header.ts';
import { wheelParts } from '../packages/names.ts';
import { headerOfFile } from './named-images.ts';

/**
 * `ready`: it can be used. `foreign`: it is for another version of Vivarium or Pyodide. `damaged`: it is no whole image.
 * `unbuilt`: it has a name, and is built when it's used.
 */
export type ImageState = 'ready' | 'foreign' | 'damaged' | 'unbuilt';

/** What is in an image file. */
export interface ImageContent {
  packages: { name: string; version: string }[];
  /** Modules that are imported. */
  imports: string[];
  /** File names of the scripts that warmed it. */
  warm: string[];
  python: string;
  pyodide: string;
  /** Python's memory. */
  heapBytes: number;
  /** What of it isn't all zero, and lies in the file. */
  keptBytes: number;
  /** Dynamic libraries. */
  libraries: number;
  files: { count: number; bytes: number };
  /** Descriptors that are open. */
  descriptors: number;
  fingerprint: Fingerprint;
}

export interface ImageInfo {
  /** Its file's name, without the ending. */
  id: string;
  /** Given by people; of a ready-made recipe, that. */
  names: string[];
  /** Null when it is unbuilt. */
  path: string | null;
  state: ImageState;
  /** Why it isn't ready. */
  problem?: string;
  /** Null when it is unbuilt or damaged. */
  content: ImageContent | null;
  fileBytes: number;
  builtAt: Date | null;
  /** To the day. */
  usedAt: Date | null;
}

/** Looks at the header alone. Rejects with the disk's error when the file is gone. */
export async function imageInfo(path: string, installed: Fingerprint): Promise<ImageInfo> {
  const { size, mtimeMs, birthtimeMs } = await stat(path);
  const info = {
    id: basename(path).replace(/\.image$/, ''),
    names: [],
    path,
    fileBytes: size,
    // Not every file system tells when a file was made.
    builtAt: new Date(Math.min(birthtimeMs || mtimeMs, mtimeMs)),
    usedAt: new Date(mtimeMs),
  };
  try {
    const header = await headerOfFile(path);
    const problem = otherThan(header.fingerprint, installed);
    return {
      ...info,
      state: problem === undefined ? 'ready' : 'foreign',
      ...(problem !== undefined && { problem }),
      content: contentOf(header),
    };
  } catch (error) {
    if (!(error instanceof InstallError)) throw error;
    const { cause, message } = error;
    return {
      ...info,
      state: 'damaged',
      problem: cause instanceof Error ? cause.message : message,
      content: null,
    };
  }
}

/** Also looks at the checksums. */
export async function verifiedInfo(path: string, installed: Fingerprint): Promise<ImageInfo> {
  const info = await imageInfo(path, installed);
  if (info.state === 'damaged') return info;
  try {
    if (info.fileBytes > maxImageBytes) throw new ImageError(`image has more than ${maxImageBytes} bytes`);
    const file = await readFile(path);
    const image = splitImage(file);
    await verifyImage(image);
    readHeader(image.first, image.files.length);
    return info;
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    return { ...info, state: 'damaged', problem: error.message, content: null };
  }
}

function otherThan(found: Fingerprint, installed: Fingerprint): string | undefined {
  if (found.pyodide !== installed.pyodide)
    return `it is for Pyodide ${found.pyodide}, not ${installed.pyodide}`;
  if (found.buildId !== installed.buildId) return `it is for another build of Pyodide ${found.pyodide}`;
  if (found.kernelHash !== installed.kernelHash) return 'it was made by another version of Vivarium';
  return undefined;
}

function contentOf({ contents, tree, linked, pages, ...header }: ImageHeader): ImageContent {
  const { python, heapBytes, fingerprint } = header;
  return {
    packages: contents.wheels.map((file) => wheelParts(file) ?? { name: file, version: '' }),
    imports: contents.imports,
    warm: contents.warm,
    python,
    pyodide: fingerprint.pyodide,
    heapBytes,
    keptBytes: pages.reduce((sum, [, count]) => sum + count * pageBytes, 0),
    libraries: linked.libraries.length,
    files: { count: tree.files.length, bytes: tree.files.reduce((sum, [, bytes]) => sum + bytes, 0) },
    descriptors: tree.descriptors.length,
    fingerprint,
  };
}
