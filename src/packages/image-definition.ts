import { pathToFileURL } from 'node:url';
import type { BuildPackages } from '../protocol/messages.ts';
import { fail, list, object, text } from '../protocol/read.ts';
import type { ImageSource } from './image-source.ts';
import {
  checkLockFits,
  defaultImports,
  type Lock,
  lockHash,
  matching,
  parseLock,
  readOrInstallError,
} from './lock.ts';
import { topLevelModules, vetWheel } from './vet-wheel.ts';
import type { CachedWheel, WheelCache } from './wheel-cache.ts';

/** An image as data: all that decides what is in it, beside the interpreter. */
export interface ImageDefinition {
  name: string;
  /** As asked for. */
  requirements: string[];
  lock: Lock;
  /** Modules that are imported before the image is taken. */
  imports: string[];
  /** Scripts that are run and forgotten before the image is taken. */
  warm: { filename: string; code: string }[];
}

const line = matching(/^[^\0\n]+$/, 'one line', 2000);
const readDefinition = object<ImageDefinition>({
  name: matching(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'letters, digits, dots, dashes and underscores', 64),
  requirements: list(2000, line),
  lock: (value, at) => parseLock(value, at),
  imports: list(2000, matching(/^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/, 'the name of a module', 200)),
  warm: list(100, object({ filename: line, code: text(1024 * 1024) })),
});

/** Throws `InstallError` (`bad_lock`). */
export function parseImageDefinition(input: unknown, at = 'image definition'): ImageDefinition {
  return readOrInstallError(
    at,
    'bad_lock',
    () => {
      if (typeof input !== 'string') return readDefinition(input, at);
      let json: unknown;
      try {
        json = JSON.parse(input);
      } catch {
        fail(at, 'is not JSON');
      }
      return readDefinition(json, at);
    },
    'build the image again',
  );
}

export function encodeImageDefinition(definition: ImageDefinition): string {
  const { name, requirements, lock, imports, warm } = definition;
  return `${JSON.stringify({ name, requirements, lock, imports, warm }, undefined, 2)}\n`;
}

/** The image of a lock, with what its requirements are about imported. */
export function defineImage(
  name: string,
  lock: Lock,
  options: { imports?: readonly string[]; warm?: ImageDefinition['warm'] } = {},
): ImageDefinition {
  const { imports = defaultImports(lock), warm = [] } = options;
  return { name, requirements: [...lock.requirements], lock, imports: [...imports], warm: [...warm] };
}

/** What engines start workers from. Wheels are fetched when the image has to be built. */
export function imageSource(definition: ImageDefinition, wheels: WheelCache): ImageSource {
  const { name, lock, imports, warm } = definition;
  return {
    name,
    lockHash: lockHash({ packages: lock.packages, imports, warm }),
    async load(options): Promise<BuildPackages> {
      checkLockFits(lock, await wheels.pyodide(), `the lock of ${name}`);
      const found = await wheels.fetch(lock.packages, { ...options, hold: true });
      return {
        wheels: found.map(({ package: { fileName }, path }) => ({ fileName, url: pathToFileURL(path).href })),
        imports: realImports(definition, found),
        warm,
      };
    },
  };
}

/**
 * Locks of Pyodide name modules that aren't there (`python_docx` for `docx`): the modules of the wheel stand in for
 * them. Modules that no package claims are the caller's word and stay.
 */
function realImports({ lock, imports }: ImageDefinition, wheels: readonly CachedWheel[]): string[] {
  const claims = new Map(lock.packages.flatMap((one) => one.imports.map((name) => [name, one.sha256])));
  const real = imports.flatMap((name) => {
    const wheel = wheels.find((one) => one.package.sha256 === claims.get(name));
    if (wheel === undefined) return [name];
    const modules = topLevelModules(vetWheel(wheel.bytes, wheel.package.fileName, wheel.package.name));
    return modules.includes(name) ? [name] : modules;
  });
  return [...new Set(real)];
}
