import { expect, it } from 'vitest';
import { unpackForRun } from '../../src/kernel/wheels.ts';
import { wheelLimits } from '../../src/packages/vet-wheel.ts';
import { makeWheel } from '../packages/make-wheel.ts';

it('bounds all that a run installs, not each wheel alone', () => {
  const wheels = ['a', 'b'].map((name) => makeWheel(name).bytes);
  const [first, second] = unpackForRun(wheels, 0);
  expect(first?.has('a/__init__.py')).toBe(true);
  expect(second?.has('b/__init__.py')).toBe(true);
  const bytes = wheelLimits.maxUnpackedBytes;
  expect(() => unpackForRun(wheels, bytes)).toThrow(`more than ${bytes} bytes`);
});
