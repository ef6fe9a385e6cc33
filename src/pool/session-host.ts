import type { ImageSource } from '../packages/image-source.ts';
import type { Session, SessionInfo, SessionOptions, SessionRunOptions } from '../session.ts';
import type { ImageRequest } from './images.ts';
import type { Job } from './job.ts';

/** What has the sessions of one pool, for the runtimes on it. */
export interface SessionHost {
  open(id: string, options: SessionOptions | undefined, opener: SessionOpener): Promise<Session>;
  list(options: { tenant?: string | undefined } | undefined): Promise<SessionInfo[]>;
  remove(id: string, options: { tenant?: string | undefined } | undefined): Promise<void>;
  /** Runs the job, which was taken in, on the state that these bytes are. It's settled when this has resolved. */
  carry(job: Job, bytes: Uint8Array): Promise<void>;
  /** Lets go of what this one has opened. */
  leave(opener: SessionOpener): Promise<void>;
  /** Freezes all. Resolves when every worker has been given back and the store is closed. */
  close(): Promise<void>;
}

/** The runtime that opens sessions. */
export interface SessionOpener {
  /** Throws `closed`. */
  assertOpen(): void;
  /** What is asked for, or the runtime's own. Rejects as runs do. */
  find(request: ImageRequest | undefined): Promise<ImageSource>;
  /** Takes in a run, or a prompt's question, that will be started by its session. It may be settled at once: refused, or ill-typed. */
  take(
    code: string,
    options: SessionRunOptions | undefined,
    of: { tenant: string; image: ImageSource; question?: 'check' | 'complete' | undefined },
  ): TakenRun;
}

export interface TakenRun {
  readonly job: Job;
  /** Resolves when the run's files are read, or it's settled before. */
  readonly ready: Promise<void>;
}
