import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { mirrorForTests } from '../wheels.ts';
import { temporaryFolder, vivarium } from './program.ts';

const examples = fileURLToPath(new URL('../../examples', import.meta.url));
const { folder = '', missing } = await mirrorForTests(['numpy', 'pandas', 'matplotlib']);

describe.skipIf(folder === '')(
  `examples with packages (wheels missing: ${missing.join(', ') || 'none'})`,
  () => {
    test('chart.py: a table, and a chart that comes back', { timeout: 300_000 }, async () => {
      const cwd = temporaryFolder();
      const files = ['--file', join(examples, 'sales.csv')];
      const args = ['run', join(examples, 'chart.py'), '--mirror', folder, ...files];
      const { code, stdout } = await vivarium(args, { cwd });
      expect(stdout.split('\n')).toContain('2025-03 7215.90 5922.20 2417.00');
      expect(readdirSync(cwd)).toEqual(['chart.png']);
      expect(readFileSync(join(cwd, 'chart.png')).subarray(1, 4).toString()).toBe('PNG');
      expect(code).toBe(0);
    });

    test('numpy-pool.ts: every job has its slope', { timeout: 300_000 }, async () => {
      const env = { ...process.env, VIVARIUM_MIRROR: folder };
      const { stdout } = await promisify(execFile)(process.execPath, [join(examples, 'numpy-pool.ts')], {
        env,
      });
      const slopes = [...stdout.matchAll(/slope: (-?[\d.]+)/g)].map(([, slope]) => Math.round(Number(slope)));
      expect(slopes.map(Math.abs)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    });
  },
);
