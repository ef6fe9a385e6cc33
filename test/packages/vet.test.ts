import fc from 'fast-check';
import { zipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { InstallError } from '../../src/errors/errors.ts';
import { unpackWheel } from '../../src/packages/unpack-wheel.ts';
import { topLevelModules, vetWheel, wheelLimits } from '../../src/packages/vet-wheel.ts';
import { makeWheel, patched, recordOf } from './make-wheel.ts';

const some = new Uint8Array([1, 2, 3]);

function refusal(bytes: Uint8Array): InstallError {
  try {
    vetWheel(bytes, 'x-1.0-py3-none-any.whl', 'x');
  } catch (error) {
    if (error instanceof InstallError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

test('a wheel as it should be', () => {
  const { bytes } = makeWheel('my-x', '1.0', {
    'my_x/sub/a.py': some,
    'my_x-1.0.data/purelib/extra.py': some,
    'my_x-1.0.data/platlib/more/fast.cpython-314-wasm32-emscripten.so': some,
    'my_x-1.0.data/scripts/run': some,
    'my_x-1.0.data/data/etc/x.conf': some,
    'my_x-1.0.data/headers/x.h': some,
    'tests/test_x.py': some,
    'folder/': new Uint8Array(),
    // Lines of it would be run.
    'x-nspkg.pth': some,
    'my_x-1.0.data/purelib/y.PTH': some,
    'my_x/kept.pth': some,
  });
  expect([...unpackWheel(bytes).keys()]).toEqual([
    'extra.py',
    'more/fast.cpython-314-wasm32-emscripten.so',
    'my_x-1.0.dist-info/METADATA',
    'my_x-1.0.dist-info/RECORD',
    'my_x-1.0.dist-info/WHEEL',
    'my_x/__init__.py',
    'my_x/kept.pth',
    'my_x/sub/a.py',
    'tests/test_x.py',
  ]);
  expect(topLevelModules(vetWheel(bytes, 'x.whl'))).toEqual(['extra', 'more', 'my_x']);
});

test('what comes out is what went in, packed or not', () => {
  fc.assert(
    fc.property(
      fc.dictionary(
        // Names of the runtime's own modules are refused: see below.
        fc.stringMatching(/^a[a-z]{1,8}(\/[a-z]{1,8}){0,2}\.py$/),
        fc.uint8Array({ maxLength: 300 }),
      ),
      fc.constantFrom(0, 6),
      (files, level) => {
        const { bytes } = makeWheel('pkg', '1.0', files, { level: level as 0 | 6 });
        const unpacked = unpackWheel(bytes);
        for (const [path, content] of Object.entries(files)) expect(unpacked.get(path)).toEqual(content);
        expect(unpacked.size).toBe(Object.keys(files).length + 4);
        expect([...unpacked.keys()]).toEqual([...unpacked.keys()].sort());
      },
    ),
    { numRuns: 50 },
  );
});

describe('T25: refused, with the member’s name', () => {
  test.each([
    ['/etc/passwd', 'absolute'],
    ['C:/windows.py', 'absolute'],
    ['x-1.0.data/purelib/C:/windows.py', 'absolute'],
    ['../evil.py', 'climbs out'],
    ['x/../../evil.py', 'climbs out'],
    ['x/./y.py', 'climbs out'],
    ['x-1.0.data/purelib/../evil.py', 'climbs out'],
    ['x\\y.py', 'backslash'],
    ['x\0y.py', 'control'],
    ['x//y.py', 'is no path'],
    ['js.py', 'stand in'],
    ['js/__init__.py', 'stand in'],
    ['pyodide/x.py', 'stand in'],
    ['_pyodide.cpython-314.so', 'stand in'],
    ['pyodide_js.py', 'stand in'],
    ['vivarium/_kernel.py', 'stand in'],
    ['js.pyc', 'stand in'],
    ['sitecustomize.py', 'stand in'],
    ['usercustomize/__init__.py', 'stand in'],
    ['x-1.0.data/purelib/sitecustomize.py', 'stand in'],
    ['x-1.0.data/platlib/js.py', 'stand in'],
    ['x/__init__.py/more.py', 'in a folder that is a file'],
    ['x-1.0.data/purelib/x/__init__.py', 'is there twice'],
    [`${'a/'.repeat(600)}x.py`, 'too long'],
  ])('%j', (name, problem) => {
    const error = refusal(makeWheel('x', '1.0', { [name]: some }).bytes);
    expect(error).toMatchObject({ reason: 'unsafe_wheel', details: { package: 'x', member: name } });
    expect(error.message).toContain(problem);
    expect(error.message).toContain('x is not installed');
  });

  test.each([
    [0o120777, 'a link'],
    [0o020666, 'a device'],
    [0o010666, 'a pipe'],
    [0o040755, 'a folder without a slash'],
  ])('mode %o: %s', (mode) => {
    const file = [some, { os: 3, attrs: mode * 65536 }] as [Uint8Array, { os: number; attrs: number }];
    expect(refusal(makeWheel('x', '1.0', { 'x/link': file }).bytes)).toMatchObject({
      reason: 'unsafe_wheel',
      details: { member: 'x/link' },
    });
  });

  test('regular files with a mode are fine', () => {
    const file = [some, { os: 3, attrs: 0o100644 * 65536 }] as [Uint8Array, { os: number; attrs: number }];
    expect(unpackWheel(makeWheel('x', '1.0', { 'x/file': file }).bytes).has('x/file')).toBe(true);
  });

  test('the same name twice', () => {
    const { bytes } = makeWheel('x', '1.0', { 'x/a.py': some, 'x/b.py': some });
    const text = Buffer.from(bytes).toString('latin1').replaceAll('x/b.py', 'x/a.py');
    expect(refusal(new Uint8Array(Buffer.from(text, 'latin1'))).message).toContain('is there twice');
  });

  test('encrypted, oddly packed, or of two names', () => {
    const { bytes } = makeWheel('x', '1.0', { 'x/a.py': some });
    const at = recordOf(bytes, 'x/a.py');
    expect(refusal(patched(bytes, at + 8, 1, 2)).message).toContain('encrypted');
    expect(refusal(patched(bytes, at + 10, 12, 2)).message).toContain('unknown method');
    expect(refusal(patched(bytes, at + 46, 0x7a7a, 2)).message).toContain('two names');
    expect(refusal(patched(bytes, at + 24, 4)).message).toContain('two sizes');
    expect(refusal(patched(bytes, at + 20, 0xfffffff)).message).toContain('outside');
    expect(refusal(patched(bytes, at + 42, 0)).message).toContain('two names');
  });

  test('members that share their bytes', () => {
    const { bytes } = makeWheel('x', '1.0', { 'x/a.py': new Uint8Array(200) });
    const at = recordOf(bytes, 'x/__init__.py');
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const longer = view.getUint32(at + 20, true) + 100;
    expect(refusal(patched(patched(bytes, at + 20, longer), at + 24, longer)).message).toContain('overlaps');
  });
});

describe('T25: bombs', () => {
  const zeros = new Uint8Array(20 * 1024 * 1024);
  const bomb = makeWheel('x', '1.0', { 'x/bomb': [zeros, { level: 9 }] }, { level: 6 });

  test('a large member that is nearly nothing packed', () => {
    expect(refusal(bomb.bytes)).toMatchObject({
      reason: 'unsafe_wheel',
      message: expect.stringContaining('more than 200 times'),
      details: { member: 'x/bomb' },
    });
  });

  test('more than 1 GiB in all, as declared', () => {
    const names = Array.from({ length: 80 }, (_, index) => `x/${index}`);
    let bytes: Uint8Array = makeWheel('x', '1.0', Object.fromEntries(names.map((name) => [name, some])), {
      level: 6,
    }).bytes;
    for (const name of names) bytes = patched(bytes, recordOf(bytes, name) + 24, 15_000_000);
    expect(80 * 15_000_000).toBeGreaterThan(wheelLimits.maxUnpackedBytes);
    expect(refusal(bytes).message).toContain('would unpack to more than');
  });

  test('a member that unpacks to more than it says is never written past its size', () => {
    const { bytes } = makeWheel('x', '1.0', { 'x/a': [zeros, { level: 9 }] }, { level: 6 });
    const lying = patched(bytes, recordOf(bytes, 'x/a') + 24, 1000);
    expect(() => vetWheel(lying, 'x.whl')).not.toThrow();
    expect(() => unpackWheel(lying, 'x.whl')).toThrow('unpacks to another size than it says');
    const modest = makeWheel('x', '1.0', { 'x/a': new Uint8Array(2000) }, { level: 6 }).bytes;
    const more = patched(modest, recordOf(modest, 'x/a') + 24, 3000);
    expect(() => unpackWheel(more, 'x.whl')).toThrow('unpacks to another size than it says');
  });

  test('too many members', () => {
    const { bytes } = makeWheel('x');
    const end = bytes.length - 22;
    const many = patched(patched(bytes, end + 8, 50_001, 2), end + 10, 50_001, 2);
    expect(refusal(many).message).toContain('50001 members, 50000 at most');
  });
});

test('T25, F16: a wheel that was cut off, anywhere', () => {
  const { bytes } = makeWheel('x', '1.0', {}, { level: 6 });
  for (let length = 0; length < bytes.length; length++) {
    expect(refusal(bytes.subarray(0, length)).reason).toBe('unsafe_wheel');
  }
  expect(refusal(bytes.subarray(0, bytes.length - 5)).message).toContain('cut off');
});

test('T25: an archive without metadata is no wheel', () => {
  expect(refusal(zipSync({ 'x.py': some })).message).toContain('no wheel');
});

test('T25: damage of any byte is a refusal or a whole result, never another error', () => {
  const { bytes } = makeWheel('x', '1.0', { 'x/a.py': new Uint8Array(100).fill(65) }, { level: 6 });
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
      const copy = bytes.slice();
      copy[at] = value;
      try {
        const total = [...unpackWheel(copy, 'x.whl').values()].reduce((sum, one) => sum + one.length, 0);
        expect(total).toBeLessThan(10_000);
      } catch (error) {
        expect(error).toBeInstanceOf(InstallError);
      }
    }),
    { numRuns: 500 },
  );
});

test.each([
  ['a.py', 'a'],
  ['a.so', 'a'],
  ['a.cpython-314-wasm32-emscripten.so', 'a'],
  ['a.abi3.so', 'a'],
  ['a.pyemscripten_2026_0.so', 'a'],
  ['_a1/b/c.py', '_a1'],
  ['a/.py', 'a'],
  ['a/b.c.so', 'a'],
  ['a.b.py', undefined],
  ['a.foo.so', undefined],
  ['a.cpython-314.py', undefined],
  ['a.abi3/b.so', undefined],
  ['1a.py', undefined],
  ['a-b/c.py', undefined],
  ['.py', undefined],
  ['a', undefined],
  ['a.txt', undefined],
  ['a/b.txt', undefined],
])('the module of %j is %j', (path, name) => {
  const entry = { name: path, size: 0, packed: some, deflated: false, mode: 0 };
  expect(topLevelModules([{ path, entry }])).toEqual(name === undefined ? [] : [name]);
});

test('modules of hostile paths are found in linear time', () => {
  // With squared time, one of them takes minutes.
  const members = ['.cpython', '.py', '.so', 'a', '.abi3.so/'].flatMap((part) => {
    const path = `a/${part.repeat(1_000_000 / part.length)}!`;
    return [{ path, entry: { name: path, size: 0, packed: some, deflated: false, mode: 0 } }];
  });
  expect(topLevelModules(members)).toEqual([]);
});
