/** How far a number of a loose line may be off. */
const tolerance = 4;

/**
 * What differs between what a script printed and what it prints natively, as `line: native | here`; empty when they
 * agree. Lines that begin with `~` hold numbers, which may be off by a little; all others are compared to the letter.
 */
export function differences(printed: string, natively: string): string[] {
  const here = printed.split('\n');
  const there = natively.split('\n');
  const count = Math.max(here.length, there.length);
  return Array.from({ length: count }, (_, index) => index)
    .filter((index) => !sameLine(here[index], there[index]))
    .map((index) => `${index + 1}: ${there[index]} | ${here[index]}`);
}

function sameLine(here: string | undefined, there: string | undefined): boolean {
  if (here === there) return true;
  if (!here?.startsWith('~') || !there?.startsWith('~')) return false;
  const [left, right] = [here, there].map((line) => line.slice(1).trim().split(/\s+/).map(Number));
  return (
    left !== undefined &&
    left.length === right?.length &&
    left.every((value, index) => Math.abs(value - (right[index] ?? Number.NaN)) <= tolerance)
  );
}
