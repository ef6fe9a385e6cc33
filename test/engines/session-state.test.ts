import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, Frozen, Worker } from '../../src/engines/engine.ts';
import type { ResultMessage } from '../../src/protocol/messages.ts';
import { end, engines, run, startOptions } from './subject.ts';

/** What pickle refuses, or what only lies outside of Python's heap. */
const rich = `
import os, tempfile, asyncio, time, random

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
os.remove("/home/web_user/x") if os.path.exists("/home/web_user/x") else None

async def later():
    await asyncio.sleep(0.01)
    return "done later"

task = asyncio.get_event_loop_policy() and None
clock = time.monotonic()
`;

const look = `
import os
(next(numbers), add(2), node.me is node and node.items[1][0] is node, named.readline(), named.tell(),
 (unnamed.seek(0), unnamed.read())[1], os.lseek(twin, 0, os.SEEK_CUR), os.getcwd(), os.environ["MINE"],
 open("/home/pyodide/link", "rb").read() == bytes(range(256)) * 40, oct(os.stat("er/file.bin").st_mode & 0o777),
 time.monotonic() >= clock)
`;
const seen =
  "(3, 9, True, 'second\\n', 13, 'hidden', 13, '/home/pyodide/deep', 'kept', True, '0o440', True)";

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
      for (const kind of kinds) workers.push(await (made[kind] as Engine).start(startOptions({ id: `w${kind}` })));
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
});
