import { parse } from 'smol-toml';
import { expect, test } from 'vitest';
import type { Lock } from './lock.ts';
import { encodePylock } from './pylock.ts';

test('a lock as pylock.toml', () => {
  const lock: Lock = {
    version: 1,
    pyodide: '314.0.7',
    abi: 'pyemscripten_2026_0',
    requirements: ['b'],
    packages: ['b', 'a'].map((name) => ({
      name,
      version: '1.0',
      fileName: `${name}-1.0-py3-none-any.whl`,
      sha256: 'ab'.repeat(32),
      source: { kind: 'distribution' },
      dependencies: name === 'b' ? ['a'] : [],
      imports: [name],
    })),
  };
  const text = encodePylock(lock, {
    python: '3.14.2',
    locate: ({ fileName }) => ({ url: `https://x.example/${fileName}` }),
  });
  const wheel = (name: string) => ({
    name: `${name}-1.0-py3-none-any.whl`,
    url: `https://x.example/${name}-1.0-py3-none-any.whl`,
    hashes: { sha256: 'ab'.repeat(32) },
  });
  expect(parse(text)).toEqual({
    'lock-version': '1.0',
    environments: ["sys_platform == 'emscripten'"],
    'requires-python': '==3.14.*',
    'created-by': 'vivarium',
    packages: [
      { name: 'a', version: '1.0', wheels: [wheel('a')] },
      { name: 'b', version: '1.0', dependencies: [{ name: 'a', version: '1.0' }], wheels: [wheel('b')] },
    ],
    tool: { vivarium: { pyodide: '314.0.7', abi: 'pyemscripten_2026_0', requirements: ['b'] } },
  });
});
