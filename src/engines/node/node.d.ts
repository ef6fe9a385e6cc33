/** The part of Node that the entry uses: the kernel's side is compiled without Node's types. */
declare module 'node:worker_threads' {
  export const parentPort: {
    postMessage(message: unknown, transfer: Transferable[]): void;
    on(event: 'message', listener: (message: unknown) => void): void;
  } | null;
  export const workerData: unknown;
}
