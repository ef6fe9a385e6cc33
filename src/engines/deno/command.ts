import { randomUUID } from 'node:crypto';
import { wasmPageBytes } from '../../util/wasm.ts';

/** A program to be started. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Under bubblewrap: the filter of system calls that it reads from descriptor 4; it tells of itself on descriptor 3. */
  readonly filter?: Uint8Array | undefined;
}

export interface DenoParts {
  deno: string;
  supervisor: string;
  /** What the kernel's thread reads while it boots. */
  readable: readonly string[];
  maxHeapBytes: number;
}

/** For the kernel's own JavaScript objects: files, buffers, messages. WebAssembly memory is not in it. */
const javascriptHeapMb = 512;

/**
 * Nothing of the host's environment is passed on. Without a folder of its own Deno can keep nothing either. The
 * `MALLOC_` settings make glibc give back what the boot needed only for a while.
 */
export const environment: Readonly<Record<string, string>> = {
  DENO_DIR: '/dev/null/none',
  DENO_NO_UPDATE_CHECK: '1',
  NO_COLOR: '1',
  MALLOC_MMAP_THRESHOLD_: '131072',
  MALLOC_ARENA_MAX: '2',
};

/**
 * Read permission for the kernel's own files until it has booted, nothing else, and no way to get more: no prompt, no
 * registry, no remote module, no configuration, no storage. V8 may not make code from strings.
 */
export function denoCommand({ deno, supervisor, readable, maxHeapBytes }: DenoParts): Command {
  const v8Flags = [
    `--wasm-max-mem-pages=${Math.ceil(maxHeapBytes / wasmPageBytes)}`,
    `--max-old-space-size=${javascriptHeapMb}`,
    '--disallow-code-generation-from-strings',
    // A seventh less memory, no slower.
    '--optimize-for-size',
    // For one collection, once the kernel is idle; the entry takes the function away before guest code runs.
    '--expose-gc',
  ];
  const args = [
    'run',
    '--quiet',
    '--no-prompt',
    '--no-remote',
    '--no-npm',
    '--cached-only',
    '--no-config',
    '--no-lock',
    '--node-modules-dir=none',
    '--allow-import=none.invalid',
    `--location=https://${randomUUID()}.invalid`,
    `--v8-flags=${v8Flags.join(',')}`,
    `--allow-read=${readable.map((path) => path.replaceAll(',', ',,')).join(',')}`,
    supervisor,
  ];
  return { file: deno, args, env: environment };
}
