import { execFile } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { granted, subject } from './subject.ts';

const hostScript = fileURLToPath(new URL('fixtures/host.mjs', import.meta.url));
const execute = promisify(execFile);

describe('a possessed kernel and the ways out', () => {
  const s = subject();

  it.each([
    ['plain', 'ok'],
    ['none', 'crashed'],
    ['inherit', 'crashed'],
    ['all', 'crashed'],
    ['one file', 'crashed'],
    ['namespace', 'ok'],
  ])('T09: a worker that it makes has no more than it has: %s, %s', async (scheme, status) => {
    const execution = await s.attack('T09', { scheme });
    // Deno ends the process when a worker asks for permissions of its own.
    expect(execution.status).toBe(status);
    if (execution.status !== 'ok') return;
    const inside = JSON.parse(String(JSON.parse(execution.text ?? '{}')[scheme]).replace(/^got: /, ''));
    expect(Object.keys(inside).length).toBe(9);
    expect(granted(inside)).toStrictEqual({});
  });

  it('T09: a thousand workers: ended by the limits', async () => {
    const execution = await s.attack('manyWorkers', { count: 1000 }, { timeoutMs: 1500 });
    expect(['timeout', 'oom', 'crashed']).toContain(execution.status);
    expect(execution.worker.lost).toBe(true);
  });

  it('T10: code that it makes has no more than it has', async () => {
    const found = await s.find('T10');
    for (const made of ['Function', 'AsyncFunction', 'eval']) expect(found[made]).toMatch(/^EvalError/);
    // These are made, and get nothing by it.
    for (const made of ['a data: module', 'a blob: module', 'a module of WebAssembly']) {
      expect(found[made]).toMatch(/^NotCapable/);
    }
  });

  it('T12: no import connects', async () => {
    const { port } = s.canaries.targets;
    const hosts = [`localhost:${port}`, `127.0.0.1:${port}`, `user:password@127.0.0.1:${port}`];
    const found = await s.find('T12', { hosts });
    expect(Object.keys(found).length).toBe(hosts.length * 12 + 2);
    expect(granted(found)).toStrictEqual({});
  });

  it('T13: no package of npm is fetched or found', async () => {
    const found = await s.find('T13');
    expect(Object.keys(found).length).toBe(8);
    expect(granted(found)).toStrictEqual({});
  });

  describe('in a program that was started among packages', () => {
    let project: string;
    const secret = 'API_KEY=of-a-sibling-package';
    beforeAll(async () => {
      const { folder } = s.possessed;
      const outside = join(folder, 'outside');
      project = join(folder, 'project');
      const sibling = join(project, 'node_modules/sibling');
      await Promise.all([mkdir(sibling, { recursive: true }), mkdir(outside, { recursive: true })]);
      const manifest = JSON.stringify({
        name: 'x',
        version: '1.0.0',
        main: '.env',
        dependencies: { sibling: '*' },
      });
      await Promise.all([
        writeFile(join(project, 'package.json'), manifest),
        writeFile(join(project, 'deno.json'), '{"imports":{"sibling/":"./node_modules/sibling/"}}'),
        writeFile(join(sibling, 'package.json'), manifest),
        writeFile(join(sibling, '.env'), secret),
        writeFile(join(outside, '.env'), secret),
        symlink(outside, join(project, 'node_modules/linked')),
      ]);
    });

    it('T15: it reads none of them', async () => {
      const modules = join(project, 'node_modules');
      const paths = [
        `${modules}/sibling/.env`,
        `${modules}/linked/.env`,
        'sibling/.env',
        './node_modules/sibling/.env',
        '../../sibling/.env',
      ];
      const code = `attack T14 ${JSON.stringify({ paths })}`;
      const args = [hostScript, s.possessed.url('node.js'), code];
      const { stdout } = await execute(process.execPath, args, { cwd: project, timeout: 60_000 });
      const { status, text } = JSON.parse(stdout);
      expect(status).toBe('ok');
      const found = JSON.parse(text);
      expect(Object.keys(found).length).toBe(paths.length * 13);
      expect(granted(found)).toStrictEqual({});
      expect(stdout).not.toContain(secret);
    });

    it('T11: it asks nobody on a terminal', async () => {
      const args = [process.execPath, hostScript, s.possessed.url('node.js'), 'attack requests {}'];
      const command = args.map((argument) => `'${argument}'`).join(' ');
      const { stdout } = await execute('script', ['-qec', command, '/dev/null'], {
        cwd: project,
        timeout: 60_000,
      });
      expect(JSON.parse(stdout)).toMatchObject({ status: 'ok' });
      const found = JSON.parse(JSON.parse(stdout).text);
      expect(Object.keys(found).length).toBe(8);
      expect(new Set(Object.values(found))).toStrictEqual(new Set(['Error: denied']));
    });
  });
});
