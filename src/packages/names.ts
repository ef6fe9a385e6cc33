/** Names of Python packages, wheels and requirements, as far as the host has to understand them. */

/** As PEP 503 says: what is equal under it is the same package. */
export function normalizeName(name: string): string {
  return name.toLowerCase().replace(/[-_.]+/g, '-');
}

/** The package of a requirement (PEP 508) or of a wheel's URL, normalised; undefined when there is none to be seen. */
export function requirementName(requirement: string): string | undefined {
  const text = requirement.trim();
  const name = /^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:$|[[(<>=!~;@])/.exec(text)?.[1];
  if (name !== undefined) return normalizeName(name);
  const file = isUrl(text) ? fileNameOf(text) : undefined;
  return file === undefined ? undefined : wheelParts(file)?.name;
}

/** Name and version of a wheel file, or undefined when it is none. What is one has no separator: it is used in paths. */
export function wheelParts(fileName: string): { name: string; version: string } | undefined {
  const match =
    /^([A-Za-z0-9][A-Za-z0-9._]*)-([A-Za-z0-9._!+]+)(?:-[0-9][\w.]*)?-[\w.]+-[\w.]+-[\w.]+\.whl$/.exec(
      fileName,
    );
  const [, name, version] = match ?? [];
  return name === undefined || version === undefined ? undefined : { name: normalizeName(name), version };
}

export function isUrl(text: string): boolean {
  return /^https?:\/\//i.test(text) && URL.canParse(text);
}

/** The decoded last segment of a URL's path. */
export function fileNameOf(url: string): string | undefined {
  const last = new URL(url).pathname.split('/').at(-1) ?? '';
  try {
    return decodeURIComponent(last);
  } catch {
    return undefined;
  }
}
