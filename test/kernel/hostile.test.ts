import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ImageBytes } from '../../src/image/format.ts';
import type { ResultMessage, RunMessage } from '../../src/protocol/messages.ts';
import { type Inside, loadInside } from './inside.ts';
import type { KernelReport, KernelScript } from './kernel.inside.ts';
import { outputOf, resultOf, runOf } from './run-message.ts';

const mebibyte = 2 ** 20;

let inside: Inside;
let image: ImageBytes;
beforeAll(async () => {
  inside = await loadInside('kernel');
  const built = await inside.run<KernelReport>({ freeze: true, runs: [] });
  if (built.image === undefined) throw new Error('no image');
  image = built.image;
});
afterAll(() => inside[Symbol.asyncDispose]());

async function reports(script: KernelScript): Promise<KernelReport['runs']> {
  return (await inside.run<KernelReport>({ image, ...script })).runs;
}

/** Runs them in one kernel, which must be clean and working after each. */
async function survive(...runs: RunMessage[]): Promise<ResultMessage[]> {
  const found = await reports({ runs: runs.flatMap((run) => [run, runOf('print(6 * 7)')]) });
  return runs.map((run, index) => {
    const [report, next] = [found[2 * index], found[2 * index + 1]];
    expect(report?.thrown, run.code).toBeUndefined();
    expect(report?.messages.at(-1), run.code).toMatchObject({ kind: 'rewound', dirty: null });
    expect(outputOf(next?.messages ?? []), `after ${run.code}`).toBe('42\n');
    return resultOf(report?.messages ?? []);
  });
}

async function crash(code: string): Promise<string> {
  const [report] = await reports({ runs: [runOf(code)] });
  expect(report?.messages.filter((message) => message.kind === 'result')).toStrictEqual([]);
  return report?.thrown ?? '';
}

const frame = `
import json, os, struct
def frame(body, size=None):
    text = json.dumps(body).encode() if not isinstance(body, bytes) else body
    return struct.pack("<II", (size or len(text)) + 4, len(text)) + text
`;

describe('the descriptors of the harness', () => {
  it('stay open and in place', async () => {
    const results = await survive(
      runOf('import os\nos.closerange(3, 4096)\n1'),
      runOf(
        'import os\nfailed = 0\nfor call in (lambda: os.close(1000), lambda: os.close(1001), lambda: os.dup2(1, 1000), lambda: os.dup2(2, 1001)):\n    try:\n        call()\n    except OSError as error:\n        failed += error.errno == 8\nassert failed == 4, failed',
      ),
    );
    expect(results.map(({ error }) => error)).toStrictEqual([null, null]);
  });

  it.each([
    ['garbage', 'import os\nos.write(1000, b"\\xff" * 64)', 'larger than the limits'],
    ['what is no JSON', `${frame}os.write(1000, frame(b"{"))`, 'not JSON'],
    ['a display without data', `${frame}os.write(1000, frame({"kind": "display", "parts": []}))`, 'neither'],
    [
      'a display that pretends a length',
      `${frame}os.write(1000, frame({"kind": "display", "data": {"a": {"length": -1e12}}, "metadata": {}, "parts": []}))`,
      'not text',
    ],
    [
      'a frame of no kind',
      `${frame}os.write(1000, frame({"data": {}, "metadata": {}, "parts": []}))`,
      'neither',
    ],
    [
      'what only a build tells',
      `${frame}os.write(1000, frame({"kind": "progress", "message": "x", "parts": []}))`,
      'neither',
    ],
    ['part of a frame', `${frame}os.write(1000, frame(b"{", 10**6))`, 'no result'],
  ])('end the kernel on %s, with the reason', async (_name, code, reason) => {
    expect(await crash(code)).toContain(reason);
  });

  it('take a result of the guest, but the last one counts', async () => {
    const forged = `${frame}os.write(1000, frame({"kind": "result", "status": "ok", "exitCode": 99, "parts": []}))\n`;
    const [overruled, alone] = await survive(
      runOf(`${forged}raise SystemExit(3)`),
      // What the harness says afterwards is swallowed by a frame that never ends.
      runOf(`${forged}os.write(1000, frame(b"{", 10**6))`),
    );
    expect(overruled?.exitCode).toBe(3);
    expect(alone).toMatchObject({ exitCode: 99, truncated: { results: false, value: false } });
  });

  it('take JSON of any depth without overflowing', async () => {
    const code = `${frame}body = b'{"kind":"display","parts":[],"data":{},"metadata":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"\nos.write(1000, frame(body))`;
    const [report, next] = await reports({ runs: [runOf(code), runOf('print(1)')] });
    // Either is fine: the host's parser refuses what is this deep.
    if (report?.thrown === undefined) expect(outputOf(next?.messages ?? [])).toBe('1\n');
    else expect(report.thrown).toContain('call stack');
  });

  it('sleep no longer than the time limit', async () => {
    const code = 'import os, struct\nos.write(1001, struct.pack("<d", 1e300))\nwhile True: pass';
    const other =
      'import os, struct\nos.write(1001, struct.pack("<d", float("nan")))\nos.write(1001, b"x")\n';
    const [stopped, fine] = await survive(runOf(code, { limits: { timeoutMs: 100 } }), runOf(other));
    expect(stopped).toMatchObject({ status: 'error', stopped: 'timeout' });
    expect(fine?.status).toBe('ok');
  });

  it('bound displays that are empty but for their number or their metadata', async () => {
    const code = (what: string): string =>
      `${frame}for _ in range(2000):\n    os.write(1000, frame({"kind": "display", "data": {}, "metadata": ${what}, "parts": []}))`;
    for (const what of ['{}', '{"a": "x" * 1000}']) {
      const [report] = await reports({ runs: [runOf(code(what), { limits: { outputBytes: 6400 } })] });
      const shown = report?.messages.filter((message) => message.kind === 'display').length ?? 0;
      expect(shown).toBeGreaterThan(0);
      expect(shown).toBeLessThanOrEqual(100);
      expect(resultOf(report?.messages ?? []).truncated.results).toBe(true);
    }
  });
});

describe('files', () => {
  const pathsOf = (result: ResultMessage | undefined): string[] | undefined =>
    result?.files.map((file) => file.path);

  it('come back from a working folder only', async () => {
    const results = await survive(
      runOf(
        'import os, shutil\nshutil.rmtree("/home/pyodide", ignore_errors=True)\nos.chdir("/")\nos.rmdir("/home/pyodide")',
      ),
      runOf('import os\nos.chdir("/")\nos.rmdir("/home/pyodide")\nopen("/home/pyodide", "w").write("x")'),
      runOf(
        'import os\nos.chdir("/")\nopen("/tmp/x", "w").write("x")\nos.rmdir("/home/pyodide")\nos.symlink("/", "/home/pyodide")',
      ),
      runOf('import os\nos.chdir("/")\nos.rename("/home", "/h")\nopen("/h/pyodide/x", "w").write("x")'),
      runOf('import os\nopen("x", "w").write("x")\nos.chdir("/")'),
    );
    expect(results.map(({ error }) => error?.value ?? null)).toStrictEqual([null, null, null, null, null]);
    expect(results.map(pathsOf)).toStrictEqual([[], [], [], [], ['x']]);
  });

  it('have any name that fits a path, others are left out', async () => {
    const [odd, long, deep] = await survive(
      runOf(
        'import os\nfor name in (b"\\xed\\xb0\\x80", b"\\xff", b"a\\\\b", b"\\n"):\n    open(name, "w").close()',
      ),
      runOf('open("é" * 2000, "w").close()\nopen("é" * 2100, "w").close()'),
      runOf(
        'import os\nfor n in range(25):\n    os.mkdir("d" * 200)\n    os.chdir("d" * 200)\nopen("x", "w").close()',
      ),
    );
    expect(odd?.files.length).toBe(4);
    expect([pathsOf(long), long?.truncated.files]).toStrictEqual([['é'.repeat(2000)], true]);
    expect([pathsOf(deep), deep?.truncated.files]).toStrictEqual([[], true]);
  });

  it('that meet each other, or have no room, fail their run and no more', async () => {
    const parts = (): Uint8Array[] => [new Uint8Array(mebibyte)];
    const files = (...paths: string[]): { path: string; part: number }[] =>
      paths.map((path) => ({ path, part: 0 }));
    const results = await survive(
      runOf('1', { files: files('a', 'a/b'), parts: parts() }),
      runOf('1', { files: files('a/b', 'a'), parts: parts() }),
      runOf('1', { files: files('a', 'b'), parts: parts(), limits: { memoryBytes: 1.5 * mebibyte } }),
      runOf('import os\nprint(os.stat("a").st_size)', { files: files('a', 'a'), parts: parts() }),
    );
    expect(results.map(({ error }) => error?.name ?? null)).toStrictEqual([
      'OSError',
      'OSError',
      'OSError',
      null,
    ]);
    expect(results[0]?.error?.value).toContain('"a/b"');
    expect(results.map(pathsOf)).toStrictEqual([[], [], [], []]);
  });

  it('and pipes take no more memory than the run may', async () => {
    const limits = { memoryBytes: 64 * mebibyte };
    const bounded = (setup: string, step: string): RunMessage =>
      runOf(
        `import os, errno\nblock = bytes(1 << 20)\nheld = []\n${setup}\nsteps = 0\ntry:\n    for _ in range(500):\n        ${step}\n        steps += 1\nexcept OSError as error:\n    assert error.errno == errno.ENOSPC, error\nelse:\n    raise AssertionError("no end")\nassert steps >= 60, steps`,
        { limits },
      );
    const free = (setup: string, step: string): RunMessage =>
      runOf(`import os, tempfile\nblock = bytes(1 << 20)\n${setup}\nfor n in range(200):\n    ${step}`, {
        limits,
      });
    const results = await survive(
      bounded('', 'open(f"f{steps}", "wb").write(block)'),
      bounded('', 'f = open("f", "wb", 0); f.write(block); os.unlink("f"); held.append(f)'),
      bounded(
        '',
        'f = open(f"f{steps}", "wb", 0); f.write(block); os.replace(f"f{steps}", "g"); held.append(f)',
      ),
      bounded('r, w = os.pipe()', 'os.write(w, block)'),
      free('', 'open("f", "wb").write(block); os.unlink("f")'),
      free('', 'open("f", "wb").write(block); os.replace("f", "g")'),
      free('', 'f = tempfile.TemporaryFile(); f.write(block); f.close()'),
      free(
        '',
        'f = open("f", "wb", 0); os.unlink("f"); d = os.dup(f.fileno()); f.write(block); f.close(); os.close(d)',
      ),
      free('r, w = os.pipe()', 'os.write(w, block); os.read(r, 1 << 20)'),
    );
    expect(results.map(({ error }) => error?.value ?? null)).toStrictEqual(results.map(() => null));
  });

  it('may be open by the thousand', async () => {
    const code =
      'import os\ntry:\n    while True:\n        os.open("x", os.O_WRONLY | os.O_CREAT)\nexcept OSError as error:\n    print(error.errno)';
    const [result] = await survive(runOf(code));
    expect(result).toMatchObject({ status: 'ok', error: null });
  });
});

describe('limits', () => {
  it('of nothing give nothing', async () => {
    const limits = { outputBytes: 0, fileBytes: 0, fileCount: 0, valueBytes: 0 };
    const [result] = await survive(
      runOf('print("x")\ndisplay(1)\nopen("f", "w").write("x")\n[1]', { limits }),
    );
    expect(result).toMatchObject({
      status: 'ok',
      files: [],
      truncated: { stdout: true, results: true, value: true, files: true },
    });
  });

  it('of memory that is no whole number of pages, or below the heap, end in MemoryError', async () => {
    const bomb = 'held = []\nwhile True:\n    held.append(bytes(40_001))';
    const results = await survive(
      ...[64 * mebibyte + 1, 64 * mebibyte + 40_000, 64 * mebibyte + 65_535, mebibyte].map((memoryBytes) =>
        runOf(bomb, { limits: { memoryBytes } }),
      ),
    );
    expect(results.map(({ error }) => error?.name)).toStrictEqual(results.map(() => 'MemoryError'));
  });

  it('below what Python needs end the boot', async () => {
    await expect(reports({ runs: [], maxHeapBytes: mebibyte })).rejects.toThrow(/needs \d+ bytes of memory/);
  });
});

it('an environment that no process can have fails its run and no more', async () => {
  const results = await survive(
    runOf('1', { env: { 'a=b': 'x' } }),
    runOf('1', { env: { a: 'x\0' } }),
    runOf('1', { env: { '': 'x' } }),
  );
  expect(results.map(({ status }) => status)).toStrictEqual(results.map(() => 'error'));
});
