import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { VivariumError } from '../../src/errors/errors.ts';
import { createRuntime } from '../../src/node.ts';

/** What a worker process writes instead of the protocol. */
const lies: [name: string, script: string][] = [
  ['a length of four gigabytes', 'process.stdout.write(Buffer.alloc(64, 0xff))'],
  ['a length that is never met, then the end', 'process.stdout.end(Buffer.from([0, 0, 0, 200, 1, 2, 3, 4]))'],
  ['zeros without end', 'setInterval(() => process.stdout.write(Buffer.alloc(65536)), 1)'],
  ['text', 'process.stdout.write("Hello, I am a worker.\\n".repeat(1000))'],
  [
    'a frame of a version that does not exist',
    'process.stdout.write(Buffer.from([255, 255, 255, 0]))\nprocess.exit(0)',
  ],
];

describe('F06: a process that lies about its frames from the start', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vivarium-liar-'));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });

  it.each(lies)('is refused and ended: %s', async (_, script) => {
    const path = join(folder, 'liar');
    writeFileSync(path, `#!${process.execPath}\nprocess.stdin.resume()\n${script}\n`);
    chmodSync(path, 0o755);
    vi.stubEnv('VIVARIUM_DENO', path);
    const runtime = await createRuntime({ engine: 'deno', size: 1 });
    try {
      const error = await runtime.run('1').then(
        () => new Error('a liar must not run Python'),
        (error: unknown) => error,
      );
      expect(error).toBeInstanceOf(VivariumError);
      expect(['worker', 'internal']).toContain((error as VivariumError).fault);
    } finally {
      await runtime.close();
    }
  });
});
