import type { BuildPackages } from '../protocol/messages.ts';
import type { Progress } from '../runtime.ts';

/** Which interpreter a worker holds: the standard library alone, or with packages frozen into it. */
export interface ImageSource {
  /** Part of the image's fingerprint, and what workers are told apart by. Empty for the standard library alone. */
  readonly lockHash: string;
  /** For messages: `numpy`, `stdlib`, a file name. */
  readonly name: string;
  /** A finished image file: it is used as it is or refused. */
  readonly path?: string;
  /**
   * What an image is built from. Called only when there is none: wheels are fetched then. Rejects with `InstallError`.
   * `wheels[].url` are `file:` URLs of verified wheels.
   */
  load(options: { signal?: AbortSignal; onProgress?: (progress: Progress) => void }): Promise<BuildPackages>;
}

/** The standard library alone. */
export const stdlibImage: ImageSource = {
  lockHash: '',
  name: 'stdlib',
  load: () => Promise.resolve({ wheels: [], imports: [], warm: [] }),
};
