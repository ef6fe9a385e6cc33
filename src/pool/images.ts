import type { FetchBudget } from '../packages/fetch-budget.ts';
import type { ImageSource } from '../packages/image-source.ts';
import type { Progress, PythonErrorInfo } from '../runtime.ts';

/** What a run may ask for instead of the runtime's own image. */
export interface ImageRequest {
  image?: string;
  packages?: readonly string[];
}

/** Knows images by name, path and requirements. Rejects with `InstallError` or `UsageError`. */
export interface ImageFinder {
  find(
    request: ImageRequest,
    options: { signal: AbortSignal; onProgress: (progress: Progress) => void },
  ): Promise<ImageSource>;
}

/** Gets what a run asks for while it runs, as the runtime's policy allows. Rejects with `InstallError`. */
export interface Installer {
  install(
    requirements: readonly string[],
    context: {
      image: ImageSource;
      signal: AbortSignal;
      onProgress: (progress: Progress) => void;
      /** Of the run: how much may be fetched for it in all. */
      budget: FetchBudget;
    },
  ): Promise<Installed>;
}

export interface Installed {
  packages: { name: string; version: string }[];
  /** Verified. */
  wheels: Uint8Array[];
}

/** What would help with what Python raised. Its text is that of hostile code. */
export type Hint = (error: PythonErrorInfo, image: ImageSource) => string | undefined;

/** Equal for sources that a worker can't tell apart. */
export function imageKey(source: ImageSource): string {
  return source.path ?? source.lockHash;
}
