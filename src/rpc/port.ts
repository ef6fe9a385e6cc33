import type { Message } from '../protocol/envelope.ts';

/**
 * The pipe a platform supplies. Messages are plain objects with optional `parts: Uint8Array[]`; what arrives is unknown.
 * A port starts delivering when `onMessage` is set, so set `onClose` before. `onClose` is called once, with the reason
 * when there is one: a `ProtocolError` when the other side broke the protocol.
 */
export interface Port {
  send(message: Message): void;
  onMessage: ((message: unknown) => void) | undefined;
  onClose: ((error?: Error) => void) | undefined;
  close(): void;
}
