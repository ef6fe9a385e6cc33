/** What arrived, or was about to be sent, is not the protocol. `rpc/` turns it into a `WorkerError('protocol')`. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}
