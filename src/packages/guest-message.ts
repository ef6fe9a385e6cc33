import { homedir } from 'node:os';
import { InstallError } from '../errors/errors.ts';
import { describeMirror } from './sources.ts';
import type { WheelCache } from './wheel-cache.ts';

/** It may quote what hostile pages say. */
const maxChars = 20_000;

/**
 * What code that runs may be told of a failure: the package, the reason and a way out, but nothing of the host, neither folders of its
 * own nor where its packages come from. The whole is the cause, which stays outside.
 */
export function forGuest(
  error: InstallError,
  { cacheDir, sources }: Pick<WheelCache, 'cacheDir' | 'sources'>,
): InstallError {
  const places: (readonly [place: string, name: string])[] = [[cacheDir, '<cache>']];
  if (sources.mirror !== null) places.push([describeMirror(sources.mirror), '<mirror>']);
  places.push([homedir(), '<home>']);
  const told = (text: unknown): string =>
    withoutAddresses(withoutPlaces(String(text ?? '').slice(0, maxChars), places));
  const { reason, details } = error;
  const failure = { reason, package: told(details.package), suggestion: told(details.suggestion) };
  return new InstallError(told(error.message), failure, error);
}

/** Each place, with what is below it. */
function withoutPlaces(text: string, places: readonly (readonly [string, string])[]): string {
  let told = text;
  for (const [place, name] of places.filter((one) => one[0].length > 1)) {
    for (let at = told.indexOf(place); at >= 0; at = told.indexOf(place)) {
      const below = /^[^\s'"<>;]*/.exec(told.slice(at + place.length))?.[0] ?? '';
      told = `${told.slice(0, at)}${name}${told.slice(at + place.length + below.length)}`;
    }
  }
  return told;
}

/** Of a wheel's address its name stays. */
function withoutAddresses(text: string): string {
  return text.replace(/\bhttps?:\/\/[^\s'"<>;]+/gi, (found) => {
    const [ending = ''] = /[.,:)]*$/.exec(found.slice(-3)) ?? [];
    const url = found.slice(0, found.length - ending.length);
    const file = /\/([^/?#]+\.whl)(?:$|[?#])/.exec(url)?.[1];
    return `${file ?? '<address>'}${ending}`;
  });
}
