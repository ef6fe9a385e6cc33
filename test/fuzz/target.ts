/** What a module in `targets/` exports, and what is asked of every target whatever it reads. */

export interface Target {
  /** Throws when the oracle is broken: on anything but a value or the module's own error. */
  fuzz(data: Uint8Array): void | Promise<void>;
  /** Valid inputs, and near misses: what is mutated first. */
  seeds: readonly Uint8Array[];
  /** Words of the format. */
  dictionary: readonly string[];
  /** The files whose coverage is told, below `src/`. */
  sources: readonly string[];
  /** Inputs are JSON: they are mutated as such too. */
  json?: boolean;
  /** Default 64 KiB. */
  maxBytes?: number;
  /** Mutates by structure; undefined when it can't make anything of the input. */
  mutate?(data: Uint8Array, random: Random): Uint8Array | undefined;
}

/** A whole number from 0, below `end`. */
export type Random = (end: number) => number;

/** The oracle is broken, in a way that isn't an exception of the code under test. */
export class Broken extends Error {
  override readonly name = 'Broken';
}

export function ensure(right: boolean, what: string): asserts right {
  if (!right) throw new Broken(what);
}

const maxMessageChars = 20_000;

type ErrorClass = abstract new (...args: never[]) => Error;

/** What `call` gives; undefined when it throws one of `errors`, which must be short. Anything else it throws is passed on. */
export function refusable<T>(call: () => T, ...errors: ErrorClass[]): T | undefined {
  try {
    return call();
  } catch (error) {
    return refusal(error, errors);
  }
}

/** As `refusable`. */
export async function refusableLater<T>(
  call: () => Promise<T>,
  ...errors: ErrorClass[]
): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    return refusal(error, errors);
  }
}

function refusal(error: unknown, errors: ErrorClass[]): undefined {
  const known = errors.find((one) => error instanceof one);
  if (known === undefined) throw error;
  const { message } = error as Error;
  ensure(message.length > 0 && message.length <= maxMessageChars, `a message of ${message.length} chars`);
}

const intrinsics = [Object, Array, Function, String, Number, Map, Set, Error, Uint8Array, Promise].map(
  (one) => one.prototype as object,
);
const keys = intrinsics.map(keysOf);

/** Runs a target once, and looks whether it left anything behind on the intrinsics. */
export async function check(target: Target, data: Uint8Array): Promise<void> {
  const pending = target.fuzz(data);
  if (pending !== undefined) await pending;
  unpolluted();
}

export function unpolluted(): void {
  for (const [index, one] of intrinsics.entries()) {
    if (Reflect.ownKeys(one).length === keys[index]?.length) continue;
    const added = Reflect.ownKeys(one).filter((key) => !keys[index]?.includes(key));
    for (const key of added) Reflect.deleteProperty(one, key);
    throw new Broken(`a prototype was polluted: ${added.map(String).join(', ')}`);
  }
}

function keysOf(one: object): readonly PropertyKey[] {
  return Reflect.ownKeys(one);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

/** What is no UTF-8 becomes U+FFFD; lone surrogates come from JSON's escapes. */
export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** Equal as JSON, with binary data by its bytes. */
export function sameJson(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    item instanceof Uint8Array ? Buffer.from(item).toString('base64') : item,
  );
}
