import { lockPackages, openImages, readLock, readRequirements, writeLock, writePylock } from '../node.ts';
import { asUsage, createDesk } from './desk.ts';
import type { ImageHost } from './image.ts';
import type { LockHost } from './lock.ts';

/** The real streams, files and images. */
export function createPackagesHost(): ImageHost & LockHost {
  return {
    ...createDesk(),
    lockPackages: (requirements, options) => asUsage(() => lockPackages(requirements, options)),
    openImages: (options) => asUsage(() => openImages(options)),
    readLock,
    readRequirements,
    writeLock,
    writePylock,
  };
}
