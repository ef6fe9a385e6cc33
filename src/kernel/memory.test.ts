import { describe, expect, it } from 'vitest';
import { Baseline, clearDeadStack, MemoryLimit } from './memory.ts';
import type { PyodideModule } from './pyodide-internals.ts';

const pageBytes = 65536;

/** As Emscripten's: a fifth more than was asked for when that can be had, and true when the memory is large enough. */
function module(
  limit: MemoryLimit,
  pages: number,
): { memory: WebAssembly.Memory; ask(bytes: number): number } {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: 1000 });
  const imports: WebAssembly.ModuleImports = {
    emscripten_resize_heap(requested: number): number {
      const wanted = Math.max(requested, memory.buffer.byteLength * 1.2);
      try {
        memory.grow(Math.ceil((wanted - memory.buffer.byteLength) / pageBytes));
        return 1;
      } catch {
        return 0;
      }
    },
  };
  limit.wrapImports(imports);
  limit.install(memory);
  return { memory, ask: imports.emscripten_resize_heap as (bytes: number) => number };
}

describe('MemoryLimit', () => {
  it.each([0, 1, 30_000, pageBytes - 1])(
    'never promises what it does not give, %d bytes into a page',
    (rest) => {
      const limit = new MemoryLimit(100 * pageBytes);
      const { memory, ask } = module(limit, 10);
      limit.set(12 * pageBytes + rest);
      for (let bytes = 10 * pageBytes; bytes <= 14 * pageBytes; bytes += 1000) {
        const granted = ask(bytes);
        expect(memory.buffer.byteLength).toBeLessThanOrEqual(12 * pageBytes);
        if (granted) expect(memory.buffer.byteLength).toBeGreaterThanOrEqual(bytes);
        else expect(bytes).toBeGreaterThan(12 * pageBytes);
      }
    },
  );

  it('grows to what an image needs, and refuses more than the limit', () => {
    const limit = new MemoryLimit(20 * pageBytes);
    const { memory } = module(limit, 10);
    limit.growTo(memory, 15 * pageBytes);
    expect(memory.buffer.byteLength).toBe(15 * pageBytes);
    expect(() => limit.growTo(memory, 21 * pageBytes)).toThrow('the limit is');
  });

  it('refuses a module that grows by other means', () => {
    expect(() => new MemoryLimit(1).wrapImports({})).toThrow('emscripten_resize_heap');
  });
});

describe('clearDeadStack', () => {
  it('zeroes what was used below the pointer, and leaves the rest alone', () => {
    const heap = new Uint8Array(4 * 1024 * 1024);
    const [end, pointer] = [4096, 3 * 1024 * 1024];
    heap.fill(1, pointer);
    heap.fill(1, 0, end);
    heap.fill(7, pointer - 900_000, pointer - 10);
    // Within reach of what was used, though not next to it.
    heap[pointer - 1_800_000] = 1;
    clearDeadStack(heap, end, pointer);
    expect(heap.subarray(end, pointer).every((byte) => byte === 0)).toBe(true);
    expect(heap.subarray(pointer).every((byte) => byte === 1)).toBe(true);
    expect(heap.subarray(0, end).every((byte) => byte === 1)).toBe(true);
  });
});

describe('Baseline', () => {
  /** What it looks at of a module that has a table of eight functions, one of them free. */
  function moduleWithTable(): PyodideModule {
    const heap = new ArrayBuffer(pageBytes);
    return {
      HEAPU8: new Uint8Array(heap),
      HEAPU32: new Uint32Array(heap),
      wasmTable: new WebAssembly.Table({ element: 'anyfunc', initial: 8 }),
      freeTableIndexes: [7],
      LDSO: { loadedLibsByHandle: {} },
      stackSave: () => 1024,
      stackRestore: () => {},
      _emscripten_stack_get_end: () => 0,
      _emscripten_get_sbrk_ptr: () => 2048,
      __hiwire_get: () => {
        throw new Error('no such slot');
      },
    } as unknown as PyodideModule;
  }

  it.each<[string, (module: PyodideModule) => void]>([
    ['filled a slot', ({ wasmTable }) => wasmTable.set(3, null)],
    ['freed a slot', ({ freeTableIndexes }) => freeTableIndexes.push(3)],
    ['took a slot', ({ freeTableIndexes }) => freeTableIndexes.pop()],
    ['added a slot', ({ wasmTable }) => wasmTable.grow(1)],
  ])('knows that a run %s of the table', (_what, change) => {
    const changed = moduleWithTable();
    const baseline = new Baseline(changed, null);
    expect(baseline.obstacle()).toBeUndefined();
    change(changed);
    expect(baseline.obstacle()).toContain('table');
  });
});
