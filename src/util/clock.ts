/** A timer under way; `using` cancels it too. Cancelling twice, or after it has fired, does nothing. */
export interface Timer extends Disposable {
  cancel(): void;
}

/** The only source of time outside the kernel, so that tests own it. */
export interface Clock {
  /** Monotonic milliseconds from an arbitrary origin. */
  now(): number;
  /** Calls `callback` once, `ms` from now. `Infinity` never fires. `unref`: does not keep the process alive. */
  setTimeout(callback: () => void, ms: number, options?: { unref?: boolean }): Timer;
}

/** Beyond this a platform timer fires at once, so longer waits are cut to it: 24.8 days. */
const longestMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout(callback, ms, options) {
    const handle: unknown =
      ms === Infinity ? undefined : setTimeout(callback, Math.min(Math.max(ms, 0), longestMs));
    if (options?.unref === true && hasUnref(handle)) handle.unref();
    const cancel = () => clearTimeout(handle as Parameters<typeof clearTimeout>[0]);
    return { cancel, [Symbol.dispose]: cancel };
  },
};

/** Browsers' timers are numbers. */
function hasUnref(handle: unknown): handle is { unref(): void } {
  return typeof handle === 'object' && handle !== null && 'unref' in handle;
}

/** Resolves after `ms`, and keeps the process alive until then. */
export function delay(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimeout(resolve, ms);
  });
}
