import { protocolLimits } from './limits.ts';
import { ProtocolError } from './protocol-error.ts';
import { decodeUtf8 } from './text.ts';

/**
 * JSON from the other side of the border. Size, nesting and number of containers are checked before anything is
 * built. Keys such as `__proto__` come out as own properties: copy objects by `Object.fromEntries` or spread,
 * never by assignment.
 */
export function parseJson(
  source: Uint8Array | string,
  what: string,
  maxDepth: number = protocolLimits.maxJsonDepth,
): unknown {
  if (source.length > protocolLimits.maxJsonBytes) {
    throw new ProtocolError(
      `${what}: JSON of ${source.length} bytes, at most ${protocolLimits.maxJsonBytes}`,
    );
  }
  const text = typeof source === 'string' ? source : utf8(source, what);
  checkNesting(text, what, maxDepth);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ProtocolError(`${what}: not JSON`, { cause });
  }
}

function utf8(bytes: Uint8Array, what: string): string {
  try {
    return decodeUtf8(bytes);
  } catch (cause) {
    throw new ProtocolError(`${what}: not UTF-8`, { cause });
  }
}

const [quote, backslash] = [0x22, 0x5c];
const [openArray, closeArray, openObject, closeObject] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Counts brackets outside strings; anything else is left to `JSON.parse`. Linear, and strings are skipped fast. */
function checkNesting(text: string, what: string, maxDepth: number): void {
  let depth = 0;
  let containers = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === quote) {
      at = endOfString(text, at);
    } else if (char === openArray || char === openObject) {
      containers++;
      if (++depth > maxDepth) {
        throw new ProtocolError(`${what}: JSON nested deeper than ${maxDepth}`);
      }
    } else if (char === closeArray || char === closeObject) {
      depth--;
    }
  }
  if (containers > protocolLimits.maxJsonContainers) {
    throw new ProtocolError(
      `${what}: ${containers} JSON containers, at most ${protocolLimits.maxJsonContainers}`,
    );
  }
}

/** Index of the quote that closes the string opened at `start`, or the text's length. */
function endOfString(text: string, start: number): number {
  for (let at = start; ; ) {
    at = text.indexOf('"', at + 1);
    if (at === -1) return text.length;
    let escapes = 0;
    while (text.charCodeAt(at - 1 - escapes) === backslash) escapes++;
    if (escapes % 2 === 0) return at;
  }
}
