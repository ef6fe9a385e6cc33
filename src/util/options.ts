/**
 * Checks of options: every problem is collected and thrown as one `TypeError`.
 *
 *     const options = checkOptions('createRuntime', given, { size: optional(integer({ min: 1 })), engine: oneOf('deno', 'node') });
 */
export interface Check<T> {
  /** Adds what is wrong with the value called `at`. */
  (value: unknown, at: string, problems: string[]): void;
  /** Never set: carries the type. */
  readonly checked?: T;
}

type Shape = Record<string, Check<unknown>>;
type Checked<C> = C extends Check<infer T> ? T : never;
type OptionalKeys<S> = { [K in keyof S]: undefined extends Checked<S[K]> ? K : never }[keyof S];

/** What a shape describes: `optional` ones may be absent. */
export type CheckedOptions<S> = { [K in Exclude<keyof S, OptionalKeys<S>>]: Checked<S[K]> } & {
  [K in OptionalKeys<S>]?: Exclude<Checked<S[K]>, undefined>;
};

/**
 * The options without the undefined ones, or one `TypeError` naming each bad and each unknown one. Each is read once:
 * what was checked is what comes back.
 */
export function checkOptions<S extends Shape>(caller: string, given: unknown, shape: S): CheckedOptions<S> {
  const problems: string[] = [];
  const options = checkShape(given, '', problems, shape);
  if (problems.length > 0) throw new TypeError(`${caller}: ${problems.join('; ')}`);
  return options as CheckedOptions<S>;
}

function checkShape(given: unknown, at: string, problems: string[], shape: Shape): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  if (given !== undefined && !isRecord(given)) {
    problems.push(`${at === '' ? 'options' : at} must be an object, not ${describe(given)}`);
    return options;
  }
  const prefix = at === '' ? '' : `${at}.`;
  for (const [key, check] of Object.entries(shape)) {
    const value = given?.[key];
    check(value, prefix + key, problems);
    if (value !== undefined) options[key] = value;
  }
  for (const key of Object.keys(given ?? {})) {
    if (Object.hasOwn(shape, key)) continue;
    const near = nearest(key, Object.keys(shape));
    problems.push(
      `unknown option '${prefix}${key}'${near === undefined ? '' : ` (did you mean '${prefix}${near}'?)`}`,
    );
  }
  return options;
}

function check<T>(wanted: string, test: (value: unknown) => boolean): Check<T> {
  return (value, at, problems) => {
    if (!test(value)) problems.push(`${at} must be ${wanted}, not ${describe(value)}`);
  };
}

export interface Range {
  min?: number;
  max?: number;
}

export function number({ min = -Infinity, max = Infinity }: Range = {}): Check<number> {
  return check(`a number${bounds(min, max)}`, (value) => isBetween(value, min, max));
}

export function integer({ min = -Infinity, max = Infinity }: Range = {}): Check<number> {
  const test = (value: unknown) => Number.isSafeInteger(value) && isBetween(value, min, max);
  return check(`an integer${bounds(min, max)}`, test);
}

export const string: Check<string> = check('a string', (value) => typeof value === 'string');
export const boolean: Check<boolean> = check('true or false', (value) => typeof value === 'boolean');

/** The type is the caller's word: only `typeof` is checked. */
export function func<T extends (...args: never[]) => unknown>(): Check<T> {
  return check('a function', (value) => typeof value === 'function');
}

export function oneOf<T extends string | number | boolean | null>(...values: readonly T[]): Check<T> {
  const test = (value: unknown) => values.some((one) => one === value);
  return check(`one of ${values.map((value) => JSON.stringify(value)).join(', ')}`, test);
}

/** Anything that `test` accepts; `wanted` completes "must be …". */
export function satisfying<T>(wanted: string, test: (value: unknown) => boolean): Check<T> {
  return check(wanted, test);
}

export function record<T>(each: Check<T>): Check<Record<string, T>> {
  return (value, at, problems) => {
    if (!isRecord(value)) problems.push(`${at} must be an object, not ${describe(value)}`);
    else for (const [key, item] of Object.entries(value)) each(item, `${at}.${key}`, problems);
  };
}

export function list<T>(each: Check<T>): Check<readonly T[]> {
  return (value, at, problems) => {
    if (!Array.isArray(value)) problems.push(`${at} must be an array, not ${describe(value)}`);
    else for (const [index, item] of value.entries()) each(item, `${at}[${index}]`, problems);
  };
}

export function object<S extends Shape>(shape: S): Check<CheckedOptions<S>> {
  return (value, at, problems) => {
    if (isRecord(value)) checkShape(value, at, problems, shape);
    else problems.push(`${at || 'options'} must be an object, not ${describe(value)}`);
  };
}

export function optional<T>(inner: Check<T>): Check<T | undefined> {
  return (value, at, problems) => {
    if (value !== undefined) inner(value, at, problems);
  };
}

function isBetween(value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && value >= min && value <= max;
}

function bounds(min: number, max: number): string {
  if (min === -Infinity) return max === Infinity ? '' : ` of at most ${max}`;
  return max === Infinity ? ` of at least ${min}` : ` from ${min} to ${max}`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  return typeof value === 'function' ? 'a function' : String(value);
}

/** The known name at most two edits away, also when only case or punctuation differ. */
function nearest(name: string, known: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
  const ranked = known.map((other) => ({ other, edits: distance(plain(name), plain(other)) }));
  const best = ranked.sort((a, b) => a.edits - b.edits)[0];
  return best !== undefined && best.edits <= 2 && best.edits < name.length - 1 ? best.other : undefined;
}

/** Edits between two names: insertions, deletions, replacements. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
