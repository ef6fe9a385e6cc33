import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InstallError } from '../errors/errors.ts';
import {
  checkLockFits,
  closure,
  defaultImports,
  encodeLock,
  type Lock,
  lockHash,
  parseLock,
} from './lock.ts';

const sha = 'ab'.repeat(32);

const lock: Lock = {
  version: 1,
  pyodide: '314.0.7',
  abi: 'pyemscripten_2026_0',
  requirements: ['B>=1'],
  packages: [
    {
      name: 'a',
      version: '1.0',
      fileName: 'a-1.0-py3-none-any.whl',
      sha256: sha,
      source: { kind: 'distribution' },
      dependencies: [],
      imports: ['a'],
    },
    {
      name: 'b',
      version: '2.0',
      fileName: 'b-2.0-py3-none-any.whl',
      sha256: sha,
      source: { kind: 'index', url: 'https://files.example/b-2.0-py3-none-any.whl' },
      dependencies: ['a'],
      imports: ['b', '_b', 'b-extra'],
    },
  ],
};

/** The lock with something of its second package, or of itself, replaced. */
function broken(change: Record<string, unknown>, inPackage = true): unknown {
  const [first, second] = lock.packages;
  return inPackage ? { ...lock, packages: [first, { ...second, ...change }] } : { ...lock, ...change };
}

function problem(run: () => unknown): InstallError {
  try {
    run();
  } catch (error) {
    if (error instanceof InstallError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('parseLock', () => {
  test('reads what encodeLock writes', () => {
    expect(parseLock(encodeLock(lock))).toEqual({
      ...lock,
      packages: [lock.packages[0], { ...lock.packages[1], imports: ['_b', 'b', 'b-extra'] }],
    });
  });

  test.each([
    ['no JSON', '{', 'is not JSON'],
    ['another version', broken({ version: 2 }, false), 'lock.version'],
    ['an unknown field', broken({ more: 1 }, false), 'lock.more'],
    ['a hash that is none', broken({ sha256: 'xyz' }), 'lock.packages[1].sha256'],
    ['a hash in capitals', broken({ sha256: sha.toUpperCase() }), 'lock.packages[1].sha256'],
    ['a file in a folder', broken({ fileName: '../b-2.0-py3-none-any.whl' }), 'lock.packages[1].fileName'],
    ['a file that is no wheel', broken({ fileName: 'b.tar.gz' }), 'lock.packages[1].fileName'],
    ['a name that is not normalised', broken({ name: 'B_b' }), 'lock.packages[1].name'],
    [
      'a file: URL',
      broken({ source: { kind: 'index', url: 'file:///b.whl' } }),
      'lock.packages[1].source.url',
    ],
    [
      'credentials in a URL',
      broken({ source: { kind: 'index', url: 'https://me:secret@example.com/b.whl' } }),
      'lock.packages[1].source.url',
    ],
    ['an index without a URL', broken({ source: { kind: 'index' } }), 'lock.packages[1].source'],
    [
      'a distribution with a URL',
      broken({ source: { kind: 'distribution', url: 'https://x.example/' } }),
      'source',
    ],
    ['a package twice', broken({ name: 'a' }), 'a is there twice'],
    ['a file twice', broken({ fileName: 'a-1.0-py3-none-any.whl' }), 'is there twice'],
    ['a dependency that is not there', broken({ dependencies: ['c'] }), 'b needs c'],
    ['a list that is too long', broken({ requirements: Array(3000).fill('a') }, false), 'lock.requirements'],
    ['an array with holes', broken({ dependencies: new Array(2) }), 'lock.packages[1].dependencies[0]'],
  ])('refuses %s, and says where', (_what, input, where) => {
    const error = problem(() => parseLock(input));
    expect(error.reason).toBe('bad_lock');
    expect(error.message).toContain(where);
    expect(error.message).not.toContain('secret');
  });

  test('refuses anything else with an InstallError and nothing but it', () => {
    fc.assert(
      fc.property(fc.anything(), (input) => {
        expect(problem(() => parseLock(input)).reason).toBe('bad_lock');
      }),
    );
  });

  test('round trip of any lock', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,5})?$/);
    const locks = fc
      .uniqueArray(
        fc.record({
          name,
          version: fc.stringMatching(/^[0-9]{1,3}(\.[0-9]{1,3}){0,2}$/),
          sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
          imports: fc.uniqueArray(fc.stringMatching(/^[A-Za-z_]\w{0,8}$/)),
          source: fc.oneof(
            fc.constant({ kind: 'distribution' as const }),
            fc.constant({ kind: 'mirror' as const }),
            fc.webUrl().map((url) => ({ kind: 'index' as const, url })),
          ),
          picks: fc.array(fc.nat(20), { maxLength: 4 }),
        }),
        { selector: (one) => one.name, maxLength: 8 },
      )
      .map((all) => ({
        ...lock,
        requirements: all.map((one) => one.name),
        packages: all.map(({ picks, ...one }) => ({
          ...one,
          fileName: `${one.name.replaceAll('-', '_')}-${one.version}-py3-none-any.whl`,
          dependencies: picks.map((pick) => all[pick % all.length]?.name ?? one.name),
        })),
      }));
    fc.assert(
      fc.property(locks, (lock) => {
        const text = encodeLock(lock);
        const read = parseLock(text);
        expect(encodeLock(read)).toBe(text);
        expect(encodeLock({ ...lock, packages: lock.packages.toReversed() })).toBe(text);
        expect(read.packages).toHaveLength(lock.packages.length);
      }),
      { numRuns: 30 },
    );
  });
});

test('a lock of another Pyodide is refused, with what to do', () => {
  const fitting = { version: '314.0.7', abi: 'pyemscripten_2026_0' };
  expect(() => checkLockFits(lock, fitting)).not.toThrow();
  expect(problem(() => checkLockFits(lock, { ...fitting, version: '315.0.0' })).message).toBe(
    'the lock is for Pyodide 314.0.7, not 315.0.0; run `vivarium lock` again',
  );
  expect(problem(() => checkLockFits(lock, { ...fitting, abi: 'x' })).reason).toBe('bad_lock');
});

test('closure follows dependencies, circles too', () => {
  const [a, b] = lock.packages;
  if (a === undefined || b === undefined) throw new Error('no packages');
  expect(closure(lock, ['a'])).toEqual([a]);
  expect(closure(lock, ['B'])).toEqual([a, b]);
  const circle = { ...lock, packages: [{ ...a, dependencies: ['b'] }, b] };
  expect(closure(circle, ['a']).map((one) => one.name)).toEqual(['a', 'b']);
  expect(problem(() => closure(lock, ['missing'])).details).toMatchObject({
    reason: 'not_found',
    package: 'missing',
  });
});

test('an image imports the public modules of what was asked for', () => {
  expect(defaultImports(lock)).toEqual(['b']);
});

describe('lockHash', () => {
  const content = { packages: lock.packages, imports: ['b'], warm: [{ filename: 'w.py', code: 'b' }] };

  test('is empty for the standard library alone', () => {
    expect(lockHash({ packages: [], imports: [], warm: [] })).toBe('');
  });

  test('does not depend on order or source', () => {
    const moved = lock.packages.map((one) => ({ ...one, source: { kind: 'mirror' as const } }));
    expect(lockHash({ ...content, packages: moved.toReversed() })).toBe(lockHash(content));
  });

  test.each([
    { ...content, imports: [] },
    { ...content, warm: [{ filename: 'w.py', code: 'c' }] },
    { ...content, packages: lock.packages.slice(1) },
    { ...content, packages: lock.packages.map((one) => ({ ...one, sha256: 'cd'.repeat(32) })) },
  ])('depends on everything else', (other) => {
    expect(lockHash(other)).toMatch(/^[0-9a-f]{64}$/);
    expect(lockHash(other)).not.toBe(lockHash(content));
  });
});
