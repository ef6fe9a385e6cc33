import { vi } from 'vitest';
import type { Run } from '../../src/runtime.ts';

/** Waits until a run has printed a line, and returns without stopping it. */
export async function printed(run: Run): Promise<void> {
  for await (const event of run) if (event.type === 'stdout' && event.text.includes('\n')) return;
}

/** Waits until it doesn't throw: long enough for a machine that is busy. */
export function eventually<T>(look: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(look, { timeout: 120_000, interval: 20 });
}
