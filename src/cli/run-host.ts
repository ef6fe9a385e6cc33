import { createRuntime } from '../node.ts';
import type { Runtime } from '../runtime.ts';
import { stdinKind } from './input.ts';
import type { Host, RunRequest } from './run.ts';
import { usage } from './values.ts';

export { run } from './run.ts';

/** A second Ctrl-C counts only after this: a launcher may forward the signal that the terminal sent to us both. */
const doublePressMs = 200;

/** The real streams, signals and runtime. */
export function createHost(): Host {
  return {
    createRuntime: createSingle,
    // Opened when it's read: most runs don't.
    get stdin() {
      return process.stdin;
    },
    stdinKind: stdinKind(),
    stdout: process.stdout,
    stderr: process.stderr,
    stderrIsTerminal: process.stderr.isTTY === true,
    onInterrupt,
  };
}

/** One worker, for one run: nothing to keep alive, to check or to replace. */
async function createSingle(request: RunRequest): Promise<Runtime> {
  const { engine, isolation, image, timeout, memory } = request;
  try {
    return await createRuntime({
      size: 1,
      spares: 0,
      healthCheckIntervalMs: 0,
      image,
      engine,
      isolation,
      limits: { timeoutMs: timeout, memoryBytes: memory },
    });
  } catch (error) {
    // Options come from flags and environment variables, so they are the caller's.
    if (error instanceof TypeError) throw usage(error.message);
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
