import { packagesOf, scriptDependencies } from '../node.ts';
import { asUsage, createDesk } from './desk.ts';
import { stdinKind } from './input.ts';
import type { Host } from './run.ts';
import { createSingle } from './single-runtime.ts';

export { run } from './run.ts';

/** The real streams, signals and runtime. */
export function createHost(): Host {
  return {
    ...createDesk(),
    createRuntime: ({ packages, session, image, ...flags }, work) =>
      // A session keeps what its interpreter is, so it's given to that.
      createSingle(session === undefined ? { ...flags, image, packages } : flags, work),
    scriptDependencies,
    packagesOf: (code, { mirror, offline, engine }, work) =>
      asUsage(() => packagesOf(code, { mirror, offline, engine, ...work })),
    // Opened when it's read: most runs don't.
    get stdin() {
      return process.stdin;
    },
    stdinKind: stdinKind(),
  };
}
