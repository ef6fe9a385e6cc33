import { expect, it } from 'vitest';
import type { Execution } from '../../src/runtime.ts';
import { evaluate, ok, py, type Subject } from './subject.ts';

const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);
const paths = (execution: Execution): string[] => execution.files.map((file) => file.path).sort();

async function* stream(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

export function files(subject: Subject): void {
  it('puts bytes, text and streams under the working folder', async () => {
    const value = await evaluate(
      subject.run('[open(p, "rb").read() for p in ("a.bin", "deep/er/b.txt", "c.bin", "empty")]', {
        files: {
          'a.bin': Uint8Array.from({ length: 256 }, (_, i) => i),
          'deep/er/b.txt': 'ü',
          'c.bin': stream(Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3)),
          empty: '',
        },
      }),
    );
    expect(value).toStrictEqual([
      Uint8Array.from({ length: 256 }, (_, i) => i),
      new TextEncoder().encode('ü'),
      Uint8Array.of(1, 2, 3),
      new Uint8Array(0),
    ]);
  });

  it('brings back new and changed files with size and type, and no others', async () => {
    const execution = await ok(
      subject.run(
        py`
          import os
          open("new.csv", "w").write("a,b\n1,2\n")
          os.makedirs("plots/old")
          open("plots/p.png", "wb").write(bytes(range(256)))
          open("changed.txt", "a").write("!")
          open("same-size.txt", "r+").write("B")
          os.remove("deleted.txt")
          open("gone.txt", "w").write("x")
          os.remove("gone.txt")
          open("empty", "w").close()
          open("untouched.txt").read()
        `,
        {
          files: {
            'changed.txt': 'hi',
            'same-size.txt': 'A',
            'deleted.txt': 'x',
            'untouched.txt': 'x',
          },
        },
      ),
    );
    expect(paths(execution)).toStrictEqual([
      'changed.txt',
      'empty',
      'new.csv',
      'plots/p.png',
      'same-size.txt',
    ]);
    const byPath = new Map(execution.files.map((file) => [file.path, file]));
    expect(byPath.get('new.csv')).toMatchObject({ mimeType: 'text/csv', size: 8 });
    expect(byPath.get('plots/p.png')).toMatchObject({ mimeType: 'image/png', size: 256 });
    expect(byPath.get('plots/p.png')?.bytes).toStrictEqual(Uint8Array.from({ length: 256 }, (_, i) => i));
    expect(text(byPath.get('changed.txt')?.bytes)).toBe('hi!');
    expect(text(byPath.get('same-size.txt')?.bytes)).toBe('B');
    expect(byPath.get('empty')?.size).toBe(0);
    expect(new Set(execution.files.map((file) => file.id)).size).toBe(execution.files.length);
  });

  it('follows a file that was moved, and a folder that changed its place', async () => {
    const execution = await ok(
      subject.run(
        'import os, shutil\nos.rename("a.txt", "b.txt")\nshutil.move("in", "out")\nos.chdir("/tmp")',
        {
          files: { 'a.txt': 'a', 'in/c.txt': 'c' },
        },
      ),
    );
    expect(paths(execution)).toStrictEqual(['b.txt', 'out/c.txt']);
  });

  it('brings back nothing from elsewhere', async () => {
    const execution = await ok(subject.run('open("/tmp/elsewhere.txt", "w").write("x")'));
    expect(execution.files).toStrictEqual([]);
  });

  it('keeps names as they are', async () => {
    const names = ['with space.txt', 'ünï🐍.txt', '__proto__', '.hidden', 'quote\'".txt'];
    const code = 'for n in names:\n    open(n, "w").write(n)';
    const execution = await ok(subject.run(code, { globals: { names } }));
    expect(paths(execution)).toStrictEqual([...names].sort());
  });

  it('ends on links that go round, and follows none out of the folder', async () => {
    const execution = await ok(
      subject.run(py`
        import os
        open("/tmp/outside.txt", "w").write("outside")
        for target, name in ((".", "loop"), ("/", "root"), ("/tmp/outside.txt", "link.txt"), ("void", "dangling")):
            os.symlink(target, name)
        open("real.txt", "w").write("x")
      `),
    );
    expect(paths(execution)).toStrictEqual(['real.txt']);
  });

  it('imports modules from the working folder', async () => {
    const code = 'import helper\nfrom pkg import inner\n[helper.X, inner.Y]';
    const first = { 'helper.py': 'X = 1', 'pkg/__init__.py': '', 'pkg/inner.py': 'Y = 2' };
    expect(await evaluate(subject.run(code, { files: first }))).toStrictEqual([1, 2]);
    const second = { 'helper.py': 'X = 3', 'pkg/__init__.py': '', 'pkg/inner.py': 'Y = 4' };
    expect(await evaluate(subject.run(code, { files: second }))).toStrictEqual([3, 4]);
  });

  it('brings back no caches of the interpreter', async () => {
    const execution = await ok(subject.run('import helper', { files: { 'helper.py': 'X = 1' } }));
    expect(execution.files).toStrictEqual([]);
  });

  it.each(['../up.txt', '/etc/absolute.txt', 'a/../../b', 'a\0b', '', '.', 'dir/'])(
    'refuses the path %j',
    async (path) => {
      await expect(async () => await subject.run('1', { files: { [path]: 'x' } })).rejects.toThrow();
      expect(await evaluate(subject.run('1 + 1'))).toBe(2);
    },
  );

  it('rejects when a stream of a file fails, and goes on', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Uint8Array.of(1);
      throw new Error('the source broke');
    }
    await expect(async () => await subject.run('1', { files: { 'a.bin': broken() } })).rejects.toThrow(
      /the source broke/,
    );
    expect(await evaluate(subject.run('1 + 1'))).toBe(2);
  });

  it('starts each run in an empty folder', async () => {
    await ok(subject.run('open("left.txt", "w").write("x")', { files: { 'in.txt': 'x' } }));
    expect(await evaluate(subject.run('import os\nos.listdir(".")'))).toStrictEqual([]);
  });
}
