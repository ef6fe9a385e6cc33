/** What machines do to a store's folder at the worst moment. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, describe, expect, it } from 'vitest';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import type { TracePoint } from '../../src/util/trace.ts';
import { assertWhole, blob, stateOf } from './contents.ts';
import { Host } from './host.ts';
import { filesIn, heldIn } from './sqlite-folder.ts';
import { begin, key, rejects, state } from './subject.ts';

const root = mkdtempSync(join(tmpdir(), 'vivarium-store-faults-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let folders = 0;
function emptyFolder(): string {
  const folder = join(root, `${folders++}`);
  mkdirSync(folder);
  return folder;
}

/** Some of the blobs of `stateOf` are files. */
const inlineBytes = 150;
const open = (folder: string) => openSqliteStore(folder, {}, { inlineBytes });

describe('F10: a host that is killed', () => {
  it('while it saves: what it was told is stored is there, and nothing else is half there', async () => {
    const folder = emptyFolder();
    const points: TracePoint[] = ['store.staged', 'store.committing', 'store.committed'];
    const lost = new Set<string>();
    let orphans = 0;
    for (let round = 0; round < 18; round++) {
      const point = points[round % 3] as TracePoint;
      const work = { work: 'save', sessions: ['a', 'b'], rounds: 1000, owner: 'host' } as const;
      const at = { point, time: 3 + ((round * 7) % 20), what: 'SIGKILL' } as const;
      await using host = new Host({ store: folder, inlineBytes, ...work, at });
      expect(await host.ended, host.stderr).toBe('SIGKILL');
      const before = filesIn(folder).length;
      await using store = await open(folder);
      orphans += before - filesIn(folder).length;
      heldIn(folder);
      await assertWhole(store);
      for (const { id, revision } of host.all('saved')) {
        const record = await store.record(key(id));
        expect(record?.revision).toBeGreaterThanOrEqual(revision);
        lost.add(`${point} ${(record?.revision ?? 0) - revision}`);
      }
    }
    // The faults did what they are for.
    expect(orphans).toBeGreaterThan(3);
    expect([...lost]).toContain('store.committed 1');
    expect(readdirSync(join(folder, 'writers'))).toEqual([]);
  });

  it('at any time', async () => {
    const folder = emptyFolder();
    for (let round = 0; round < 8; round++) {
      const work = { work: 'save', sessions: ['a', 'b', 'c'], rounds: 1000, owner: 'host' } as const;
      await using host = new Host({ store: folder, inlineBytes, ...work });
      await host.until('saved', 5 + round * 9);
      host.kill('SIGKILL');
      expect(await host.ended, host.stderr).toBe('SIGKILL');
      await using store = await open(folder);
      heldIn(folder);
      await assertWhole(store);
      for (const id of work.sessions) {
        const told = host.all('saved').filter((saved) => saved.id === id);
        const { revision = -1 } = (await store.record(key(id))) ?? {};
        expect([0, 1]).toContain(revision - (told.at(-1)?.revision ?? 0));
      }
    }
  });
});

describe('F10: two processes on one folder', () => {
  it("keep what the other one writes: what isn't referred to yet is not swept", async () => {
    const folder = emptyFolder();
    const work = { work: 'save', sessions: ['a'], rounds: 30, owner: 'host' } as const;
    await using host = new Host({
      store: folder,
      inlineBytes,
      ...work,
      at: { point: 'store.staged', time: 3, what: 'wait' },
    });
    await host.until('waiting');
    expect(() => heldIn(folder)).toThrow(/rows name/);
    const files = filesIn(folder);
    await using store = await open(folder);
    expect(filesIn(folder)).toEqual(files);
    host.goOn();
    expect(await host.ended, host.stderr).toBe(0);
    await assertWhole(store);
    heldIn(folder);
  });

  it("steal each other's sessions: each revision is saved once, and what is stale is refused", async () => {
    const folder = emptyFolder();
    const work = { work: 'steal', sessions: ['a', 'b'], rounds: 60 } as const;
    await using one = new Host({ store: folder, inlineBytes, ...work, owner: 'one' });
    await using two = new Host({ store: folder, inlineBytes, ...work, owner: 'two' });
    for (const host of [one, two]) expect(await host.ended, host.stderr).toBe(0);
    await using store = await open(folder);
    heldIn(folder);
    await assertWhole(store);
    const saved = [...one.all('saved'), ...two.all('saved')];
    for (const id of work.sessions) {
      const revisions = saved.filter((told) => told.id === id).map(({ revision }) => revision);
      expect(revisions.sort((a, b) => a - b)).toEqual(revisions.map((_, index) => index + 1));
      expect((await store.record(key(id)))?.revision).toBe(revisions.length);
    }
    const refused = [...one.all('error'), ...two.all('error')];
    expect(new Set(refused.map(({ code }) => code))).toEqual(new Set(['session_stale']));
  });
});

describe('F07: a disk that is full', () => {
  const everything = ['--dev-bind', '/', '/', '--die-with-parent'];
  const canMount =
    spawnSync('bwrap', [...everything, '--size', '1000000', '--tmpfs', '/mnt', 'true']).status === 0;

  it.skipIf(!canMount).each([
    ['the database', 100_000],
    ['files', 1000],
  ])('refuses the state that %s has no room for, and goes on when there is', async (_, inlineBytes) => {
    const folder = emptyFolder();
    const under = ['bwrap', ...everything, '--size', '9000000', '--tmpfs', folder];
    const work = { work: 'fill', sessions: ['a'], rounds: 1, owner: 'host' } as const;
    await using host = new Host({ store: folder, inlineBytes, ...work }, under);
    expect(await host.ended, host.stderr).toBe(0);
    const [error] = host.all('error');
    expect(error).toMatchObject({ code: 'store', details: { reason: 'full', stored: 'no' } });
    expect(error?.message).toMatch(/is full .*make room.*changed nothing/);
    const saved = host.all('saved').map(({ revision }) => revision);
    expect(saved.length).toBeGreaterThan(5);
    expect(saved).toEqual(saved.map((_, index) => index + 1));
    expect(host.told.at(-1)).toEqual({ kind: 'done' });
  });
});

describe('F08: what is damaged', () => {
  const damaged = (details: object = {}) => rejects('store', { reason: 'damaged', ...details });

  it.each([
    ['cut', (path: string) => truncateSync(path, 100)],
    ['emptied', (path: string) => truncateSync(path, 0)],
    ['longer', (path: string) => writeFileSync(path, new Uint8Array(10), { flag: 'a' })],
    ['removed', (path: string) => rmSync(path)],
  ])('a blob file that was %s is told with its session', async (_, damage) => {
    const folder = emptyFolder();
    await using store = await open(folder);
    const lease = await begin(store, 'a', 'host', 'x');
    const [hash] = blob(1, 1000);
    await store.save(lease, ...state(1, [blob(1, 1000), blob(2, 2000)]));
    const file = filesIn(folder).find((name) => name.startsWith(hash)) ?? '';
    damage(join(folder, 'blobs', hash.slice(0, 2), file));
    const error: unknown = await store.blob(key('a', 'x'), hash).catch((error: unknown) => error);
    expect(error).toEqual(damaged({ ...key('a', 'x'), hash }));
    expect(String(error)).toMatch(/session 'a' of tenant 'x'.*backup/);
    expect(await store.blob(key('a', 'x'), blob(2, 2000)[0])).toEqual(blob(2, 2000)[1]);
    await store.remove(lease);
  });

  it('a blob or manifest in the database that was cut is told with its session', async () => {
    const folder = emptyFolder();
    await using store = await open(folder);
    const lease = await begin(store, 'a');
    await store.save(lease, ...state(1, [blob(1, 100)], [1, 2, 3]));
    const change = (sql: string) => {
      using database = new DatabaseSync(join(folder, 'sessions.db'));
      database.exec(sql);
    };
    change('UPDATE vivarium_contents SET content = substr(content, 1, 50)');
    await expect(store.blob(key('a'), blob(1, 100)[0])).rejects.toEqual(damaged(key('a')));
    change('UPDATE vivarium_revisions SET manifest = substr(manifest, 1, 2)');
    await expect(store.revision(key('a'))).rejects.toEqual(damaged(key('a')));
    change("UPDATE vivarium_sessions SET meta = 'no JSON'");
    await expect(store.record(key('a'))).rejects.toEqual(damaged());
    change("UPDATE vivarium_sessions SET meta = '[]'");
    await expect(store.list()).rejects.toEqual(damaged());
    change("UPDATE vivarium_sessions SET revision = 'many'");
    await expect(store.renew(lease, 1)).rejects.toEqual(damaged());
  });

  it.each([
    ['no database', 0, 'not a database at all, but some text that somebody has put here'],
    ['its first page', 40, 'x'.repeat(200)],
    ['its tables', 4096, 'y'.repeat(60_000)],
  ])('%s: a database that is damaged is told', async (_, offset, text) => {
    const folder = emptyFolder();
    {
      await using store = await open(folder);
      const lease = await begin(store, 'a');
      for (let revision = 1; revision < 20; revision++) {
        await store.save(lease, ...stateOf('a', revision));
        await store.checkpoint(lease, `${revision}`);
      }
    }
    const path = join(folder, 'sessions.db');
    const content = readFileSync(path);
    content.write(text, offset);
    writeFileSync(path, content);
    const read = async () => {
      await using store = await open(folder);
      await assertWhole(store);
      await begin(store, 'a');
    };
    await expect(read()).rejects.toEqual(damaged());
  });

  it('what it holds is for its user alone', async () => {
    const folder = emptyFolder();
    chmodSync(folder, 0o777);
    await using store = await open(folder);
    await store.save(await begin(store, 'a'), ...state(1, [blob(1, 100), blob(2, 2000)]));
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    const files = names.map((name) => [name, statSync(join(folder, name))] as const);
    const modes = files.map(([name, stat]) => `${name} ${(stat.mode & 0o777).toString(8)}`);
    expect(modes.length).toBeGreaterThan(5);
    // A lock is an empty file.
    const others = modes.filter((mode) => !/ [67]00$/.test(mode) && !mode.startsWith('writers/'));
    expect(others).toEqual([]);
  });

  it('a folder that cannot be made is told', async () => {
    const folder = emptyFolder();
    writeFileSync(join(folder, 'file'), '');
    await expect(open(join(folder, 'file'))).rejects.toEqual(rejects('store', { reason: 'disk' }));
    await expect(open('/dev/null/store')).rejects.toEqual(rejects('store', { reason: 'disk' }));
  });
});
