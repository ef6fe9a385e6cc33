import { InstallError } from '../errors/errors.ts';

const maxShownChars = 200;

/** Throws `InstallError` when this Python (`3.14.2`) isn't what `requires-python` asks for, or that can't be read. */
export function checkPython(specifier: string, python: string, at: string): void {
  for (const clause of specifier.split(',')) {
    if (clause.trim() === '') continue;
    const fits = satisfies(python, clause.trim());
    if (fits === true) continue;
    const [problem, suggestion] =
      fits === false
        ? [`needs Python ${shown(specifier)}, and here is Python ${python}`, 'change its requires-python']
        : [`has a requires-python that can't be read: ${shown(clause)}`, 'write it like >=3.12'];
    throw new InstallError(`${at} ${problem}; ${suggestion}`, {
      reason: fits === false ? 'conflict' : 'bad_requirement',
      package: '',
      suggestion,
    });
  }
}

function shown(text: string): string {
  const trimmed = text.trim();
  return trimmed.length > maxShownChars ? `${trimmed.slice(0, maxShownChars)}…` : trimmed;
}

/** One clause of a version specifier, for released versions; undefined when it is none. */
function satisfies(python: string, clause: string): boolean | undefined {
  const match = /^(~=|===?|!=|<=|>=|<|>)\s*(\d+(?:\.\d+)*)((?:\.\*)?)(?:\.?(?:a|b|rc|dev|post)\d*)*$/.exec(
    clause,
  );
  const [, operator, text = '', star] = match ?? [];
  if (operator === undefined) return undefined;
  const version = numbers(text);
  const here = numbers(python);
  const order = compareNumbers(here, version);
  const starts = compareNumbers(here.slice(0, version.length), version) === 0;
  switch (operator) {
    case '==':
    case '===':
      return star === '' ? order === 0 : starts;
    case '!=':
      return star === '' ? order !== 0 : !starts;
    case '>=':
      return order >= 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '<':
      return order < 0;
    default:
      if (version.length < 2) return undefined;
      return order >= 0 && compareNumbers(here.slice(0, version.length - 1), version.slice(0, -1)) === 0;
  }
}

function numbers(version: string): number[] {
  return version.split('.').map(Number);
}

function compareNumbers(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return Math.sign(difference);
  }
  return 0;
}
