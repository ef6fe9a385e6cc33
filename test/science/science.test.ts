import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRuntime } from '../../src/node.ts';
import type { Runtime } from '../../src/runtime.ts';
import { mirrorForTests } from '../wheels.ts';
import { differences } from './same-output.ts';

/** Packages that a script needs beyond the `science` image, and then all that it needs: an image of its own. */
const scripts: Readonly<Record<string, readonly string[]>> = {
  numpy_numbers: [],
  pandas_groupby: [],
  matplotlib_fonts: [],
  pillow_drawing: [],
  scipy_calculus: [],
  sklearn_fit: [],
  sympy_algebra: [],
  openpyxl_workbook: ['pandas', 'openpyxl'],
  lxml_parsing: ['lxml'],
  pydantic_models: ['pydantic'],
  regex_matching: ['regex'],
};
const science = ['numpy', 'pandas', 'matplotlib', 'pillow', 'scipy', 'scikit-learn', 'sympy'];

const text = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');

it('every script has its native output, and the other way round', () => {
  const native: { scripts: string[] } = JSON.parse(text('expected/index.json'));
  expect(native.scripts).toEqual(Object.keys(scripts).sort());
});

const { folder, missing } = await mirrorForTests([...science, ...Object.values(scripts).flat()]);

describe.skipIf(folder === undefined)(
  `real scripts (wheels missing: ${missing.join(', ') || 'none'})`,
  () => {
    let runtime: Runtime;
    beforeAll(async () => {
      runtime = await createRuntime({
        image: 'science',
        size: 1,
        // The first boot builds the image.
        bootTimeoutMs: 600_000,
        ...(folder === undefined ? {} : { mirror: folder }),
      });
      await runtime.warm();
    }, 600_000);
    afterAll(() => runtime?.close());

    it.each(Object.entries(scripts))(
      '%s prints what it prints natively',
      {
        timeout: 300_000,
      },
      async (name, packages) => {
        const execution = await runtime.run(text(`scripts/${name}.py`), {
          filename: `${name}.py`,
          files: { 'sales.csv': text('scripts/sales.csv') },
          ...(packages.length > 0 ? { packages } : {}),
        });
        expect(execution.error?.traceback.join('\n')).toBeUndefined();
        expect(differences(execution.stdout, text(`expected/${name}.txt`))).toEqual([]);
        expect(execution.stderr).toBe('');
        if (name === 'matplotlib_fonts') expect(execution.png).toMatch(/^iVBORw0KGgo/);
      },
    );
  },
);
