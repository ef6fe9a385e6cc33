import type { Writable } from 'node:stream';
import type { WorkOptions } from '../node.ts';
import type { ProgressBar, Screen } from './progress.ts';

/** The streams and signals of this process. */
export interface Desk {
  stdout: Writable;
  stderr: Screen;
  stderrIsTerminal: boolean;
  /** Calls back for each Ctrl-C or SIGTERM with the exit code that says so; returns what stops that. */
  onInterrupt(listener: (exitCode: number) => void): () => void;
}

export interface Manners {
  quiet?: boolean;
  /** Default true. */
  progress?: boolean;
}

/** Loaded for terminals only: it costs a few milliseconds. */
export async function progressBar(manners: Manners, desk: Desk): Promise<ProgressBar | undefined> {
  if (!desk.stderrIsTerminal || manners.progress === false || manners.quiet) return undefined;
  return new (await import('./progress.ts')).ProgressBar(desk.stderr);
}

/** Does what takes a while: with progress on a terminal, until Ctrl-C or SIGTERM. Resolves with the exit code. */
export async function attend(
  manners: Manners,
  desk: Desk,
  work: (options: Required<WorkOptions>) => Promise<number>,
): Promise<number> {
  const bar = await progressBar(manners, desk);
  const abort = new AbortController();
  const { promise: interrupted, resolve } = Promise.withResolvers<number>();
  const stopListening = desk.onInterrupt((exitCode) => {
    abort.abort();
    resolve(exitCode);
  });
  try {
    const done = work({ signal: abort.signal, onProgress: (progress) => bar?.update(progress) });
    // Given up in order, as far as that is quick: nothing half made stays.
    const code = await Promise.race([done, interrupted]);
    if (abort.signal.aborted) await settledSoon(done);
    return code;
  } catch (error) {
    if (abort.signal.aborted) return interrupted;
    throw error;
  } finally {
    stopListening();
    bar?.stop();
  }
}

const graceMs = 1000;

/** Resolves when it has settled, or after a second. */
export async function settledSoon(promise: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, graceMs);
  const settled = promise.then(
    () => undefined,
    () => undefined,
  );
  await Promise.race([settled, late]);
  clearTimeout(timer);
}
