/** A size of chunks, then a stream of frames as it comes from a worker. */
import type { Message } from '../../../src/protocol/envelope.ts';
import { encodeFrame, FrameDecoder } from '../../../src/protocol/frames.ts';
import { parseHostMessage, parseWorkerMessage } from '../../../src/protocol/parse.ts';
import { ProtocolError } from '../../../src/protocol/protocol-error.ts';
import { StreamPort } from '../../../src/rpc/stream-port.ts';
import { sampleMessages as messages } from '../sample-messages.ts';
import { bytesOf, ensure, type Random, refusable, sameJson } from '../target.ts';

const auth = 'token';

export const sources: readonly string[] = [
  'protocol/frames.ts',
  'protocol/envelope.ts',
  'protocol/json.ts',
  'rpc/stream-port.ts',
];
export const seeds: readonly Uint8Array[] = messages.flatMap((message, index) => [
  Buffer.concat([Uint8Array.of(7 * index), ...encodeFrame(message)]),
  Buffer.concat([
    Uint8Array.of(255),
    ...encodeFrame(message, { auth }),
    ...encodeFrame({ kind: 'shutdown' }),
  ]),
]);
export const dictionary: readonly string[] = [
  ...['"jsonrpc":"2.0"', '"method":', '"params":{', '"result":{', '"error":{', '"parts":[', '"auth":"token"'],
  ...['"id":', '"kind":', 'null', '"data":', '"__proto__":', '{', '}', '[', ']', ',', '"', '\\'],
  ...messages.map(({ kind }) => `"${kind}"`),
];

export function fuzz(data: Uint8Array): void {
  const size = 1 + (data[0] ?? 0);
  const stream = data.subarray(1);
  const whole = decode(stream, stream.length);
  const pieces = decode(stream, size);
  ensure(sameJson(whole, pieces), 'other messages in other chunks');
  decode(stream, stream.length, auth);
  for (const message of whole.messages) survives(message);
  throughPort(stream, size);
}

/** A message that is taken goes through a frame unchanged. */
function survives(message: unknown): void {
  for (const parse of [parseWorkerMessage, parseHostMessage]) {
    const parsed = refusable<Message>(() => parse(message), ProtocolError);
    if (parsed === undefined) continue;
    const [again] = new FrameDecoder().push(Buffer.concat(encodeFrame(parsed)));
    ensure(sameJson(withoutParts(parse(again)), withoutParts(parsed)), 'a message changed in its frame');
  }
}

/** None and no list of them are the same in a frame. */
function withoutParts(message: Message): unknown {
  if (!('parts' in message) || (message.parts ?? []).length > 0) return message;
  const { parts, ...rest } = message;
  return rest;
}

function decode(stream: Uint8Array, size: number, token?: string): { messages: unknown[]; failure: string } {
  const decoder = new FrameDecoder(token === undefined ? {} : { auth: token });
  const messages: unknown[] = [];
  for (let at = 0; at < stream.length && decoder.failure === undefined; at += size) {
    const chunk = stream.slice(at, at + size);
    for (const message of refusable(() => decoder.push(chunk), ProtocolError) ?? []) messages.push(message);
    // It may be reused.
    chunk.fill(0xff);
  }
  const bytes = messages.flatMap((message) => (message as { parts?: Uint8Array[] }).parts ?? []);
  const held = bytes.reduce((sum, part) => sum + part.length, 0);
  ensure(held <= stream.length, `${held} bytes of parts from ${stream.length}`);
  return { messages, failure: decoder.failure?.message ?? '' };
}

function throughPort(stream: Uint8Array, size: number): void {
  let closed = 0;
  const port = new StreamPort({ write: () => {}, close: () => closed++ });
  let told = 0;
  port.onClose = (error) => {
    told++;
    ensure(
      error === undefined || error instanceof ProtocolError || error.message.includes('within a frame'),
      `${error}`,
    );
  };
  port.onMessage = () => ensure(closed === 0, 'a message after the end');
  for (let at = 0; at < stream.length; at += size) port.receive(stream.subarray(at, at + size));
  port.end();
  ensure(closed === 1 && told === 1, `closed ${closed} times, told ${told} times`);
}

/** Frames of right lengths around JSON that is not: the lengths would stop most of what the bytes' mutations make. */
export function mutate(data: Uint8Array, random: Random): Uint8Array | undefined {
  const stream = data.subarray(1);
  if (stream.length < 8) return undefined;
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  const jsonEnd = Math.min(stream.length, 8 + view.getUint32(4, true));
  const json = Buffer.from(stream.subarray(8, jsonEnd)).toString();
  const word = dictionary[random(dictionary.length)] ?? '';
  const at = random(json.length + 1);
  const made = bytesOf(json.slice(0, at) + word + json.slice(at + random(2) * random(20)));
  const rest = stream.subarray(jsonEnd, jsonEnd + random(40));
  const header = new DataView(new ArrayBuffer(8));
  header.setUint32(0, 4 + made.length + rest.length, true);
  header.setUint32(4, made.length, true);
  return Buffer.concat([
    data.subarray(0, 1),
    new Uint8Array(header.buffer),
    made,
    rest,
    stream.subarray(0, random(60)),
  ]);
}
