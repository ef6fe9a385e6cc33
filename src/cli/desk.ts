import { usage } from './values.ts';
import type { Desk } from './work.ts';

/** A second Ctrl-C counts only after this: a launcher may forward the signal that the terminal sent to us both. */
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

/** Options come from flags and environment variables, so they are the caller's. */
export async function asUsage<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof TypeError && error.message.startsWith('createRuntime: ')) throw usage(error.message);
    throw error;
  }
}

function onInterrupt(listener: () => void): () => void {
  let last = Number.NEGATIVE_INFINITY;
  const handle = () => {
    const now = performance.now();
    if (now - last > doublePressMs) listener();
    last = now;
  };
  process.on('SIGINT', handle);
  return () => process.off('SIGINT', handle);
}
