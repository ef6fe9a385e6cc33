import { unpackWheel } from '../packages/unpack-wheel.ts';
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
