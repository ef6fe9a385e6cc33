import { expect, test } from 'vitest';
import { checkPython } from './python-version.ts';

test.each([
  '>=3.12',
  '>=3.10,<4',
  '==3.14.*',
  '~=3.14',
  '~=3.14.0',
  '!=3.13.*',
  '>=3.14.0rc1',
  '3.14',
  '==3.14.2',
  '<=3.14.2',
  '>3.14',
  '',
])('takes %j or says that it is none', (specifier) => {
  const check = () => checkPython(specifier, '3.14.2', 'a.py');
  if (specifier === '3.14') expect(check).toThrow("can't be read: 3.14");
  else expect(check).not.toThrow();
});

test.each(['<3.14', '==3.13.*', '~=3.13.0', '!=3.14.*', '>=3.15', '==3.14', '>=3.10,<3.14', '<=3.14'])(
  'refuses %j',
  (specifier) => {
    expect(() => checkPython(specifier, '3.14.2', 'a.py')).toThrow(
      `a.py needs Python ${specifier}, and here is Python 3.14.2; change its requires-python`,
    );
  },
);

test('a message is no longer than people read', () => {
  const refused = expect(() => checkPython(`>=3${'['.repeat(1e5)}`, '3.14.2', 'a.py'));
  refused.toThrow(/^.{1,400}$/s);
});
