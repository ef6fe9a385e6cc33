import { expect, it } from 'vitest';
import { differences } from './same-output.ts';

it('compares to the letter, but for numbers after a tilde', () => {
  expect(differences('a\n~ 10 20\n', 'a\n~ 12 19\n')).toEqual([]);
  expect(differences('~ 10 20', '~ 15 20')).toEqual(['1: ~ 15 20 | ~ 10 20']);
  expect(differences('~ 10', '~ 10 10')).toHaveLength(1);
  expect(differences('~ x', '~ y')).toHaveLength(1);
  expect(differences('10', '11')).toHaveLength(1);
  expect(differences('a', 'a\nb')).toEqual(['2: b | undefined']);
});
