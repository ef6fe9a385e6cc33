import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRuntime } from '../../src/node.ts';
import type { Execution, Isolation, Runtime } from '../../src/runtime.ts';

/** Leaves the marker wherever code can leave something. */
const leave = `
import builtins, os, sys, types
module = types.ModuleType('left_behind')
module.marker = marker
sys.modules['left_behind'] = module
builtins.left_behind = marker
kept = [marker + str(n) for n in range(1000)]
os.environ['LEFT_BEHIND'] = marker
for folder in ('.', '/tmp', '/home', *sys.path):
    try:
        with open(os.path.join(folder, 'left_behind.txt'), 'w') as file:
            file.write(marker)
    except OSError:
        pass
`;

/**
 * Looks for the marker in all memory and all files. What it looks for it has in another alphabet only, so that it finds
 * none of its own.
 */
const look = `
import ctypes, os, sys
table = bytes(byte ^ 0x5A for byte in range(256))
found = []

def has(data):
    return masked in data.translate(table)

step = 1 << 20
for start in range(16, heap_bytes, step):
    # The pieces overlap: it may lie across a border.
    if has(ctypes.string_at(start, min(step + len(masked), heap_bytes - start))):
        found.append('memory')
        break
for folder, folders, names in os.walk('/'):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in ('/dev', '/proc')]
    for name in names:
        try:
            with open(os.path.join(folder, name), 'rb') as file:
                if has(file.read()):
                    found.append(name)
        except OSError:
            pass
found += [name for name in ('left_behind',) if name in sys.modules or name in dir(__builtins__)]
found += [name for name in os.environ if name == 'LEFT_BEHIND']
sorted(set(found))
`;

function masked(marker: string): Uint8Array {
  return Buffer.from(marker).map((byte) => byte ^ 0x5a);
}

describe.each<Isolation>(['rewind', 'none'])('tenants under isolation %s', (isolation) => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await createRuntime({ size: 1, isolation });
    await runtime.warm();
  });
  afterAll(() => runtime.close({ graceMs: 0 }));

  async function lookAs(tenant: string | undefined, marker: string): Promise<Execution> {
    const { memory } = await runtime.run('1', { tenant });
    const globals = { masked: masked(marker), heap_bytes: memory.heapBytes };
    return runtime.run(look, { tenant, globals, timeoutMs: 60_000 });
  }

  it.each(['b', undefined])('T40: tenant %s finds nothing of what tenant a left', async (tenant) => {
    const marker = randomBytes(24).toString('hex');
    const left = await runtime.run(leave, { tenant: 'a', globals: { marker } });
    expect(left).toMatchObject({ status: 'ok' });
    const looked = await lookAs(tenant, marker);
    expect(looked).toMatchObject({ status: 'ok', value: [] });
    expect(looked.worker.pid).toBeTypeOf('number');
    expect(looked.worker.pid).not.toBe(left.worker.pid);
    expect(runtime.stats().workers).toMatchObject([{ tenant: tenant ?? '' }]);
  });
});

it('T40: finds what the same tenant left, where its state is kept', async () => {
  await using runtime = await createRuntime({ size: 1, isolation: 'none' });
  const marker = randomBytes(24).toString('hex');
  await runtime.run(leave, { tenant: 'a', globals: { marker } });
  const { memory } = await runtime.run('1', { tenant: 'a' });
  const globals = { masked: masked(marker), heap_bytes: memory.heapBytes };
  const { value } = await runtime.run(look, { tenant: 'a', globals, timeoutMs: 60_000 });
  expect(value).toEqual(expect.arrayContaining(['memory', 'left_behind', 'left_behind.txt']));
});
