import { createDesk } from './desk.ts';
import type { SessionsHost } from './sessions.ts';
import { createSingle } from './single-runtime.ts';

/** The real streams and store. */
export function createSessionsHost(): SessionsHost {
  return {
    ...createDesk(),
    createRuntime: ({ mirror, offline, engine }, work) =>
      createSingle(
        { ...(mirror !== undefined && { mirror }), ...(offline && { offline }), ...(engine && { engine }) },
        work,
      ),
    get stdin() {
      return process.stdin;
    },
    stdoutIsTerminal: process.stdout.isTTY === true,
  };
}
