import type { Progress, Runtime } from '../runtime.ts';
import type { Session } from '../session.ts';
import { asUsage } from './desk.ts';
import type { RuntimeFlags } from './single-runtime.ts';
import { usage } from './values.ts';

export interface SessionFlags {
  /** Its name. */
  session?: string;
  /** Whether it may begin. Default true. */
  create?: boolean;
}

/** Refuses flags that a session has no use for. */
export function checkSessionFlags({ session, create, image, isolation }: SessionFlags & RuntimeFlags): void {
  if (session === undefined && create === false) throw usage('--no-create goes with --session');
  if (session === undefined) return;
  if (image === false) throw usage('--session needs an image: without one nothing can be stored');
  if (isolation !== undefined) throw usage('--isolation and --session exclude one another');
}

/** Opens the session that the flags name. */
export async function openSession(
  runtime: Runtime,
  { session = '', create, image }: SessionFlags & RuntimeFlags,
  packages: readonly string[],
  { onProgress }: { onProgress: (progress: Progress) => void },
): Promise<Session> {
  // Finding its image may take a while.
  const stop = runtime.subscribe((event) => event.type === 'progress' && onProgress(event.progress));
  try {
    return await asUsage(() =>
      runtime.session(session, {
        create,
        image: typeof image === 'string' ? image : undefined,
        packages: packages.length > 0 ? packages : undefined,
      }),
    );
  } finally {
    stop();
  }
}
