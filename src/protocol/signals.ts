import type { StopReason } from './messages.ts';

/**
 * The shared words through which the other thread of a worker talks to a kernel that is computing, and watches it.
 * Indices into an `Int32Array` over a `SharedArrayBuffer`.
 */
export const signalWords = { interrupt: 0, heapPages: 1, length: 2 } as const;

const stopCodes: readonly (StopReason | null)[] = [null, 'interrupted', 'timeout', 'cpu'];

export function stopCode(reason: StopReason): number {
  return stopCodes.indexOf(reason);
}

/** Any word that isn't known stands for an interrupt. */
export function stopReasonOf(code: number): StopReason | null {
  return code === 0 ? null : (stopCodes[code] ?? 'interrupted');
}
