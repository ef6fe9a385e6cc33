import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startOptions } from '../../engines/subject.ts';
import { sideModule } from '../../kernel/side-module.ts';
import { makeWheel } from '../../packages/make-wheel.ts';
import { type Possessed, possess } from './build.ts';

/** See `fixtures/realm.mjs`. */
interface Report {
  at: string;
  permissions: Record<string, string>;
  libraries: boolean[];
  names?: number;
  seen?: number;
  reached?: string[];
  open?: string[];
  changed?: string[];
}

/** A package with a dynamic library, which is loaded when it's imported. */
const loader = `import ctypes, os
ctypes.CDLL(os.path.join(os.path.dirname(__file__), "answer.so")).answer()
`;

describe('the kernel’s thread while an image is built, and while one is restored', () => {
  let possessed: Possessed;
  const reports: Report[] = [];
  beforeAll(async () => {
    possessed = await possess({ kernel: 'realm-kernel.mjs' });
    const files = { 'loader/now.py': Buffer.from(loader), 'loader/answer.so': sideModule({ answer: 42 }) };
    const { fileName, bytes } = makeWheel('loader', '1.0', files);
    const path = join(possessed.folder, fileName);
    await writeFile(path, bytes);
    const packages = {
      wheels: [{ fileName, url: pathToFileURL(path).href }],
      imports: ['loader.now'],
      warm: [{ filename: 'warm.py', code: 'import loader.now' }],
    };
    const { createDenoEngine }: typeof import('../../../src/engines/deno/host.ts') = await import(
      possessed.url('engines/deno/host.js')
    );
    await using engine = createDenoEngine({ image: true });
    const worker = await engine.start(
      startOptions({
        image: { lockHash: randomUUID(), name: 'loader', load: () => Promise.resolve(packages) },
        onProgress({ message }) {
          if (message.startsWith('{')) reports.push(JSON.parse(message));
        },
      }),
    );
    await worker.shutdown(10_000);
  });
  afterAll(() => possessed[Symbol.asyncDispose]());

  it('tells of each step', () => {
    const steps = [
      'starting Python',
      'Python started',
      'ready',
      'restoring the image',
      'image restored',
      'ready',
    ];
    expect(reports.map(({ at }) => at)).toStrictEqual(steps);
  });

  it('has no permission any more, before packages are imported', () => {
    for (const { at, permissions } of reports) {
      expect(Object.keys(permissions).length, at).toBe(10);
      expect(new Set(Object.values(permissions)), at).toStrictEqual(new Set(['prompt']));
    }
  });

  it('has a realm that is frozen before a library is loaded, and leads to nothing of the platform', () => {
    const whole = reports.filter(({ seen }) => seen !== undefined);
    expect(whole.length).toBe(4);
    for (const { at, names = 0, seen, reached, open, changed, libraries } of whole) {
      expect(libraries, at).toStrictEqual([true]);
      expect(names, at).toBeGreaterThan(50);
      expect(seen, at).toBeGreaterThan(500);
      expect(reached, at).toStrictEqual([]);
      // Deno keeps what is its own on the global object, under symbols.
      const languages = open?.filter((path) => !path.startsWith('globalThis.Symbol('));
      expect(languages, at).toStrictEqual([expect.stringMatching(/\.stackTraceLimit$/)]);
      expect(changed, at).toStrictEqual([]);
    }
  });
});
