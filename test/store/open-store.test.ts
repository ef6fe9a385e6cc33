import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { openStore } from '../../src/store/open-store.ts';
import { begin, key, rejects } from './subject.ts';

const root = mkdtempSync(join(tmpdir(), 'vivarium-store-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

it('memory, and folders, which are made', async () => {
  await using memory = await openStore('memory');
  expect(memory.kind).toBe('memory');
  const folder = join(root, 'some', 'where');
  {
    await using store = await openStore(folder, { limits: { maxSessions: 1 } });
    expect(store.kind).toBe('sqlite');
    await begin(store, 'a');
    await expect(begin(store, 'b')).rejects.toEqual(rejects('session_limit'));
  }
  await using again = await openStore(folder);
  expect(await again.record(key('a'))).toMatchObject({ leasedBy: 'host' });
});

it.each(['', 'mysql://host/x', 'https://host'])('%s is no store', async (spec) => {
  await expect(openStore(spec)).rejects.toEqual(rejects('usage'));
});

it('bad options are named', async () => {
  const options = { limits: { maxSessions: -1, maxBytes: 1 }, colour: 'red' };
  await expect(openStore('memory', options as object)).rejects.toThrow(
    /limits.maxSessions must be a number of at least 0, not -1.*unknown option 'limits.maxBytes'.*'colour'/,
  );
});

it('SQLite prints no warning, and others stay', () => {
  const open = `
    import { openStore } from ${JSON.stringify(new URL('../../src/store/open-store.ts', import.meta.url).href)};
    await using store = await openStore(${JSON.stringify(join(root, 'quiet'))});
    process.emitWarning('mine');`;
  const { stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', open], {
    encoding: 'utf8',
  });
  expect(status, stderr).toBe(0);
  expect(stderr).toMatch(/^\(node:\d+\) Warning: mine\n/);
  expect(stderr).not.toContain('SQLite');
});

it('Postgres without `pg` says what to install', () => {
  // Where there's no node_modules above.
  const src = join(root, 'src');
  mkdirSync(src);
  for (const room of ['store', 'errors', 'util', 'runtime.ts', 'protocol'])
    cpSync(fileURLToPath(new URL(`../../src/${room}`, import.meta.url)), join(src, room), {
      recursive: true,
    });
  writeFileSync(join(root, 'package.json'), '{"type":"module"}');
  writeFileSync(
    join(root, 'main.ts'),
    `import { openStore } from './src/store/open-store.ts';
    await openStore('postgres://localhost/x').catch(({ name, code, message }) => console.log(name, code, message));`,
  );
  const { stdout, stderr } = spawnSync(process.execPath, ['main.ts'], { cwd: root, encoding: 'utf8' });
  expect(stdout, stderr).toBe('UsageError usage a store in Postgres needs a package: npm install pg@8\n');
});
