/** `vivarium/protocol`: the messages between a host and a worker, their framing, parsing and values. */
export type { Message } from './envelope.ts';
export { executionToJson } from './execution-json.ts';
export { encodeFrame, FrameDecoder } from './frames.ts';
export { protocolLimits } from './limits.ts';
export {
  type AnswerMessage,
  type AskMessage,
  type BuildPackages,
  type DisplayMessage,
  type ErrorMessage,
  type HostMessage,
  type ImageMessage,
  type InitMessage,
  type InitOptions,
  type InterruptMessage,
  type OutputMessage,
  type PingMessage,
  type PongMessage,
  type ProgressMessage,
  protocolVersion,
  type Question,
  type ReadyMessage,
  type ResultMessage,
  type RewoundMessage,
  type RunMessage,
  type ShutdownMessage,
  type StopReason,
  type WireError,
  type WirePythonError,
  type WorkerMessage,
} from './messages.ts';
export { checkVersion, parseHostMessage, parseWorkerMessage } from './parse.ts';
export { ProtocolError } from './protocol-error.ts';
export { decodeValue, type EncodeOptions, encodeValue } from './value-codec.ts';
export { valueToJson } from './value-json.ts';
export { PythonRepr, type WireValue } from './values.ts';
