/** `vivarium`: what programs name whatever platform they run on. Types, errors and the protocol's version. */
export { type ErrorCode, errorCodes, type Fault, isErrorCode } from './errors/codes.ts';
export {
  InstallError,
  type InstallFailure,
  type InstallReason,
  InternalError,
  LimitError,
  PythonError,
  SessionError,
  UsageError,
  VivariumError,
  type VivariumErrorOptions,
  WorkerError,
} from './errors/errors.ts';
export { protocolVersion } from './protocol/messages.ts';
export { DataFrame, Series } from './protocol/tables.ts';
export { PythonRepr } from './protocol/values.ts';
export type {
  Column,
  Execution,
  ExecutionMemory,
  ExecutionStatus,
  ExecutionTimings,
  FreezeReason,
  Isolation,
  NdArray,
  OutputFile,
  Progress,
  PythonErrorInfo,
  PythonFrame,
  RecycleReason,
  RestartReason,
  RichResult,
  Run,
  RunEvent,
  RunLimits,
  RunOptions,
  Runtime,
  RuntimeEvent,
  RuntimeStats,
  RuntimeStatus,
  SessionEvent,
  SomeLimits,
  TypedArray,
  Value,
  WorkerHealth,
  WorkerStats,
} from './runtime.ts';
export type {
  Checkpoint,
  FileChange,
  Session,
  SessionFile,
  SessionFiles,
  SessionInfo,
  SessionOptions,
  SessionRunOptions,
} from './session.ts';
