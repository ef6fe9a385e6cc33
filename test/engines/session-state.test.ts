import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, Frozen, Worker } from '../../src/engines/engine.ts';
import type { DeltaHeader } from '../../src/image/delta.ts';
import type { ResultMessage } from '../../src/protocol/messages.ts';
import { end, engines, run, startOptions } from './subject.ts';

/** What pickle refuses, or what only lies outside of Python's heap. */
const rich = `
import os, tempfile, time

def counting():
    n = 0
    while True:
        n += 1
        yield n

numbers = counting()
next(numbers), next(numbers)

def make():
    total = 0
    def add(n):
        nonlocal total
        total += n
        return total if n == 0 else add(n - 1)
    return add

add = make()
add(3)

class Node:
    def __init__(self):
        self.me = self
        self.items = {"self": self}

node = Node()
node.items[1] = [node]

named = open("notes.txt", "w+")
named.write("first\\nsecond\\n")
named.seek(6)
unnamed = tempfile.TemporaryFile("w+")
unnamed.write("hidden")
unnamed.flush()
twin = os.dup(named.fileno())
os.makedirs("deep/er", exist_ok=True)
open("deep/er/file.bin", "wb").write(bytes(range(256)) * 40)
os.symlink("deep/er/file.bin", "link")
os.chmod("deep/er/file.bin", 0o440)
os.chdir("deep")
os.environ["MINE"] = "kept"
clock = time.monotonic()
`;

const look = `
import os
(next(numbers), add(2), node.me is node and node.items[1][0] is node, named.readline(), named.tell(),
 (unnamed.seek(0), unnamed.read())[1], os.lseek(twin, 0, os.SEEK_CUR), os.getcwd(), os.environ["MINE"],
 open("/home/pyodide/link", "rb").read() == bytes(range(256)) * 40, oct(os.stat("er/file.bin").st_mode & 0o777),
 time.monotonic() >= clock)
`;
const seen = "(3, 9, True, 'second\\n', 13, 'hidden', 13, '/home/pyodide/deep', 'kept', True, '0o440', True)";

/** What must be alike when it's frozen again. A file of the image that was moved is stored then. */
const summary = ({ image, heapTop, pages, linked, tree }: DeltaHeader): object => ({
  ...{ image, heapTop, pages, linked, tree },
  tree: { ...tree, nodes: tree.nodes.map((node) => ({ ...node, original: null, blob: 0, blobs: 0 })) },
});

const hold = async (worker: Worker, code: string): Promise<ResultMessage> => {
  const { result, rewound } = run(worker, code, { after: 'hold' });
  const got = await result;
  await rewound;
  return got;
};

describe('the state of a session', () => {
  let dir: string;
  const made: Engine[] = [];
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vivarium-state-'));
    for (const [, create] of engines) made.push(create({ image: true, cacheDir: dir }));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  async function withWorkers<T>(use: (...workers: Worker[]) => Promise<T>, kinds = [0, 1]): Promise<T> {
    const workers: Worker[] = [];
    try {
      for (const kind of kinds)
        workers.push(await (made[kind] as Engine).start(startOptions({ id: `w${kind}` })));
      return await use(...workers);
    } finally {
      await Promise.all(workers.map(end));
    }
  }

  it.each([
    ['deno', 'node', [0, 1]],
    ['node', 'deno', [1, 0]],
  ])('frozen by %s, it goes on where it was in %s', async (_from, _to, kinds) => {
    await withWorkers(async (from, to) => {
      expect(await hold(from as Worker, rich)).toMatchObject({ status: 'ok' });
      const { delta }: Frozen = await (from as Worker).freeze({ tasks: 'keep' });
      // It stays as it is where it was frozen, too.
      expect((await hold(from as Worker, look)).text).toBe(seen);
      await (to as Worker).thaw(delta);
      const there = await hold(to as Worker, look);
      expect(there.error?.traceback.join('\n') ?? there.text).toBe(seen);
    }, kinds);
  });

  describe('in a worker of its own', () => {
    let worker: Worker;
    beforeAll(async () => {
      worker = await (made[1] as Engine).start(startOptions());
    });
    afterAll(() => end(worker));

    /** What the second code sees of the first one's doing, frozen and thawed in between, and that the kernel is clean again. */
    async function seenAfter(first: string, second: string): Promise<string | null> {
      try {
        const begun = await hold(worker, first);
        if (begun.status !== 'ok') throw new Error(begun.error?.traceback.join('\n'));
        const { delta } = await worker.freeze({ tasks: 'keep' });
        expect((await worker.rewind()).dirty).toBe(null);
        await worker.thaw(delta);
        const again = await worker.freeze({ tasks: 'keep' });
        // Of what was thawed the same is frozen.
        expect(summary(again.delta.header)).toStrictEqual(summary(delta.header));
        const seen = await hold(worker, second);
        return seen.error?.traceback.join('\n') ?? seen.text;
      } finally {
        expect((await worker.rewind()).dirty).toBe(null);
      }
    }

    const site = '/lib/python3.14/site-packages';
    it.each([
      [
        'a file of the image that was removed',
        `import os\nos.remove("${site}/vivarium/_repr.py")`,
        `os.path.exists("${site}/vivarium/_repr.py"), os.path.exists("${site}/vivarium/__init__.py")`,
        '(False, True)',
      ],
      [
        'a folder of the image that was moved, with all in it',
        `import os\nbefore = sorted(os.listdir("${site}/vivarium"))\nos.rename("${site}/vivarium", "/tmp/moved")`,
        `sorted(os.listdir("/tmp/moved")) == before, len(open("/tmp/moved/_repr.py").read()) > 100, os.path.exists("${site}/vivarium")`,
        '(True, True, False)',
      ],
      [
        'what was put into a moved folder',
        `import os\nos.rename("${site}/vivarium", "/tmp/moved")\nopen("/tmp/moved/mine", "w").write("x")\nos.rename("/tmp/moved", "/tmp/again")`,
        `open("/tmp/again/mine").read(), os.path.exists("/tmp/moved")`,
        "('x', False)",
      ],
      [
        'a file in place of one of the image',
        `import os\np = "${site}/vivarium/_repr.py"\nos.remove(p)\nopen(p, "w").write("mine")`,
        'open(p).read()',
        "'mine'",
      ],
      [
        'a folder in place of a file of the image',
        `import os\np = "${site}/vivarium/_repr.py"\nos.remove(p)\nos.mkdir(p)\nopen(p + "/in", "w").write("mine")`,
        'open(p + "/in").read()',
        "'mine'",
      ],
      [
        'a changed file of the image',
        `p = "${site}/vivarium/_repr.py"\nwith open(p, "a") as f: f.write("# mine")`,
        'open(p).read()[-6:]',
        "'# mine'",
      ],
      [
        'a file of the image that was removed while it is open',
        `import os\np = "${site}/vivarium/_repr.py"\nf = open(p, "rb")\nstart = f.read(3)\nos.remove(p)`,
        'f.tell(), len(f.read()) > 100, os.path.exists(p)',
        '(3, True, False)',
      ],
      [
        'modes and times',
        `import os\nos.mkdir("d")\nopen("d/f", "w").close()\nos.utime("d/f", (1, 2))\nos.utime("d", (3, 4))\nos.chmod("d", 0o700)\nos.utime("${site}/vivarium/_repr.py", (5, 6))`,
        `[(s.st_atime, s.st_mtime, oct(s.st_mode)) for s in map(os.stat, ["d/f", "d", "${site}/vivarium/_repr.py"])]`,
        "[(1.0, 2.0, '0o100666'), (3.0, 4.0, '0o40700'), (5.0, 6.0, '0o100666')]",
      ],
      [
        'odd names',
        'import os\nfor n in ["__proto__", "a\\nb", "…", "constructor", " "]: open(n, "w").write(n)',
        '[open(n).read() == n for n in sorted(os.listdir())]',
        '[True, True, True, True, True]',
      ],
      [
        'a dangling link, and one to a folder',
        'import os\nos.mkdir("d")\nopen("d/f","w").write("in")\nos.symlink("nowhere", "a")\nos.symlink("d", "b")',
        'os.readlink("a"), os.path.lexists("a"), open("b/f").read()',
        "('nowhere', True, 'in')",
      ],
      [
        'descriptors that share a position, and one that does not',
        'import os\nf = os.open("f", os.O_RDWR | os.O_CREAT)\nos.write(f, b"0123456789")\ng = os.dup(f)\nh = os.open("f", os.O_RDONLY)\nos.lseek(f, 4, 0)\nos.lseek(h, 7, 0)',
        'os.read(g, 2), os.read(f, 1), os.read(h, 1)',
        "(b'45', b'6', b'7')",
      ],
      [
        'a file that is appended to',
        'f = open("log", "a")\nf.write("one\\n")\nf.flush()',
        'f.write("two\\n"), f.close(), open("log").read()',
        "(4, None, 'one\\ntwo\\n')",
      ],
      [
        'an empty file, and one of several parts',
        'open("e", "w").close()\nopen("big", "wb").write(bytes([7]) * 9_000_000)',
        'import os\nos.path.getsize("e"), os.path.getsize("big"), set(open("big", "rb").read())',
        '(0, 9000000, {7})',
      ],
      [
        'the working folder and the environment',
        'import os\nos.makedirs("/tmp/a/b")\nos.chdir("/tmp/a/b")\nos.environ["A"] = "1"\ndel os.environ["LANG"]',
        'os.getcwd(), os.environ["A"], os.environ.get("LANG"), os.getenv("HOME")',
        "('/tmp/a/b', '1', None, '/home/pyodide')",
      ],
      [
        'patched builtins, modules of its own, hooks',
        'import builtins, sys, types\nbuiltins.answer = 42\nm = types.ModuleType("mine")\nm.x = 1\nsys.modules["mine"] = m\nsys.ps1 = "?"',
        'import mine\nanswer, mine.x, sys.ps1',
        "(42, 1, '?')",
      ],
      [
        'a lot of memory, most of it let go of again',
        'x = [bytearray(1_000_000) for _ in range(60)]\ny = b"kept" * 1000\ndel x',
        'len(y)',
        '4000',
      ],
      [
        'an exception, its traceback, and cells of before',
        'def f(): 1 / 0\ntry: f()\nexcept Exception as error: e = error',
        'import traceback\n"".join(traceback.format_exception(e)).count("def f(): 1 / 0")',
        '1',
      ],
      [
        'locks, queues, context variables and weak references',
        'import threading, queue, contextvars, weakref\nl = threading.Lock()\nl.acquire()\nq = queue.Queue()\nq.put(1)\nv = contextvars.ContextVar("v")\nv.set(2)\nclass C: pass\nc = C()\nw = weakref.ref(c)',
        'l.locked(), q.get(), v.get(), w() is c',
        '(True, 1, 2, True)',
      ],
    ])('keeps %s', async (_what, first, second, seen) => {
      expect(await seenAfter(first, second)).toBe(seen);
    });

    it.each([
      [
        'a pipe',
        'import os\nends = os.pipe()',
        'os.close(ends[0])\nos.close(ends[1])',
        /a pipe \(descriptor \d+\)/,
      ],
      [
        'a folder that was removed and is open',
        'import os\nos.mkdir("gone")\nfd = os.open("gone", os.O_RDONLY)\nos.rmdir("gone")',
        'os.close(fd)',
        /a folder that was removed/,
      ],
      [
        'a link that is too long',
        'import os\nos.symlink("a" * 5000, "long")',
        'os.remove("long")',
        /a path of more than 4096 characters/,
      ],
      [
        'a callback of ctypes',
        'import ctypes\ncb = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)',
        'del cb\nimport gc\ngc.collect()',
        /a function that was made while it ran/,
      ],
    ])('refuses %s, names it, and goes on', async (_what, first, undo, named) => {
      await hold(worker, first);
      await expect(worker.freeze({ tasks: 'keep' })).rejects.toMatchObject({
        code: 'not_freezable',
        message: expect.stringMatching(named),
        details: { objects: expect.arrayContaining([expect.stringMatching(named)]) },
      });
      expect(await hold(worker, undo)).toMatchObject({ status: 'ok' });
      await worker.freeze({ tasks: 'keep' });
      if ((await worker.rewind()).dirty !== null) {
        await end(worker);
        worker = await (made[1] as Engine).start(startOptions());
      }
    });

    const waiting = `
import asyncio
seen = []
async def tick():
    try:
        await asyncio.sleep(0.001)
        seen.append("ticked")
    finally:
        seen.append("ended")
task = asyncio.get_event_loop().create_task(tick(), name="ticker")
await asyncio.sleep(0)
`;

    it('keeps tasks that are pending, and they go on', async () => {
      expect(await seenAfter(waiting, 'await task\nseen')).toBe("['ticked', 'ended']");
    });

    it('cancels tasks that are pending, and names them', async () => {
      await hold(worker, waiting);
      const { cancelled, delta } = await worker.freeze({ tasks: 'cancel' });
      expect(cancelled).toEqual(['ticker (tick)']);
      await worker.rewind();
      await worker.thaw(delta);
      expect((await hold(worker, 'task.cancelled(), seen')).text).toBe("(True, ['ended'])");
      await worker.rewind();
    });

    it('refuses tasks that are pending, or that won’t go', async () => {
      await hold(worker, waiting);
      const refused = { code: 'not_freezable', details: { objects: ['the pending task ticker (tick)'] } };
      await expect(worker.freeze({ tasks: 'refuse' })).rejects.toMatchObject(refused);
      expect((await hold(worker, 'await task\nseen')).text).toBe("['ticked', 'ended']");
      await worker.rewind();
    });

    it('draws other random numbers in each place it is thawed in, and those of a seed if asked', async () => {
      await hold(worker, 'import random\nrandom.seed(1)\nrandom.random()');
      const { delta } = await worker.freeze({ tasks: 'keep' });
      const draw = async (seed: number | null): Promise<string | null> => {
        await worker.rewind();
        await worker.thaw({ ...delta, blobs: delta.blobs.map((blob) => blob.slice()) });
        const { result, rewound } = run(worker, 'random.random()', { after: 'hold', seed });
        const { text } = await result;
        await rewound;
        return text;
      };
      const drawn = [await draw(null), await draw(null), await draw(7), await draw(7)];
      expect(new Set(drawn).size).toBe(3);
      expect(drawn[2]).toBe(drawn[3]);
      await worker.rewind();
    });

    it('draws on between runs of one place, as a notebook does', async () => {
      await hold(worker, 'import random\nrandom.seed(1)\na = random.random()');
      const { text } = await hold(
        worker,
        'b = random.random()\nrandom.seed(1)\n[a, b] == [random.random(), random.random()]',
      );
      expect(text).toBe('True');
      await worker.rewind();
    });

    it('T42: refuses what is not a delta, is for another image, or does not fit', async () => {
      await hold(worker, 'x = 1');
      const { delta } = await worker.freeze({ tasks: 'keep' });
      const { header, blobs } = delta;
      const copy = () => blobs.map((blob) => blob.slice());
      const refused: [object, Uint8Array[], string][] = [
        [{ ...header, image: '0'.repeat(128) }, copy(), 'session_image'],
        [{ ...header, version: 99 }, copy(), 'session_bytes'],
        [{ ...header, pages: [] }, copy(), 'session_bytes'],
        [header, copy().slice(1), 'session_bytes'],
        [{ ...header, tree: { ...header.tree, cwd: '../x' } }, copy(), 'session_bytes'],
        [{ ...header, heapBytes: 2 ** 31 }, copy(), 'session_limit'],
        [{ ...header, monotonicMs: 1e17 }, copy(), 'session_bytes'],
        ...[1, 1000].map((fd): [object, Uint8Array[], string] => {
          const descriptor = { fd, node: '/dev/null', flags: 1, position: 0, shared: 0 };
          return [
            { ...header, tree: { ...header.tree, descriptors: [descriptor] } },
            copy(),
            'session_bytes',
          ];
        }),
      ];
      for (const [altered, given, code] of refused) {
        await worker.rewind();
        await expect(worker.thaw({ header: altered as typeof header, blobs: given })).rejects.toMatchObject({
          code,
        });
      }
      await worker.rewind();
      await worker.thaw(delta);
      expect((await hold(worker, 'x')).text).toBe('1');
      await worker.rewind();
    });

    it('T42: loads no library that a run wrote, whatever a delta says', async () => {
      await hold(worker, 'open("lib.so", "wb").write(b"\\0asm\\1\\0\\0\\0")');
      const { delta } = await worker.freeze({ tasks: 'keep' });
      await worker.rewind();
      const base = { handle: 8, global: false, memoryBase: 0, tableBase: 1, tableSize: 1 };
      const linked = {
        libraries: [{ path: '/home/pyodide/lib.so', ...base }],
        ...{ tableLength: 1e5, slots: [], freeSlots: [], offsets: [] },
      };
      await expect(worker.thaw({ ...delta, header: { ...delta.header, linked } })).rejects.toMatchObject({
        code: 'session_bytes',
        message: expect.stringMatching(/library/),
      });
      await worker.rewind();
    });

    it('writes and removes files between runs', async () => {
      await hold(
        worker,
        'open("a", "w").write("1")\nimport os\nos.makedirs("d/e")\nopen("d/e/f", "w").close()',
      );
      await worker.changeFiles([
        { path: '/home/pyodide/a', bytes: new TextEncoder().encode('changed') },
        { path: '/home/pyodide/new/b', bytes: new Uint8Array([65]) },
        { path: '/home/pyodide/d', bytes: null },
        { path: '/home/pyodide/never', bytes: null },
      ]);
      expect((await hold(worker, 'open("a").read(), open("new/b").read(), os.path.exists("d")')).text).toBe(
        "('changed', 'A', False)",
      );
      await worker.rewind();
    });

    it('refuses to write or remove what can’t be, and has changed nothing then', async () => {
      const limits = { memoryBytes: 64 * 2 ** 20 };
      const { result, rewound } = run(
        worker,
        'import os\nopen("f", "w").write("hello")\nos.makedirs("d/e")\nopen("d/in", "w").close()\nos.chdir("d/e")',
        { after: 'hold', limits },
      );
      expect(await result).toMatchObject({ status: 'ok' });
      await rewound;
      const home = '/home/pyodide';
      const small = new Uint8Array(1);
      for (const change of [
        { path: `${home}/f`, bytes: new Uint8Array(100 * 2 ** 20) },
        { path: `${home}/f/below`, bytes: small },
        { path: `${home}/d`, bytes: small },
        { path: '/dev/null', bytes: small },
        { path: home, bytes: null },
        { path: `${home}/d`, bytes: null },
        { path: `${home}/d/e`, bytes: null },
      ])
        await expect(worker.changeFiles([change]), change.path).rejects.toMatchObject({ code: 'usage' });
      const seen = 'os.chdir("../..")\n(open("f").read(), os.path.exists("d/in"), os.listdir("d/e"))';
      expect((await hold(worker, seen)).text).toBe("('hello', True, [])");
      await worker.rewind();
    });

    it('cancels no task when something else is in the way', async () => {
      await hold(worker, `import os\nends = os.pipe()\n${waiting}`);
      await expect(worker.freeze({ tasks: 'cancel' })).rejects.toMatchObject({ code: 'not_freezable' });
      expect((await hold(worker, 'await task\nseen')).text).toBe("['ticked', 'ended']");
      await worker.rewind();
    });

    it('the clock of a session is not that of the next run', async () => {
      await hold(worker, 'x = 1');
      const { delta } = await worker.freeze({ tasks: 'keep' });
      await worker.rewind();
      const future = 3_600_000_000;
      await worker.thaw({ ...delta, header: { ...delta.header, monotonicMs: future } });
      expect((await hold(worker, 'import time\ntime.monotonic() >= 3_600_000')).text).toBe('True');
      await worker.rewind();
      expect((await hold(worker, 'import time\ntime.monotonic() < 3_600_000')).text).toBe('True');
      await worker.rewind();
    });
  });
});
