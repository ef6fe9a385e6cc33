import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { beforeEach, describe, expect, test } from 'vitest';
import { ago } from '../../src/cli/session-report.ts';
import type { SessionsHost } from '../../src/cli/sessions.ts';
import * as cli from '../../src/cli/sessions.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { createFakeRuntime, type FakeRuntime, fakeImage } from '../../src/testing.ts';
import { FaultyStore, script } from '../sessions/subject.ts';
import { fakeDesk } from './fake-host.ts';
import { temporaryFolder } from './program.ts';

let store: FaultyStore;
beforeEach(() => {
  store = new FaultyStore(new MemoryStore());
});

const open = (): FakeRuntime => createFakeRuntime({ ...script, store: async () => store });

/** A session as a program leaves it. */
async function leave(
  id: string,
  code: string,
  options: { tenant?: string; image?: string } = {},
): Promise<void> {
  await using runtime = open();
  const session = await runtime.session(id, options);
  await session.run(code);
  await session.close();
}

async function resultIn(id: string, code: string): Promise<unknown> {
  await using runtime = open();
  return (await (await runtime.session(id, { create: false })).run(code)).unwrap();
}

function fake(changes: Partial<SessionsHost> = {}) {
  const { desk, ...rest } = fakeDesk();
  const host: SessionsHost = {
    ...desk,
    createRuntime: async () => open(),
    stdin: Readable.from([]),
    stdoutIsTerminal: false,
    ...changes,
  };
  return { host, ...rest };
}

describe('ls', () => {
  test('none', async () => {
    const { host, stdout, stderr } = fake();
    expect(await cli.listSessions({}, host)).toBe(0);
    expect(stdout.text).toBe('');
    expect(stderr.text).toBe('vivarium: there are no sessions: vivarium run --session NAME begins one\n');
  });

  test('one line each; tenants when there are some', async () => {
    await leave('notes', 'set x 1');
    await leave('other', '1', { image: 'data' });
    const { host, stdout } = fake();
    expect(await cli.listSessions({}, host)).toBe(0);
    const lines = stdout.text.split('\n');
    expect(lines[0]).toMatch(/^NAME +IMAGE +REVISION +STATUS +STORED +CHECKPOINTS +USED$/);
    expect(lines[1]).toMatch(/^notes +stdlib +1 +frozen +\d.* +just now$/);
    expect(lines[2]).toMatch(/^other +data +1 +frozen +\d.* +just now$/);

    await leave('theirs', '1', { tenant: 'acme' });
    const all = fake();
    await cli.listSessions({}, all.host);
    expect(all.stdout.text).toMatch(/^NAME +TENANT +IMAGE.*\n(.*\n){2}theirs +acme +stdlib/);
    const some = fake();
    await cli.listSessions({ tenant: 'acme', json: true }, some.host);
    expect(JSON.parse(some.stdout.text)).toMatchObject([{ id: 'theirs', tenant: 'acme', revision: 1 }]);
  });

  test('what another program has', async () => {
    await using runtime = open();
    const session = await runtime.session('held');
    await session.run('set x 1');
    const { host, stdout } = fake();
    await cli.listSessions({}, host);
    expect(stdout.text).toMatch(/held +stdlib +1 +elsewhere/);
  });
});

describe('show', () => {
  test('facts, checkpoints and files', async () => {
    await using runtime = open();
    const session = await runtime.session('notes');
    await session.run('set x 1\nwrite a.txt hello');
    await session.checkpoint('one');
    await session.close();
    const { host, stdout } = fake();
    expect(await cli.showSession('notes', {}, host)).toBe(0);
    expect(stdout.text).toMatch(/^name +notes\nimage +stdlib\nrevision +1\nstatus +frozen\nstored /);
    expect(stdout.text).toMatch(/\n\nCHECKPOINT .*\none +1 +just now\n\nFILE .*\na\.txt +5 bytes .*\n$/);
    const json = fake();
    await cli.showSession('notes', { json: true }, json.host);
    expect(JSON.parse(json.stdout.text)).toMatchObject({
      id: 'notes',
      checkpoints: 1,
      content: { checkpoints: [{ name: 'one', revision: 1 }], files: [{ path: 'a.txt', size: 5 }] },
    });
  });

  test('one that another program has isn’t taken from it', async () => {
    await using runtime = open();
    const session = await runtime.session('held');
    await session.run('set x 1');
    const { host, stdout, stderr } = fake();
    expect(await cli.showSession('held', {}, host)).toBe(0);
    expect(stdout.text).toMatch(/status +elsewhere\n/);
    expect(stderr.text).toBe('');
    expect(await session.run('get x')).toMatchObject({ value: '1' });
  });

  test('one whose image isn’t what it was: all but its files', async () => {
    await leave('notes', 'set x 1', { image: 'data' });
    const other = { ...fakeImage('data'), lockHash: 'other' };
    const { host, stdout, stderr } = fake({
      createRuntime: async () =>
        createFakeRuntime({ ...script, store: async () => store, images: { find: async () => other } }),
    });
    expect(await cli.showSession('notes', { json: true }, host)).toBe(0);
    expect(JSON.parse(stdout.text)).toMatchObject({ id: 'notes', image: 'data', content: null });
    expect(stderr.text).toMatch(/^vivarium: its files can't be listed: .*\n$/);
  });

  test('none of that name', async () => {
    await expect(cli.showSession('nope', {}, fake().host)).rejects.toMatchObject({
      code: 'session_not_found',
    });
    await leave('theirs', '1', { tenant: 'acme' });
    await expect(cli.showSession('theirs', {}, fake().host)).rejects.toMatchObject({
      code: 'session_not_found',
    });
    expect(await cli.showSession('theirs', { tenant: 'acme' }, fake().host)).toBe(0);
  });
});

describe('rm', () => {
  test('says what was removed; what can’t be is told, and the rest goes', async () => {
    await leave('a', 'set x 1');
    await leave('b', 'set x 1', { image: 'data' });
    const { host, stderr } = fake({
      // Without opening it: its image may be gone.
      createRuntime: async () =>
        createFakeRuntime({
          ...script,
          store: async () => store,
          images: { find: () => Promise.reject(new Error('no such image')) },
        }),
    });
    expect(await cli.removeSessions(['nope', 'a', 'b'], {}, host)).toBe(4);
    expect(stderr.text).toMatch(
      /^vivarium: nope: .*nope.*\nvivarium: removed a \(.*\)\nvivarium: removed b \(.*\)\n$/,
    );
    expect(await store.record({ tenant: '', id: 'a' })).toBeUndefined();
    expect(await store.record({ tenant: '', id: 'b' })).toBeUndefined();
  });

  test('all: of every tenant, or of one', async () => {
    await leave('a', 'set x 1');
    await leave('a', 'set x 1', { tenant: 'acme' });
    await leave('b', 'set x 1', { tenant: 'acme' });
    const one = fake();
    expect(await cli.removeSessions([], { all: true, tenant: 'acme', json: true }, one.host)).toBe(0);
    expect(JSON.parse(one.stdout.text)).toMatchObject({
      removed: ['a', 'b'],
      freedBytes: expect.any(Number),
    });
    expect(await store.record({ tenant: '', id: 'a' })).toBeDefined();
    await leave('b', 'set x 1', { tenant: 'acme' });
    expect(await cli.removeSessions([], { all: true, quiet: true }, fake().host)).toBe(0);
    await using runtime = open();
    expect(await runtime.sessions()).toEqual([]);
  });

  test('one that another program has stays', async () => {
    await using runtime = open();
    const session = await runtime.session('held');
    await session.run('set x 1');
    const { host, stderr } = fake();
    expect(await cli.removeSessions(['held'], {}, host)).toBe(4);
    expect(stderr.text).toContain('vivarium: held: ');
    expect(await session.run('get x')).toMatchObject({ value: '1' });
  });

  test.each([
    [[], {}],
    [['a'], { all: true }],
  ])('%j %j', (names, flags) => {
    expect(() => cli.removeSessions(names, flags, fake().host)).toThrow('--all');
  });
});

describe('export and import', () => {
  test('by a file that only the user reads, whole or not at all', async () => {
    const folder = temporaryFolder();
    await leave('notes', 'set x 1');
    const file = join(folder, 'notes.session');
    const { host, stdout, stderr } = fake({ stdoutIsTerminal: true });
    expect(await cli.exportSession('notes', { out: file }, host)).toBe(0);
    expect([stdout.text, stderr.text]).toEqual([
      '',
      expect.stringMatching(/^vivarium: wrote .*notes\.session: notes, revision 1 \(.*\)\n$/),
    ]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(['notes.session']);

    const back = fake();
    expect(await cli.importSession(file, 'again', { with: [] }, back.host)).toBe(0);
    expect(back.stderr.text).toBe('vivarium: imported again, revision 1\n');
    expect(await resultIn('again', 'get x')).toBe('1');
    await expect(cli.importSession(file, 'again', { with: [] }, fake().host)).rejects.toMatchObject({
      code: 'session_exists',
    });
    await expect(
      cli.exportSession('notes', { out: join(folder, 'no/such/folder') }, fake().host),
    ).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('cannot write') });
  });

  test('by pipes, and never to a terminal', async () => {
    await leave('notes', 'set x 1', { image: 'data' });
    const stdout = new PassThrough();
    const chunks: Buffer[] = [];
    stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    expect(await cli.exportSession('notes', {}, fake({ stdout }).host)).toBe(0);
    const stdin = Readable.from([Buffer.concat(chunks)]);
    const { host, stdout: said } = fake({ stdin });
    expect(await cli.importSession('-', 'again', { image: 'data', with: [], json: true }, host)).toBe(0);
    expect(JSON.parse(said.text)).toEqual({ id: 'again', tenant: '', image: 'data', revision: 1 });
    expect(() => cli.exportSession('notes', {}, fake({ stdoutIsTerminal: true }).host)).toThrow('--out');
  });

  test('what is no session, and what is none', async () => {
    const file = join(temporaryFolder(), 'x');
    writeFileSync(file, readFileSync(new URL(import.meta.url)));
    await expect(cli.importSession(file, 'a', { with: [] }, fake().host)).rejects.toMatchObject({
      code: 'session_bytes',
    });
    await expect(cli.importSession(`${file}y`, 'a', { with: [] }, fake().host)).rejects.toMatchObject({
      code: 'usage',
    });
    await expect(cli.exportSession('nope', {}, fake().host)).rejects.toMatchObject({
      code: 'session_not_found',
    });
    expect(() => cli.importSession(file, 'a', { image: 'x', with: ['y'] }, fake().host)).toThrow('--with');
  });
});

test('fork', async () => {
  await leave('notes', 'set x 1');
  const { host, stderr } = fake();
  expect(await cli.forkSession('notes', 'other', {}, host)).toBe(0);
  expect(stderr.text).toBe('vivarium: forked notes: other, revision 1\n');
  await leave('other', 'set x 2');
  expect([await resultIn('notes', 'get x'), await resultIn('other', 'get x')]).toEqual(['1', '2']);
  await expect(cli.forkSession('notes', 'other', {}, fake().host)).rejects.toMatchObject({
    code: 'session_exists',
  });
  await expect(cli.forkSession('notes', 'a\nb', {}, fake().host)).rejects.toMatchObject({ code: 'usage' });
});

test('ago', () => {
  const now = new Date(1e12);
  const times = [0, 59e3, 60e3, 150e3, 3.6e6, 7.3e6, 86.4e6, 1e9].map((ms) => ago(1e12 - ms, now));
  expect(times).toEqual([
    'just now',
    'just now',
    '1 minute ago',
    '2 minutes ago',
    '1 hour ago',
    '2 hours ago',
    '1 day ago',
    '11 days ago',
  ]);
});
