import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { findDeno } from '../../../src/engines/deno/binary.ts';
import { granted, subject } from './subject.ts';

/** Those that Deno imports from without being told that it may, as it says itself; and npm's. */
const help = spawnSync(findDeno(), ['run', '--help'], { encoding: 'utf8', env: { NO_COLOR: '1' } }).stdout;
const imports = /--allow-import.*?Default value: (\S+)/s.exec(help)?.[1] ?? '';
const registry = spawnSync('npm', ['config', 'get', 'registry'], {
  encoding: 'utf8',
  cwd: '/',
  env: {
    PATH: process.env.PATH,
    npm_config_userconfig: '/dev/null',
    npm_config_globalconfig: '/dev/null/none',
  },
}).stdout.trim();
const hosts = [
  ...imports
    .split(',')
    .slice(0, 3)
    .map((host) => host.replace(/:443$/, '')),
  new URL(registry).hostname,
];
const hasNamespaces = spawnSync('bwrap', ['--dev-bind', '/', '/', '--unshare-net', 'true']).status === 0;

describe.skipIf(!hasNamespaces)('in a network where every host that Deno trusts is this machine', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vivarium-hosts-'));
  const [log, hostsFile, wrapper] = [join(folder, 'log'), join(folder, 'hosts'), join(folder, 'deno')];
  const listen = fileURLToPath(new URL('fixtures/listen-and-run.mjs', import.meta.url));
  const connections = (): string[] => readFileSync(log, 'utf8').split('\n').slice(0, -1);
  writeFileSync(log, '');
  writeFileSync(hostsFile, `127.0.0.1 localhost ${hosts.join(' ')}\n`);
  const bubblewrap = `bwrap --dev-bind / / --unshare-net --die-with-parent --cap-add CAP_NET_BIND_SERVICE --ro-bind '${hostsFile}' /etc/hosts`;
  const script = `#!/bin/sh\nexec ${bubblewrap} -- '${process.execPath}' '${listen}' '${log}' '${findDeno()}' "$@"\n`;
  writeFileSync(wrapper, script.replace('exec bwrap', `exec ${which('bwrap')}`));
  chmodSync(wrapper, 0o700);
  vi.stubEnv('VIVARIUM_DENO', wrapper);
  const s = subject();
  afterAll(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
  });

  it('T12, T13: no import and no package connects, while a plain Deno would', async () => {
    const found = await s.find('T12', { hosts });
    expect(Object.keys(found).length).toBe(hosts.length * 12 + 2);
    expect(granted(found)).toStrictEqual({});
    expect(granted(await s.find('T13'))).toStrictEqual({});
    expect(connections()).toStrictEqual([]);

    const plain =
      "for (const u of ['https://cdn.jsdelivr.net/x.js', 'jsr:@std/path']) await import(u).catch(() => {})";
    const env = { DENO_DIR: join(folder, 'cache'), DENO_NO_UPDATE_CHECK: '1' };
    await promisify(execFile)(wrapper, ['eval', plain], { env, cwd: folder });
    expect(connections().length).toBeGreaterThan(1);
  });
});

function which(program: string): string {
  return spawnSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).stdout.trim() || program;
}
