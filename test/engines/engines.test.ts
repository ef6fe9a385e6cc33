import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, Worker } from '../../src/engines/engine.ts';
import type { ImageSource } from '../../src/packages/image-source.ts';
import { makeWheel } from '../packages/make-wheel.ts';
import { end, engines, finish, isAlive, run, startOptions } from './subject.ts';

describe.each(engines)('the engine %s', (kind, createEngine) => {
  let dir: string;
  let engine: Engine;
  let worker: Worker;
  let imagePath: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), `vivarium-${kind}-`));
    engine = createEngine({ image: true, cacheDir: dir });
    const built: string[] = [];
    const workers = await Promise.all(
      ['a', 'b', 'c'].map((id) =>
        engine.start(
          startOptions({
            id,
            onProgress: ({ message }) => {
              if (message === 'building the image stdlib') built.push(id);
            },
          }),
        ),
      ),
    );
    expect(built.length).toBe(1);
    const [first, ...others] = workers;
    if (first === undefined) throw new Error('no worker');
    worker = first;
    await Promise.all(others.map(end));
    const names = await readdir(join(dir, 'images'));
    expect(names).toStrictEqual([expect.stringMatching(/^stdlib-[0-9a-f]{24}\.image$/)]);
    imagePath = join(dir, 'images', names[0] ?? '');
  });
  afterAll(async () => {
    await end(worker);
    await rm(dir, { recursive: true, force: true });
  });

  it('runs Python, and tells of its worker', async () => {
    expect(await finish(worker, '1 + 1')).toMatchObject({ status: 'ok', text: '2' });
    expect(worker).toMatchObject({ id: 'a', pyodide: '314.0.7' });
    expect(worker.pid === undefined).toBe(kind === 'node');
    expect(worker.bootMs).toBeGreaterThan(0);
  });

  it('answers a ping while Python computes', async () => {
    const id = `${kind}-ping`;
    const running = run(worker, 'print("go", flush=True)\nwhile True: pass', { id });
    await running.printed('go');
    const { heapBytes, residentBytes } = await worker.ping(5000);
    expect(heapBytes).toBeGreaterThan(10 * 2 ** 20);
    expect(residentBytes === null).toBe(kind === 'node');
    worker.interrupt(id, 'interrupted');
    await running.rewound;
  });

  it.each([
    ['computes', 'while True: pass'],
    ['sleeps', 'import time\ntime.sleep(1000)'],
    ['awaits', 'import asyncio\nawait asyncio.sleep(1000)'],
    [
      'waits in a loop that swallows',
      'import time\ntry:\n    time.sleep(1000)\nexcept KeyboardInterrupt:\n    time.sleep(1000)',
    ],
  ])('interrupts code that %s', async (name, code) => {
    const id = `${kind}-${name}`;
    const running = run(worker, `print("go", flush=True)\n${code}`, { id });
    await running.printed('go');
    worker.interrupt('another-run', 'interrupted');
    await worker.ping(5000);
    worker.interrupt(id, 'interrupted');
    expect(await running.result).toMatchObject({ status: 'error', stopped: 'interrupted' });
    expect((await running.rewound).dirty).toBe(null);
  });

  it('loses no interrupt that comes right behind its run', async () => {
    for (let round = 0; round < 10; round++) {
      const id = `${kind}-soon-${round}`;
      const running = run(worker, 'while True: pass', { id, limits: { timeoutMs: 3000 } });
      worker.interrupt(id, 'interrupted');
      expect(await running.result).toMatchObject({ stopped: 'interrupted' });
      await running.rewound;
    }
  });

  it('ignores interrupts for runs that are none, and for one that has ended', async () => {
    const id = `${kind}-ended`;
    const running = run(worker, '1', { id });
    await running.result;
    worker.interrupt(id, 'interrupted');
    await running.rewound;
    worker.interrupt(id, 'interrupted');
    worker.interrupt('none', 'timeout');
    expect(await finish(worker, '2')).toMatchObject({ status: 'ok', stopped: null });
  });

  // ---- the image -----------------------------------------------------------------------------------------------

  /** An engine with a folder of its own, where `damage` has been done to a copy of the image. */
  async function damaged(
    damage: (path: string) => Promise<void>,
  ): Promise<{ engine: Engine; folder: string }> {
    const folder = await mkdtemp(join(dir, 'damaged-'));
    await mkdir(join(folder, 'images'));
    const path = join(folder, 'images', imagePath.slice(imagePath.lastIndexOf('/') + 1));
    await copyFile(imagePath, path);
    await damage(path);
    return { engine: createEngine({ image: true, cacheDir: folder }), folder };
  }

  const flip = (at: number) => async (path: string) => {
    const bytes = await readFile(path);
    const place = at < 0 ? bytes.length + at : at;
    bytes[place] = (bytes[place] ?? 0) ^ 1;
    await writeFile(path, bytes);
  };

  it.each<[string, (path: string) => Promise<void>, string]>([
    ['is cut', (path) => truncate(path, 1_000_000), 'cut short'],
    ['is empty', (path) => truncate(path, 0), 'cut short'],
    ['has a bit changed in a page', flip(-5000), 'checksum'],
    ['has another version', flip(8), 'version'],
    [
      'is a folder',
      async (path) => {
        await rm(path);
        await mkdir(path);
      },
      "can't be read",
    ],
  ])('T42, F08: notices an image that %s', async (_name, damage, reason) => {
    const { engine: other } = await damaged(damage);
    const stop = new AbortController();
    const warnings: string[] = [];
    const starting = other.start(
      startOptions({
        signal: stop.signal,
        // That it is built anew then is told by the next test.
        onWarning: (message) => {
          warnings.push(message);
          stop.abort(new Error('noticed'));
        },
      }),
    );
    await expect(starting).rejects.toThrow('noticed');
    expect(warnings).toStrictEqual([expect.stringContaining(reason)]);
  });

  it('F08: builds a damaged image anew', async () => {
    const { engine: other, folder } = await damaged(
      kind === 'deno' ? flip(-5000) : (path) => rm(path).then(() => mkdir(path)),
    );
    const warnings: string[] = [];
    const repaired = await other.start(startOptions({ onWarning: (message) => warnings.push(message) }));
    expect(warnings).toStrictEqual([expect.stringContaining('built anew')]);
    expect(await finish(repaired, '2 + 2')).toMatchObject({ text: '4' });
    await end(repaired);
    expect((await readdir(join(folder, 'images'))).length).toBe(1);
  });

  it('boots plainly, with a warning, where no image can be kept', async () => {
    await writeFile(join(dir, 'file'), '');
    const warnings: string[] = [];
    const other = createEngine({ image: true, cacheDir: join(dir, 'file', 'below') });
    const plain = await other.start(startOptions({ onWarning: (message) => warnings.push(message) }));
    expect(warnings).toStrictEqual([expect.stringContaining("can't be kept")]);
    expect(await finish(plain, 'import sys\nsys.version_info[:2]')).toMatchObject({ text: '(3, 14)' });
    await end(plain);
  });

  // ---- packages ------------------------------------------------------------------------------------------------

  /** An image with a package of its own; `loads` counts how often its wheels were wanted. */
  async function packageImage(): Promise<ImageSource & { loads(): number }> {
    const folder = await mkdtemp(join(dir, 'wheels-'));
    const { fileName, bytes } = makeWheel('frozen', '1.5', {
      'frozen/data.bin': new Uint8Array(3_000_000).fill(7),
    });
    await writeFile(join(folder, fileName), bytes);
    let loads = 0;
    return {
      lockHash: `lock-${kind}`,
      name: 'frozen',
      async load() {
        loads += 1;
        const url = pathToFileURL(join(folder, fileName)).href;
        const warm = [{ filename: 'warm.py', code: 'open("/tmp/warm", "w").write("warm")' }];
        return { wheels: [{ fileName, url }], imports: ['frozen'], warm };
      },
      loads: () => loads,
    };
  }

  const look = [
    'import sys, os',
    'was = "frozen" in sys.modules',
    'import frozen',
    'size = os.path.getsize(os.path.dirname(frozen.__file__) + "/data.bin")',
    '(was, frozen.version, size, open("/tmp/warm").read())',
  ].join('\n');

  it('freezes packages into an image of their own, and restores it without their wheels', async () => {
    const folder = await mkdtemp(join(dir, 'packages-'));
    const image = await packageImage();
    const expected = "(True, '1.5', 3000000, 'warm')";
    const other = createEngine({ image: true, cacheDir: folder });
    for (let turn = 0; turn < 2; turn += 1) {
      const frozen = await other.start(startOptions({ image }));
      expect(await finish(frozen, look)).toMatchObject({ text: expected });
      expect(await finish(frozen, `${look}\nfrozen.version = 2\nos.remove(frozen.__file__)`)).toMatchObject({
        status: 'ok',
      });
      expect(await finish(frozen, look)).toMatchObject({ text: expected });
      await end(frozen);
    }
    expect(image.loads()).toBe(1);
    const [name = ''] = await readdir(join(folder, 'images'));
    expect(name).toMatch(/^packages-/);

    // The same file, given by its path: used as it is, or refused.
    const path = join(folder, 'given.image');
    await copyFile(join(folder, 'images', name), path);
    const given = { ...image, path };
    const none = createEngine({ image: true, cacheDir: join(dir, 'nowhere') });
    const restored = await none.start(startOptions({ image: given }));
    expect(await finish(restored, look)).toMatchObject({ text: expected });
    await end(restored);
    await expect(none.start(startOptions({ image: { ...given, lockHash: 'other' } }))).rejects.toMatchObject({
      code: 'install',
      message: expect.stringContaining('image is for another lockHash'),
    });
    await truncate(path, 1_000_000);
    const fresh = createEngine({ image: true, cacheDir: join(dir, 'nowhere') });
    await expect(fresh.start(startOptions({ image: given }))).rejects.toMatchObject({
      code: 'install',
      message: expect.stringContaining('cut short'),
    });
    expect((await stat(path)).size).toBe(1_000_000);
    expect(image.loads()).toBe(1);
  });

  it('has packages without an image, too', async () => {
    const image = await packageImage();
    const plain = await createEngine({ image: false }).start(startOptions({ image }));
    expect(await finish(plain, look)).toMatchObject({ text: "(True, '1.5', 3000000, 'warm')" });
    await end(plain);
  });

  it('tells which package can’t be imported, and keeps no image', async () => {
    const folder = await mkdtemp(join(dir, 'broken-'));
    const image = await packageImage();
    const broken: ImageSource = {
      ...image,
      load: async (options) => ({ ...(await image.load(options)), imports: ['missing'] }),
    };
    const other = createEngine({ image: true, cacheDir: folder });
    await expect(other.start(startOptions({ image: broken }))).rejects.toMatchObject({
      code: 'install',
      message: expect.stringContaining('missing'),
      details: { reason: 'import_failed' },
    });
    expect(await readdir(join(folder, 'images'))).toStrictEqual([]);
  });

  const install = 'import micropip\nawait micropip.install("late")\n';

  it('lets a run ask for packages, at no cost of its time, and forgets them', async () => {
    const { bytes } = makeWheel('late', '2.0', { 'late/data.bin': new Uint8Array(5_000_000).fill(3) });
    const asked: unknown[] = [];
    let waited = 0;
    const started = performance.now();
    const { result, rewound } = run(worker, `${install}import late\nprint(late.version)\nlate.version`, {
      async onAsk(question) {
        asked.push(question);
        const from = performance.now();
        // The worker answers while its kernel waits.
        for (let ping = 0; ping < 20; ping += 1) await worker.ping(5000);
        waited = performance.now() - from;
        return { body: '[{"name":"late","version":"2.0"}]', parts: [new Uint8Array(bytes)] };
      },
    });
    const { runMs, ...outcome } = await result;
    expect(outcome).toMatchObject({ status: 'ok', text: "'2.0'", stopped: null });
    expect(runMs).toBeLessThanOrEqual(performance.now() - started - waited);
    expect(asked).toStrictEqual([{ kind: 'install', requirements: ['late'] }]);
    expect((await rewound).dirty).toBe(null);
    expect(await finish(worker, 'import importlib.util\nimportlib.util.find_spec("late")')).toMatchObject({
      text: null,
    });
  });

  it('refuses what a run asks for when nobody is there to give it', async () => {
    expect(await finish(worker, install)).toMatchObject({
      status: 'error',
      error: { name: 'InstallError', value: expect.stringContaining('Nothing can be installed here') },
    });
    expect(await finish(worker, '1 + 1')).toMatchObject({ text: '2' });
  });

  it('keeps no host waiting that has killed it meanwhile', async () => {
    const asker = fileURLToPath(new URL('fixtures/asker.mjs', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [asker, kind, dir], { timeout: 20_000 });
    expect(stdout).toBe('ended\n');
  });

  // ---- the end ---------------------------------------------------------------------------------------------------

  it('ends a boot by its signal, before it begins and in between', async () => {
    const before = AbortSignal.abort(new Error('never'));
    await expect(engine.start(startOptions({ signal: before }))).rejects.toThrow('never');
    const during = new AbortController();
    const starting = engine.start(
      startOptions({ signal: during.signal, onProgress: () => during.abort(new Error('enough')) }),
    );
    await expect(starting).rejects.toThrow('enough');
  });

  it('tells a boot that takes too long', async () => {
    await expect(engine.start(startOptions({ bootTimeoutMs: 1 }))).rejects.toMatchObject({
      code: 'boot_timeout',
    });
  });

  it('refuses a memory limit that Python can’t start in', async () => {
    const init = { maxHeapBytes: 2 ** 20, warmingRuns: 0, env: {} };
    await expect(engine.start(startOptions({ init }))).rejects.toMatchObject({ code: 'boot_failed' });
  });

  it('tells a run that its worker is gone, and says how', async () => {
    const victim = await engine.start(startOptions());
    const running = run(victim, 'print("go", flush=True)\nwhile True: pass');
    await running.printed('go');
    victim.kill();
    await expect(running.result).rejects.toMatchObject({ code: 'crashed' });
    expect(await victim.exited).toMatchObject({ expected: true, reason: expect.stringContaining('ended') });
    if (victim.pid !== undefined) expect(isAlive(victim.pid)).toBe(false);
    await expect(finish(victim, '1')).rejects.toMatchObject({ code: 'crashed' });
    await expect(victim.ping(1000)).rejects.toMatchObject({ code: 'crashed' });
  });

  it('ends an idle worker in order', async () => {
    const idle = await engine.start(startOptions());
    await idle.shutdown(10_000);
    expect((await idle.exited).expected).toBe(true);
  });

  it('ends a worker whose code broke the kernel, with the reason', async () => {
    const victim = await engine.start(startOptions());
    const { result } = run(victim, 'import os\nos.write(1000, b"\\xff" * 64)');
    await expect(result).rejects.toMatchObject({
      code: 'crashed',
      message: expect.stringContaining('larger than'),
    });
    expect((await victim.exited).expected).toBe(false);
  });
});
