import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createRuntime, type RuntimeOptions } from '../../../src/node.ts';
import { PostgresServer } from '../../store/postgres-server.ts';

const host = fileURLToPath(new URL('session-host.ts', import.meta.url));
const ids = ['a', 'b', 'c'];
const runs = 30;

interface Ack {
  id: string;
  mark: string;
  length: number;
  revision: number;
}

let server: PostgresServer;
let store: string;
beforeAll(async () => {
  server = await PostgresServer.start();
  store = await server.database();
});
afterAll(() => server?.[Symbol.asyncDispose]());

const options = (): RuntimeOptions => ({ engine: 'node', size: 1, sessions: { store } });

function start(name: string): { child: ChildProcessByStdio<null, Readable, null>; acks: Ack[] } {
  const args = [host, JSON.stringify(options()), ...ids, '--runs', String(runs), '--name', name];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const acks: Ack[] = [];
  let rest = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) acks.push(JSON.parse(line) as Ack);
  });
  return { child, acks };
}

it('F12: two hosts on one Postgres never run one session twice, and lose nothing', async () => {
  const hosts = ['one', 'two'].map(start);
  const codes = await Promise.all(hosts.map(async ({ child }) => (await once(child, 'close'))[0] as unknown));
  expect(codes).toEqual([0, 0]);
  const acks = hosts.flatMap((each) => each.acks);
  expect(acks).toHaveLength(2 * runs);
  await using runtime = await createRuntime(options());
  for (const id of ids) {
    const session = await runtime.session(id, { create: false });
    const { value } = await session.run('log');
    const told = acks.filter((ack) => ack.id === id).sort((a, b) => a.length - b.length);
    // Each run found what the one before it had left, whoever ran it: one history, without forks or gaps.
    expect(told.map(({ length }) => length)).toEqual(told.map((_, index) => index + 1));
    expect(told.map(({ revision }) => revision)).toEqual(told.map((_, index) => index + 1));
    expect((value as string[]).map((mark) => JSON.stringify(mark))).toEqual(told.map(({ mark }) => mark));
  }
});
