/** A flat message as JSON; a number in its `parts` stands for a part of that length. */
import type { Message } from '../../../src/protocol/envelope.ts';
import { encodeFrame, FrameDecoder } from '../../../src/protocol/frames.ts';
import { parseHostMessage, parseWorkerMessage } from '../../../src/protocol/parse.ts';
import { ProtocolError } from '../../../src/protocol/protocol-error.ts';
import { sampleMessages } from '../sample-messages.ts';
import { bytesOf, ensure, refusable, sameJson, textOf } from '../target.ts';

const maxPartBytes = 1000;

export const sources: readonly string[] = ['protocol/parse.ts', 'protocol/read.ts'];
export const json = true;
export const maxBytes = 262_144;
export const seeds: readonly Uint8Array[] = sampleMessages.map((message) =>
  bytesOf(JSON.stringify(message, (_, item: unknown) => (item instanceof Uint8Array ? item.length : item))),
);
export const dictionary: readonly string[] = [
  ...sampleMessages.flatMap((message) => [message.kind, ...Object.keys(message)]),
  ...['..', '../x', 'a/../b', '/x', 'a//b', '\0', '\\', '__proto__', 'constructor', 'prototype', 'ok', 'a'],
];

export function fuzz(data: Uint8Array): void {
  const message = refusable(() => JSON.parse(textOf(data)) as unknown, SyntaxError);
  if (message === undefined) return;
  giveParts(message);
  for (const parse of [parseWorkerMessage, parseHostMessage]) {
    const parsed = refusable<Message>(() => parse(message), ProtocolError);
    if (parsed === undefined) continue;
    ensure(sameJson(parse(parsed), parsed), 'what was taken is not taken again');
    const [again] = new FrameDecoder().push(Buffer.concat(encodeFrame(parsed)));
    ensure(
      sameJson({ parts: [], ...parse(again) }, { parts: [], ...parsed }),
      'a message changed in its frame',
    );
    for (const path of pathsOf(parsed)) {
      const climbs = path.split('/').some((segment) => ['', '.', '..'].includes(segment));
      ensure(!climbs && !path.includes('\0'), `a path that is none: ${JSON.stringify(path)}`);
    }
  }
}

function giveParts(message: unknown): void {
  const { parts } = (message ?? {}) as { parts?: unknown };
  if (!Array.isArray(parts)) return;
  for (const [index, length] of parts.entries()) {
    if (Number.isInteger(length) && length >= 0 && length <= maxPartBytes)
      parts[index] = new Uint8Array(length);
  }
}

function pathsOf(message: Message): string[] {
  return message.kind === 'result' || message.kind === 'run' ? message.files.map(({ path }) => path) : [];
}
