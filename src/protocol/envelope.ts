import type { HostMessage, WireError, WorkerMessage } from './messages.ts';
import { ProtocolError } from './protocol-error.ts';

export type Message = HostMessage | WorkerMessage;

/**
 * A message as JSON-RPC 2.0, by its kind:
 *
 *     request       { jsonrpc, method: kind, id, params: {…rest} }
 *     notification  { jsonrpc, method: kind, params: {id, …rest} }     `id` is the run's, where the message has one
 *     reply         { jsonrpc, id, result: {kind, …rest} }
 *     error         { jsonrpc, id | null, error: {code, message, data: WireError} }
 *
 * Each has `parts: [lengths…]` when binary parts follow, and `auth` when the sender has a token.
 */
export const forms: Readonly<Record<Message['kind'], 'request' | 'notification' | 'reply' | 'error'>> = {
  init: 'request',
  run: 'request',
  freeze: 'request',
  rewind: 'request',
  change_files: 'request',
  // All but its last are without an answer.
  thaw: 'request',
  ping: 'request',
  interrupt: 'notification',
  answer: 'notification',
  shutdown: 'notification',
  image: 'notification',
  progress: 'notification',
  stdout: 'notification',
  stderr: 'notification',
  display: 'notification',
  ask: 'notification',
  rewound: 'notification',
  delta: 'notification',
  ready: 'reply',
  frozen: 'reply',
  thawed: 'reply',
  changed: 'reply',
  result: 'reply',
  pong: 'reply',
  error: 'error',
};

/** What stands in the envelope beside the message. */
interface Extras {
  /** Lengths of the binary parts. */
  parts?: number[];
  auth?: string;
}

export function toEnvelope(message: Message, auth: string | undefined): Extras & Record<string, unknown> {
  const { parts, ...flat }: { kind: Message['kind']; id?: string | null; parts?: Uint8Array[] } = message;
  const extras: Extras = {};
  if (parts !== undefined && parts.length > 0) extras.parts = parts.map((part) => part.byteLength);
  if (auth !== undefined) extras.auth = auth;
  if (message.kind === 'error') {
    const { code, message: text } = message.error;
    const error = { code: rpcCode(code), message: text, data: message.error };
    return { jsonrpc: '2.0', id: message.id, error, ...extras };
  }
  const { kind, ...params } = flat;
  if (forms[kind] === 'notification') return { jsonrpc: '2.0', method: kind, params, ...extras };
  const { id, ...rest } = params;
  if (forms[kind] === 'request') return { jsonrpc: '2.0', method: kind, id, params: rest, ...extras };
  return { jsonrpc: '2.0', id, result: { kind, ...rest }, ...extras };
}

/** Integers for readers that know JSON-RPC only; ours read `data`. */
function rpcCode(code: WireError['code']): number {
  if (code === 'usage') return -32602;
  return code === 'internal' ? -32603 : -32000;
}

/** The flat message, still to be parsed, without its parts. Throws `ProtocolError`. */
export function fromEnvelope(json: unknown): Extras & { message: Record<string, unknown> } {
  const { jsonrpc, method, id, params, result, error, parts, auth, ...rest } = record(json, 'envelope');
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw new ProtocolError(`envelope: unknown field '${unknown.slice(0, 40)}'`);
  if (jsonrpc !== '2.0') throw new ProtocolError('envelope.jsonrpc: must be "2.0"');
  const extras: Extras = {};
  if (parts !== undefined) extras.parts = lengths(parts);
  if (auth !== undefined) {
    if (typeof auth !== 'string') throw new ProtocolError('envelope.auth: must be a string');
    extras.auth = auth;
  }
  const given = [method, result, error].filter((field) => field !== undefined);
  if (given.length !== 1) throw new ProtocolError('envelope: needs one of method, result, error');
  if (error !== undefined) {
    if (params !== undefined) throw new ProtocolError('envelope: params belong to a method');
    return { ...extras, message: { kind: 'error', id, error: record(error, 'envelope.error').data } };
  }
  if (result !== undefined) {
    if (params !== undefined) throw new ProtocolError('envelope: params belong to a method');
    const { kind, ...fields } = record(result, 'envelope.result');
    return { ...extras, message: flat(kind, 'reply', fields, { id }) };
  }
  const fields = record(params, 'envelope.params');
  if (id === undefined) return { ...extras, message: flat(method, 'notification', fields, {}) };
  return { ...extras, message: flat(method, 'request', fields, { id }) };
}

/** One object of the three; a field that the envelope gives may not be given a second time. */
function flat(
  kind: unknown,
  form: string,
  fields: Record<string, unknown>,
  outer: { id?: unknown },
): Record<string, unknown> {
  if (typeof kind !== 'string' || !Object.hasOwn(forms, kind) || forms[kind as Message['kind']] !== form) {
    throw new ProtocolError(`envelope: ${JSON.stringify(kind)?.slice(0, 40)} is no ${form}`);
  }
  for (const key of ['kind', 'parts', ...Object.keys(outer)]) {
    if (Object.hasOwn(fields, key)) throw new ProtocolError(`envelope: '${key}' given twice`);
  }
  return { ...fields, ...outer, kind };
}

function lengths(value: unknown): number[] {
  if (!Array.isArray(value)) throw new ProtocolError('envelope.parts: must be an array');
  const bad = value.findIndex((length) => !Number.isSafeInteger(length) || length < 0);
  if (bad !== -1) throw new ProtocolError(`envelope.parts[${bad}]: must be a length`);
  return value;
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new ProtocolError(`${what}: must be an object`);
}
