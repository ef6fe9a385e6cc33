import { inflateSync } from 'fflate';
import { unsafe, vetWheel } from './vet-wheel.ts';

/**
 * The files of a wheel by path under `site-packages`, in the order of their paths: see `vetWheel` for what is refused and
 * what is left out. Neutral code. Throws `InstallError` (`unsafe_wheel`), also when a member isn't what it is said to be.
 */
export function unpackWheel(bytes: Uint8Array, fileName = 'wheel'): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (const { path, entry } of vetWheel(bytes, fileName)) {
    files.set(path, entry.deflated ? inflate(entry.packed, entry.size) : entry.packed.slice());
  }
  return files;

  function inflate(packed: Uint8Array, size: number): Uint8Array {
    // One byte of room more than declared tells a member that is larger; fflate writes nothing past the end.
    const room = new Uint8Array(size + 1);
    let unpacked: Uint8Array;
    try {
      unpacked = inflateSync(packed, { out: room });
    } catch (error) {
      throw unsafe(fileName, '', `is damaged: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (unpacked.length !== size) throw unsafe(fileName, '', 'unpacks to another size than it says');
    return unpacked;
  }
}
