import { expect, it, vi } from 'vitest';
import { fileBlobBytes } from '../../src/image/delta.ts';
import { decodeManifest, encodeManifest, type Manifest } from '../../src/sessions/manifest.ts';
import { decodeSession, encodeSession } from '../../src/sessions/session-bytes.ts';
import { host, resultOf, settled, world } from './subject.ts';

const large = 'abcdefghijklmnopqrstuvwxyz0123456789'.repeat(40);

it('begins no more sessions than the store may have', async () => {
  const here = world({ limits: { maxSessions: 2 } });
  const { runtime } = host(here);
  const session = await runtime.session('a');
  await runtime.session('b');
  await expect(runtime.session('c')).rejects.toMatchObject({
    name: 'SessionError',
    code: 'session_limit',
    fault: 'limit',
  });
  await expect(session.fork('d')).rejects.toMatchObject({ code: 'session_limit' });
  await session.remove();
  await runtime.session('c');
});

it('stores no session that is too large: the run is told, and the session is as before', async () => {
  const here = world({ limits: { maxSessionBytes: 900 } });
  const { runtime } = host(here);
  const session = await runtime.session('a');
  await session.run('set x 1');
  const run = session.run('1', { files: { f: randomText(3000) } });
  await expect(run).rejects.toMatchObject({
    code: 'session_limit',
    message: expect.stringMatching(/The session is back at revision 1\./),
    details: { revision: 1 },
  });
  expect(session.revision).toBe(1);
  expect(await resultOf(session.run('get x'))).toBe('1');
  expect(await session.files.list()).toEqual([]);
});

it('stores no more than it may of all sessions', async () => {
  const here = world({ limits: { maxTotalBytes: 4000 } });
  const { runtime } = host(here, { size: 2 });
  const [a, b] = [await runtime.session('a'), await runtime.session('b')];
  await a.run('1', { files: { f: randomText(2000) } });
  await expect(b.run('1', { files: { f: randomText(3000) } })).rejects.toMatchObject({
    code: 'session_limit',
  });
  await a.remove();
  expect((await b.run('1', { files: { f: randomText(2000) } })).status).toBe('ok');
});

it('passes a runtime’s own limits to its store', async () => {
  const here = world();
  const { createFakeRuntime } = await import('../../src/testing.ts');
  await using runtime = createFakeRuntime({ clock: here.clock, options: { sessions: { maxCount: 1 } } });
  await runtime.session('a');
  await expect(runtime.session('b')).rejects.toMatchObject({ code: 'session_limit' });
});

it('keeps what is stored small: pages compressed, equal ones once, what nothing names not at all', async () => {
  const here = world();
  const { runtime } = host(here);
  const session = await runtime.session('a');
  await session.run(`set x ${large}`);
  for (let n = 0; n < 5; n++) await session.run(`set n ${n}`, { files: { same: large } });
  const [info] = await runtime.sessions();
  expect(info?.storedBytes).toBeLessThan(1500);
  const before = here.store.calls.length;
  await session.fork('b');
  expect((await here.store.totals()).bytes).toBeLessThan(2500);
  expect(here.store.calls.slice(before)).not.toContain('blob');
});

it('culls what nobody has used for so long, and tells', async () => {
  const here = world();
  const { runtime, told } = host(here, { sessions: { cullTimeoutMs: 3_600_000 } });
  const old = await runtime.session('old', { tenant: 'acme' });
  await old.run('set x 1');
  await old.close();
  const kept = await runtime.session('kept', { durability: 'freeze' });
  await kept.run('set x 1');
  await settled();
  for (let minute = 0; minute < 61; minute++) {
    for (let step = 0; step < 15; step++) await here.advance(4000);
    if (minute % 20 === 0) await kept.run('set x 1');
  }
  await vi.waitFor(async () => {
    await here.advance(60_000);
    expect(told('session:cull')).toEqual([{ type: 'session:cull', session: 'old', tenant: 'acme' }]);
  });
  expect((await runtime.sessions()).map(({ id }) => id)).toEqual(['kept']);
  await expect(runtime.session('old', { tenant: 'acme', create: false })).rejects.toMatchObject({
    code: 'session_not_found',
  });
});

it('culls at once what is due when it begins, and nothing when told so', async () => {
  const here = world();
  const first = host(here, { sessions: { cullTimeoutMs: Infinity } });
  await (await first.runtime.session('old')).close();
  await here.advance(1e9);
  expect(await first.runtime.sessions()).toHaveLength(1);
  const second = host(here);
  await second.runtime.sessions();
  await settled();
  expect(second.told('session:cull')).toMatchObject([{ session: 'old' }]);
});

it('goes on when the store fails while it culls', async () => {
  const here = world();
  here.store.plan.push({ name: 'cull', fault: 'early' });
  const { runtime, told } = host(here);
  await runtime.session('a');
  await settled();
  expect(told('warning')).toMatchObject([{ message: expect.stringContaining('could not be culled') }]);
});

it('tries to open its store again when that has failed', async () => {
  const here = world();
  let opens = 0;
  const { createFakeRuntime } = await import('../../src/testing.ts');
  await using runtime = createFakeRuntime({
    clock: here.clock,
    store: async () => {
      if (opens++ === 0) throw new Error('no database');
      return here.store;
    },
  });
  expect(opens).toBe(0);
  await expect(runtime.session('a')).rejects.toThrow('no database');
  await runtime.session('a');
  await runtime.session('b');
  expect(opens).toBe(2);
});

function randomText(length: number): string {
  return Array.from({ length }, () => String.fromCharCode(33 + Math.floor(Math.random() * 90))).join('');
}

it('doesn’t cull what is open and read, however rarely it changes', async () => {
  const here = world();
  const { runtime, told } = host(here, { sessions: { cullTimeoutMs: 120_000 } });
  const session = await runtime.session('a');
  await session.run('write f text');
  await session.freeze();
  for (let n = 0; n < 15; n++) {
    await here.advance(20_000);
    expect(await session.files.list()).toHaveLength(1);
    await settled();
  }
  expect(told('session:cull')).toEqual([]);
});

it('unpacks no more than a worker may have, however small it is stored: not for a thaw, a file or bytes', async () => {
  const here = world();
  const { runtime } = host(here, { maxResidentBytes: 192 * 2 ** 20 });
  const session = await runtime.session('a');
  await session.run('1', { files: { same: new Uint8Array(fileBlobBytes) } });
  const options = { key: undefined, maxBytes: 2 ** 20 };
  const portable = await decodeSession(await session.export(), '', options);
  await session.close();
  const times = (192 * 2 ** 20) / fileBlobBytes + 1;
  const repeated = ({ header, ...facts }: Manifest): Manifest => {
    const [hash = ''] = facts.blobs;
    const [node] = header?.tree.nodes ?? [];
    if (!header || !node) throw new TypeError('it has a file');
    const blobs = Array.from({ length: times }, () => fileBlobBytes);
    const nodes = [{ ...node, blobs: times, size: times * fileBlobBytes }];
    const tree = { ...header.tree, nodes };
    return { ...facts, header: { ...header, blobs, tree }, blobs: blobs.map(() => hash) };
  };
  const sessionBytes = await encodeSession({ ...portable, manifest: repeated(portable.manifest) }, options);
  expect(sessionBytes.byteLength).toBeLessThan(10_000);
  await expect(runtime.run('1', { sessionBytes })).rejects.toMatchObject({ code: 'session_limit' });
  const { revision } = here.store;
  here.store.revision = async (...given) => {
    const found = await revision(...given);
    return (
      found && { ...found, manifest: await encodeManifest(repeated(await decodeManifest(found.manifest))) }
    );
  };
  const again = await runtime.session('a');
  const before = here.store.calls.length;
  await expect(again.files.read('same')).rejects.toMatchObject({ code: 'session_limit' });
  await expect(again.run('1')).rejects.toMatchObject({ code: 'session_limit' });
  expect(here.store.calls.slice(before)).not.toContain('blob');
});
