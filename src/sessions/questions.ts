import type { Value } from '../runtime.ts';
import type { Completion, Session } from '../session.ts';

type Check = Awaited<ReturnType<Session['check']>>;

/** Of what a worker answered, or didn't in time: then Python is to say what is wrong with the source. */
export function readCheck(value: Value | undefined): Check {
  return value === 'complete' || value === 'incomplete' ? value : 'invalid';
}

/** Likewise: then there are no matches. */
export function readCompletion(value: Value | undefined): Completion {
  const { word, matches } = (value ?? {}) as { word?: unknown; matches?: unknown };
  if (typeof word !== 'string' || !Array.isArray(matches)) return { word: '', matches: [] };
  return { word, matches: matches.filter((match) => typeof match === 'string' && match.startsWith(word)) };
}
