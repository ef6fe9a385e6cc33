/** Mutations of inputs: of bytes, of JSON, and inputs that repeat one piece very often. */
import type { Random } from './target.ts';

/** Deterministic by its seed (mulberry32). */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return (end) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * end);
  };
}

export interface Material {
  random: Random;
  /** Other inputs, to splice with. */
  corpus: readonly Uint8Array[];
  words: readonly Uint8Array[];
  maxBytes: number;
}

const lengths = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

/** A few edits of the bytes. */
export function mutateBytes(input: Uint8Array, material: Material): Uint8Array {
  const { random, maxBytes } = material;
  let bytes = input;
  for (let edits = 1 << random(4); edits > 0; edits--) bytes = edit(bytes, material);
  return bytes.length > maxBytes ? bytes.slice(0, maxBytes) : bytes;
}

function edit(bytes: Uint8Array, { random, corpus, words }: Material): Uint8Array {
  const at = random(bytes.length + 1);
  switch (random(10)) {
    case 0:
      return changed(bytes, at, (byte) => byte ^ (1 << random(8)));
    case 1:
      return changed(bytes, at, () => random(256));
    case 2:
      return changed(bytes, at, (byte) => byte + random(33) - 16);
    case 3:
      return replaced(bytes, at, 1 + random(Math.min(64, bytes.length)), []);
    case 4:
      return replaced(bytes, at, 0, bytes.subarray(random(at + 1), at).subarray(0, 1 + random(256)));
    case 5: {
      const other = corpus[random(corpus.length)] ?? bytes;
      const from = random(other.length + 1);
      return replaced(bytes, at, random(64), other.subarray(from, from + 1 + random(256)));
    }
    case 6: {
      const other = corpus[random(corpus.length)] ?? bytes;
      return replaced(bytes, at, bytes.length, other.subarray(random(other.length + 1)));
    }
    case 7:
    case 8: {
      const word = words[random(words.length)] ?? new Uint8Array();
      return replaced(bytes, at, random(2) * word.length, word);
    }
    default: {
      const width = 1 << random(4);
      const number = random(2) === 0 ? (lengths[random(lengths.length)] ?? 0) : bytes.length + random(9) - 4;
      return replaced(bytes, at, width, littleEndian(number, width));
    }
  }
}

function changed(bytes: Uint8Array, at: number, change: (byte: number) => number): Uint8Array {
  const copy = bytes.slice();
  if (at < copy.length) copy[at] = change(copy[at] ?? 0);
  return copy;
}

function replaced(bytes: Uint8Array, at: number, remove: number, put: ArrayLike<number>): Uint8Array {
  const end = Math.min(bytes.length, at + remove);
  const made = new Uint8Array(at + put.length + bytes.length - end);
  made.set(bytes.subarray(0, at));
  made.set(put, at);
  made.set(bytes.subarray(end), at + put.length);
  return made;
}

function littleEndian(value: number, width: number): Uint8Array {
  return Uint8Array.from({ length: width }, (_, index) => Math.floor(value / 256 ** index) % 256);
}

/** One piece many times: what shows time that isn't linear, and recursion without an end. */
export function pump(input: Uint8Array, { random, words, maxBytes }: Material): Uint8Array {
  const at = random(input.length + 1);
  const own = input.subarray(at, at + 1 + random(12));
  const word = words[random(words.length)] ?? own;
  const piece =
    [own, word, Buffer.concat([word, own]), Buffer.from(' \t\n[{"a-.1/#'[random(12)] ?? ' ')][random(4)] ??
    own;
  if (piece.length === 0) return input;
  const times = Math.floor((maxBytes - input.length) / piece.length / (1 << random(6)));
  return replaced(input, at, 0, Buffer.concat(Array.from({ length: Math.max(0, times) }, () => piece)));
}

// ---- JSON ----------------------------------------------------------------------------------------------------------

/** As JSON's text, for some can't be made from a value. */
const odd: readonly string[] = [
  ...['null', 'true', '0', '-0', '-1', '1e308', '1e400', '9007199254740993', '5e-324', '0.5', '4294967296'],
  ...[
    '""',
    '"\\ud800"',
    '"\\udc00x"',
    '"\\u0000"',
    '"__proto__"',
    '"constructor"',
    '"../x"',
    '"/x"',
    '"a\\u2028b"',
  ],
  ...['[]', '{}', '[[]]', '{"__proto__":{"x":1}}', '{"constructor":{"prototype":{"x":1}}}', '{"toString":1}'],
];
const oddKeys = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'length',
  'x',
  '',
  '0',
  '\ud800',
  'kind',
];
const nested = [300, 20_000, 100_000].flatMap((depth) => [
  `${'['.repeat(depth)}${']'.repeat(depth)}`,
  `${'{"a":'.repeat(depth)}0${'}'.repeat(depth)}`,
]);
/** Stands in a value for JSON's text that is put in its place. */
const mark = '\u0001';

/** A few edits of the value; undefined when the bytes are no JSON. What follows the first NUL stays as it is. */
export function mutateJson(input: Uint8Array, material: Material): Uint8Array | undefined {
  const end = input.indexOf(0);
  const json = Buffer.from(end === -1 ? input : input.subarray(0, end)).toString();
  // Deeper ones than this JSON.stringify can't write.
  if (/[[{]{500}/.test(json)) return undefined;
  try {
    const { random } = material;
    let value: unknown = JSON.parse(json);
    for (let edits = 1 << random(3); edits > 0; edits--) value = editValue(value, material, 0);
    const text = JSON.stringify(value) ?? 'null';
    const raw = text.replace(
      /"\\u0001(\d+)"/g,
      (_, index: string) =>
        (random(200) === 0 ? nested[random(nested.length)] : odd[Number(index)]) ?? 'null',
    );
    const made = Buffer.concat([Buffer.from(raw), end === -1 ? Buffer.alloc(0) : input.subarray(end)]);
    return made.length > material.maxBytes ? undefined : made;
  } catch {
    return undefined;
  }
}

function editValue(value: unknown, material: Material, depth: number): unknown {
  const { random } = material;
  const isContainer = typeof value === 'object' && value !== null;
  if (isContainer && depth < 30 && random(4) !== 0) {
    const entries = Object.entries(value);
    if (entries.length > 0) {
      const at = random(entries.length);
      const entry = entries[at];
      if (entry !== undefined) entries[at] = [entry[0], editValue(entry[1], material, depth + 1)];
      return rebuilt(value, entries);
    }
  }
  return isContainer ? editContainer(value, material) : editScalar(value, material);
}

function editScalar(value: unknown, { random, words }: Material): unknown {
  if (typeof value === 'string' && random(2) === 0) {
    const at = random(value.length + 1);
    const word = Buffer.from(words[random(words.length)] ?? []).toString();
    return [`${value.slice(0, at)}${word}${value.slice(at)}`, value.slice(at), value + value, word][
      random(4)
    ];
  }
  if (typeof value === 'number' && random(2) === 0)
    return [value + 1, value - 1, -value, value * 2, value * 256][random(5)];
  return random(8) === 0 ? [value] : `${mark}${random(odd.length)}`;
}

function editContainer(value: object, { random, words }: Material): unknown {
  const entries = Object.entries(value);
  const at = random(entries.length + 1);
  const word = () => Buffer.from(words[random(words.length)] ?? []).toString();
  switch (random(6)) {
    case 0:
      entries.splice(at, 1);
      break;
    case 1:
      entries.splice(at, 0, ...entries.slice(at, at + 1));
      break;
    case 2:
      entries.splice(at, 0, [oddKeys[random(oddKeys.length)] ?? '', `${mark}${random(odd.length)}`]);
      break;
    case 3:
      entries.splice(at, 0, [word(), random(2) === 0 ? word() : random(8)]);
      break;
    case 4: {
      const [one] = entries.splice(at, 1);
      if (one !== undefined) entries.splice(random(entries.length + 1), 0, one);
      break;
    }
    default:
      return random(2) === 0 ? [value] : { [word()]: value };
  }
  return rebuilt(value, entries);
}

function rebuilt(like: object, entries: [string, unknown][]): unknown {
  return Array.isArray(like) ? entries.map(([, item]) => item) : Object.fromEntries(entries);
}
