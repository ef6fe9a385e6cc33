/** An error from the other side, as JSON. */
import { isErrorCode } from '../../../src/errors/codes.ts';
import { InstallError, VivariumError } from '../../../src/errors/errors.ts';
import { fromWire, toVivariumError, toWire } from '../../../src/errors/wire.ts';
import type { WireError } from '../../../src/protocol/messages.ts';
import { parseWorkerMessage } from '../../../src/protocol/parse.ts';
import { ProtocolError } from '../../../src/protocol/protocol-error.ts';
import { bytesOf, ensure, refusable, sameJson, textOf } from '../target.ts';

export const sources: readonly string[] = ['errors/wire.ts', 'errors/errors.ts', 'errors/codes.ts'];
export const json = true;
const codes = ['python', 'timeout', 'crashed', 'usage', 'install', 'internal', 'unavailable', 'protocol'];
export const dictionary: readonly string[] = [
  ...codes,
  ...[
    'code',
    'message',
    'details',
    'stack',
    'cause',
    'reason',
    'package',
    'suggestion',
    'remoteStack',
    'name',
  ],
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty'],
];
export const seeds: readonly Uint8Array[] = codes.map((code) =>
  bytesOf(
    JSON.stringify({
      code,
      message: 'why',
      details: { reason: 'network', package: 'p', suggestion: 's', list: [1, { a: null }] },
      stack: 'at x',
      cause: { code: 'toString', message: 'm', details: {}, stack: null, cause: null },
    }),
  ),
);

export function fuzz(data: Uint8Array): void {
  const error = refusable(() => JSON.parse(textOf(data)) as unknown, SyntaxError);
  const wire = refusable(() => read(error), ProtocolError);
  if (wire === undefined) return;
  const made = fromWire(wire);
  ensure(made instanceof VivariumError && toVivariumError(made) === made, 'is none of ours');
  ensure(made.code === (isErrorCode(wire.code) ? wire.code : 'internal'), `became ${made.code}`);
  ensure(typeof made.retryable === 'boolean' && typeof made.fault === 'string', 'is in no table');
  if (made instanceof InstallError) {
    const { reason, package: name, suggestion } = made.details;
    ensure(
      [reason, name, suggestion].every((text) => typeof text === 'string'),
      'an InstallError without its facts',
    );
  }
  const back = toWire(made);
  ensure(sameJson(read(JSON.parse(JSON.stringify(back))), back), 'toWire makes what is not taken');
  ensure(fromWire(back).code === made.code, 'has another code on its way back');
}

function read(error: unknown): WireError {
  const message = parseWorkerMessage({ kind: 'error', id: null, error });
  if (message.kind !== 'error') throw new TypeError(message.kind);
  return message.error;
}
