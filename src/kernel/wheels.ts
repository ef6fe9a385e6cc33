import { InstallError } from '../errors/errors.ts';
import { unpackWheel } from '../packages/unpack-wheel.ts';
import { wheelLimits } from '../packages/vet-wheel.ts';
import type { BuildPackages } from '../protocol/messages.ts';
import type { BootProgress, InstalledPackages } from './boot.ts';

/** Unpacks the wheels of a plain boot, in their order: a file of a later one wins. Throws `InstallError`. */
export function unpackWheels(
  { wheels, imports, warm }: BuildPackages,
  contents: readonly Uint8Array[],
  progress: BootProgress,
): InstalledPackages {
  const files = new Map<string, Uint8Array>();
  contents.forEach((bytes, index) => {
    const { fileName = '' } = wheels[index] ?? {};
    progress('packages', index, wheels.length, `unpacking ${fileName}`);
    for (const [path, file] of unpackWheel(bytes)) files.set(path, file);
  });
  return { wheels: wheels.map((wheel) => wheel.fileName), files, imports, warm };
}

/**
 * Unpacks the wheels of a run, whose files lie outside of Python's memory: all that it installs counts, with `taken`, as
 * one wheel would. Throws `InstallError`.
 */
export function unpackForRun(wheels: readonly Uint8Array[], taken: number): Map<string, Uint8Array>[] {
  let bytes = taken;
  return wheels.map((wheel) => {
    const files = unpackWheel(wheel);
    for (const file of files.values()) bytes += file.length;
    if (bytes > wheelLimits.maxUnpackedBytes) throw tooLarge;
    return files;
  });
}

const suggestion = 'Add the packages to those of the image.';
const tooLarge: InstallError = new InstallError(
  `What the run installs would unpack to more than ${wheelLimits.maxUnpackedBytes} bytes. ${suggestion}`,
  { reason: 'not_allowed', package: '', suggestion },
);
