/**
 * The pipe a platform supplies. Messages are plain objects with optional `parts: Uint8Array[]`; what arrives is unknown.
 * A port starts delivering when `onMessage` is set. `onClose` is called once, with the reason when there is one.
 */
export interface Port {
  send(message: { parts?: Uint8Array[] }): void;
  onMessage: ((message: unknown) => void) | undefined;
  onClose: ((error?: Error) => void) | undefined;
  close(): void;
}
