import { expect, it, vi } from 'vitest';
import type { DeltaHeader, DeltaNode } from '../../src/image/delta.ts';
import type { FileChange } from '../../src/session.ts';
import type { Manifest } from '../../src/sessions/manifest.ts';
import { changesBetween } from '../../src/sessions/session-files.ts';
import { host, resultOf, settled, subject, world } from './subject.ts';

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

it('lists and reads without a worker', async () => {
  const here = world();
  const one = host(here);
  const session = await one.runtime.session('a');
  await session.run('write b.txt two\nwrite a/deep.txt one', {
    files: { 'in.bin': new Uint8Array(5_000_000).fill(7) },
  });
  await one.runtime.close();
  const two = host(here);
  const again = await two.runtime.session('a');
  expect(await again.files.list()).toEqual([
    { path: 'a/deep.txt', kind: 'file', size: 3, modifiedAt: 0 },
    { path: 'b.txt', kind: 'file', size: 3, modifiedAt: 0 },
    { path: 'in.bin', kind: 'file', size: 5_000_000, modifiedAt: 0 },
  ]);
  expect((await again.files.list('a')).map(({ path }) => path)).toEqual(['a/deep.txt']);
  expect((await again.files.list('/home')).map(({ path }) => path)).toHaveLength(3);
  expect(await again.files.list('/tmp')).toEqual([]);
  expect(await again.files.stat('./a/../b.txt')).toMatchObject({ path: 'b.txt', size: 3 });
  expect(await again.files.stat('c.txt')).toBeUndefined();
  expect(text(await again.files.read('/home/pyodide/a/deep.txt'))).toBe('one');
  expect((await again.files.read('in.bin')).every((byte) => byte === 7)).toBe(true);
  await expect(again.files.read('c.txt')).rejects.toMatchObject({ code: 'usage' });
  expect(two.runtime.engine.starts).toEqual([]);
});

it('writes and removes, as revisions', async () => {
  const { runtime } = subject();
  const session = await runtime.session('a');
  await session.files.write('a/new.txt', 'text');
  const bytes = new Uint8Array([1, 2, 3]);
  const writing = session.files.write('/tmp/x', bytes);
  bytes.fill(9);
  await writing;
  expect(session.revision).toBe(2);
  expect([...(await session.files.read('/tmp/x'))]).toEqual([1, 2, 3]);
  expect(await session.files.stat('/tmp/x')).toMatchObject({ path: '/tmp/x' });
  expect((await session.files.list()).map(({ path }) => path)).toEqual(['a/new.txt']);
  expect(await session.files.remove('a')).toBe(true);
  expect(await session.files.remove('a')).toBe(false);
  expect(session.revision).toBe(3);
  expect(await session.files.list()).toEqual([]);
  await session.freeze();
  expect((await session.files.list('/tmp')).map(({ path }) => path)).toEqual(['/tmp/x']);
});

it('refuses what can’t be written, and keeps the state', async () => {
  const { runtime } = subject();
  const session = await runtime.session('a');
  await session.run('set x 1\nwrite a/b text');
  await expect(session.files.write('a', 'text')).rejects.toMatchObject({ code: 'usage' });
  expect(session).toMatchObject({ revision: 1, status: 'resident' });
  expect(await resultOf(session.run('get x'))).toBe('1');
});

it('refuses paths that the protocol doesn’t have before a worker hears of them, and takes them as Python does', async () => {
  const { runtime } = subject();
  const session = await runtime.session('a');
  await session.run('set x 1');
  const long = `/${'ü'.repeat(2048)}`;
  for (const path of ['/tmp/', '/', '', '.', 'a/..', 'a\0b', long, '\ud800', 7 as unknown as string])
    await expect(session.files.write(path, 'text')).rejects.toMatchObject({ code: 'usage' });
  for (const path of ['/', '/home', '', '.', 'a\0b', long])
    await expect(session.files.remove(path)).rejects.toMatchObject({ code: 'usage' });
  for (const path of ['a\0b', long]) {
    await expect(session.files.read(path)).rejects.toMatchObject({ code: 'usage' });
    await expect(session.files.stat(path)).rejects.toMatchObject({ code: 'usage' });
    await expect(session.files.list(path)).rejects.toMatchObject({ code: 'usage' });
  }
  expect(session.revision).toBe(1);
  await session.files.write('/tmp/../x', 'one');
  await session.files.write('/tmp//y', 'two');
  await session.files.write('./a/../z', 'three');
  expect((await session.files.list('/')).map(({ path }) => path)).toEqual(['/tmp/y', '/x', 'z']);
  expect(await session.files.remove('/tmp/../tmp//')).toBe(true);
  expect(runtime.engine.starts).toHaveLength(1);
  expect(await resultOf(session.run('get x'))).toBe('1');
});

it('shows what isn’t stored as yet', async () => {
  const { runtime } = subject();
  const session = await runtime.session('a', { durability: 'freeze' });
  await session.run('write f one');
  expect(text(await session.files.read('f'))).toBe('one');
  await session.run('write f two');
  expect(text(await session.files.read('f'))).toBe('two');
  await session.files.write('g', 'three');
  expect((await session.files.list()).map(({ path }) => path)).toEqual(['f', 'g']);
  expect(session.status).toBe('resident');
});

it.each(['run', 'freeze'] as const)('tells what calls change, with durability %s', async (durability) => {
  const { runtime } = subject();
  const session = await runtime.session('a', { durability });
  const told: (readonly FileChange[])[] = [];
  const stop = session.files.watch((changes) => told.push(changes));
  await session.run('write a one\nwrite b/c two');
  await session.run('set x 1');
  await session.run('write a one\nwrite b/c three');
  await session.files.remove('a');
  await session.files.write('/tmp/elsewhere', 'text');
  await session.checkpoint('here');
  await session.reset();
  await session.rollback('here');
  expect(told).toEqual([
    [
      { kind: 'created', path: 'a' },
      { kind: 'created', path: 'b/c' },
    ],
    [{ kind: 'changed', path: 'b/c' }],
    [{ kind: 'removed', path: 'a' }],
    [{ kind: 'removed', path: 'b/c' }],
    [{ kind: 'created', path: 'b/c' }],
  ]);
  stop();
  await session.run('write a two');
  expect(told).toHaveLength(5);
});

it('goes on when a listener throws', async () => {
  const logger = { info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  const { runtime } = subject({ logger });
  const session = await runtime.session('a');
  const error = new Error('no');
  session.files.watch(() => {
    throw error;
  });
  expect((await session.run('write a one')).status).toBe('ok');
  expect(logger.error).toHaveBeenCalledWith({ error }, 'a listener of a session threw');
});

it('lists nothing of what was removed and is still open, follows links, and leaves the image’s content to Python', async () => {
  const here = world();
  const { runtime } = host(here);
  const session = await runtime.session('a');
  await session.run('write real text');
  await session.freeze();
  const node = (path: string, facts: Partial<DeltaNode>) => ({ ...blankNode, path, ...facts });
  await alter(here, (header) => {
    const [real] = header.tree.nodes;
    if (!real) throw new TypeError('it has a file');
    header.tree.nodes.push(
      node('/home/pyodide/folder', { kind: 'folder' }),
      node('/home/pyodide/folder/link', { kind: 'link', target: '../real' }),
      node('/home/pyodide/loop', { kind: 'link', target: 'loop' }),
      node('/home/pyodide/there', { kind: 'link', target: '/home/./pyodide/folder/' }),
      node('/home/pyodide/out', { kind: 'link', target: '/lib/os.py' }),
      node('/home/pyodide/renamed', { original: '/lib/os.py', size: 100 }),
      { ...node('', {}), blob: 1 },
    );
  });
  const other = host(here).runtime;
  await session.close();
  const again = await other.session('a');
  expect((await again.files.list()).map(({ path, kind }) => `${kind} ${path}`)).toEqual([
    'folder folder',
    'link folder/link',
    'link loop',
    'link out',
    'file real',
    'file renamed',
    'link there',
  ]);
  for (const path of ['folder/link', 'there/link', 'there/../real'])
    expect(text(await again.files.read(path))).toBe('text');
  for (const path of ['loop', 'loop/real', 'there/none', 'out', 'folder', ''])
    await expect(again.files.read(path)).rejects.toMatchObject({ code: 'usage' });
  await expect(again.files.read('renamed')).rejects.toThrow(/only Python can read it/);
  await settled();
});

const blankNode: DeltaNode = {
  path: '',
  kind: 'file',
  mode: 0o644,
  atimeMs: 0,
  mtimeMs: 0,
  ctimeMs: 0,
  size: 0,
  original: null,
  target: '',
  blob: 0,
  blobs: 0,
  foreign: false,
};

/** Changes the header that the store has. */
async function alter(
  { store }: ReturnType<typeof world>,
  change: (header: DeltaHeader) => void,
): Promise<void> {
  const { decodeManifest, encodeManifest } = await import('../../src/sessions/manifest.ts');
  const { revision } = store;
  store.revision = async (...given) => {
    const found = await revision(...given);
    if (!found) return found;
    const manifest = await decodeManifest(found.manifest);
    if (manifest.header) change(manifest.header);
    return { ...found, manifest: await encodeManifest(manifest) };
  };
}

it('compares trees by what is in them', () => {
  const tree = (nodes: Partial<DeltaNode>[], blobs: string[] = []): Manifest => ({
    image: { name: '', lockHash: '' },
    tenant: '',
    pyodide: '',
    header: {
      version: 1,
      image: '',
      heapBytes: 0,
      heapTop: 0,
      pages: [],
      regions: 0,
      blobs: [],
      linked: null,
      tree: {
        removed: [],
        nodes: nodes.map((each) => ({ ...blankNode, ...each })),
        descriptors: [],
        cwd: '/w',
      },
      monotonicMs: 0,
    },
    blobs,
  });
  const before = tree(
    [{ path: '/w/a', blob: 0, blobs: 1 }, { path: '/w/b', kind: 'folder' }, { path: '/x' }],
    ['1'],
  );
  const touched = tree(
    [
      { path: '/w/a', blob: 1, blobs: 1, mtimeMs: 5, atimeMs: 6 },
      { path: '/w/b', kind: 'folder', mtimeMs: 9 },
    ],
    ['0', '1'],
  );
  expect(changesBetween(before, touched)).toEqual([]);
  const changed = tree(
    [
      { path: '/w/a', blob: 0, blobs: 1, mode: 0o755 },
      { path: '/w/b', kind: 'link', target: 'a' },
    ],
    ['1'],
  );
  expect(changesBetween(before, changed)).toEqual([
    { kind: 'changed', path: 'a' },
    { kind: 'changed', path: 'b' },
  ]);
  expect(changesBetween({ ...before, header: null }, before)).toEqual([
    { kind: 'created', path: 'a' },
    { kind: 'created', path: 'b' },
  ]);
});
