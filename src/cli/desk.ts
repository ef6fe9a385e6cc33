import { exitCodes } from './report.ts';
import { usage } from './values.ts';
import type { Desk } from './work.ts';

/** A second one counts only after this: a launcher may forward the signal that a terminal or a supervisor sent to us both. */
const doublePressMs = 200;

/** Those of this process. */
export function createDesk(): Desk {
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    stderrIsTerminal: process.stderr.isTTY === true,
    onInterrupt,
  };
}

/** Options come from arguments, flags and environment variables, so they are the caller's. */
export async function asUsage<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof TypeError && /^(createRuntime|session): /.test(error.message))
      throw usage(error.message);
    throw error;
  }
}

function onInterrupt(listener: (exitCode: number) => void): () => void {
  let last = Number.NEGATIVE_INFINITY;
  const handle = (signal: NodeJS.Signals) => {
    const now = performance.now();
    if (now - last > doublePressMs)
      listener(signal === 'SIGTERM' ? exitCodes.terminated : exitCodes.interrupted);
    last = now;
  };
  // Not SIGHUP: to listen to it would undo what nohup does.
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.on(signal, handle);
  return () => {
    for (const signal of signals) process.off(signal, handle);
  };
}
