import { describe, expect, it, vi } from 'vitest';
import { subject } from './subject.ts';

describe('a possessed kernel and the pipe to its host', () => {
  const s = subject({ healthCheckTimeoutMs: 1000 });

  it.each(['unknown', 'known', 'token', 'text', 'partial', 'huge', 'nul', 'length'])(
    'T30: what it writes past the supervisor ends the worker: %s',
    async (what) => {
      const execution = await s.attack('T30', { what }, { timeoutMs: 1000 });
      // Half a header looks like a pipe that is slow, until the time limit.
      expect(execution.status).toBe(what === 'length' ? 'timeout' : 'crashed');
      expect(execution.worker.lost).toBe(true);
      expect(execution.stdout).toBe('');
      expect(execution.error?.message).toBeTruthy();
    },
  );

  it.each<[string, unknown]>([
    ['output of an unknown run', { kind: 'stdout', id: 'nobody', parts: [[1]] }],
    ['an answer nobody waits for', { kind: 'pong', id: 'x', busy: null, heapBytes: 1, residentBytes: 1 }],
    [
      'another boot',
      { kind: 'ready', id: 'x', version: 3, pyodide: 'x', python: 'x', heapBytes: 1, bootMs: 1 },
    ],
    ['half a result', { kind: 'result', id: '<own>' }],
    ['the end before the end', { kind: 'rewound', id: '<own>', rewindMs: 1, heapBytes: 1, dirty: null }],
    ['a kind that there is not', { kind: 'nonsense', id: '<own>' }],
    ['what only hosts send', { kind: 'shutdown' }],
    ['a number', 5],
    ['nothing', null],
  ])('T30: a message that doesn’t fit ends the worker: %s', async (_, message) => {
    const execution = await s.attack('forge', { message }, { timeoutMs: 5000 });
    expect(execution.status).toBe('crashed');
    expect(execution.worker.lost).toBe(true);
  });

  it.each(['buffer', 'view', 'length', 'words', 'text'])(
    'T30: parts that aren’t bytes end the worker at once: %s',
    async (what) => {
      const execution = await s.attack('partsOf', { what }, { timeoutMs: 5000 });
      expect(execution).toMatchObject({ status: 'crashed', worker: { lost: true }, stdout: '' });
    },
  );

  it.each<[string, object]>([
    ['fetch', { kind: 'fetch', url: 'http://127.0.0.1:<port>/', headers: {} }],
    ['a file', { kind: 'fetch', url: 'file://<secret>', headers: {} }],
    ['install', { kind: 'install', requirements: ['x @ http://127.0.0.1:<port>/x-1-py3-none-any.whl'] }],
    ['install a file', { kind: 'install', requirements: ['x @ file://<secret>'] }],
  ])('T53: what it asks of the host is refused: %s', async (_, question) => {
    const { port, secret } = s.canaries.targets;
    const text = JSON.stringify({ kind: 'ask', id: '<own>', question });
    const message = JSON.parse(text.replaceAll('<port>', `${port}`).replaceAll('<secret>', secret));
    // Its own kernel never hears the answer; the host must not do it.
    const execution = await s.attack('forge', { message }, { timeoutMs: 300 });
    expect(['timeout', 'crashed']).toContain(execution.status);
  });

  it('T31: on its stdin there is nothing of another tenant’s', async () => {
    // All workers read what isn't theirs, and two more runs wait for one.
    let reading = 0;
    const onStdout = (text: string): void => {
      if (text.startsWith('reading')) reading += 1;
    };
    const stealing = [1, 2].map(() => s.run('T31', {}, { timeoutMs: 5000, onStdout }));
    const marker = 'a marker of somebody else';
    const waiting = ['attacker', 'other'].map((tenant) => s.runtime.run(`print('${marker}')`, { tenant }));
    await vi.waitFor(() => expect(reading).toBe(2), { timeout: 10_000 });
    // Each thread gets some of the questions, and a worker that doesn't answer one is ended.
    for (let question = 0; question < 3; question += 1) await s.runtime.healthCheckAll();
    const stolen = await Promise.all(stealing);
    for (const each of await Promise.all(waiting)) {
      expect(each).toMatchObject({ status: 'ok', stdout: `${marker}\n` });
    }
    for (const { status, worker, stdout } of stolen) {
      expect(['timeout', 'crashed']).toContain(status);
      expect(worker.lost).toBe(true);
      expect(stdout).toContain('jsonrpc');
      expect(stdout).not.toContain(marker);
    }
  });

  it('T32: a poisoned realm hurts only its own tenant', async () => {
    const found = await s.find('T32');
    expect(Object.keys(found).length).toBeGreaterThan(15);
    // Same tenant: whatever the realm makes of it, the host gets one end, of the known kinds.
    const next = await s.runtime.run('{"a": [1, 2.5, "x"]}', { timeoutMs: 2000, tenant: 'attacker' });
    expect(['ok', 'error', 'timeout', 'crashed']).toContain(next.status);
    expect(await s.runtime.run('{"a": [1, 2.5, "x"]}', { tenant: 'other' })).toMatchObject({
      status: 'ok',
      value: { a: [1, 2.5, 'x'] },
    });
  });

  it.each(['timer', 'promise', 'worker'])(
    'T41: what goes on after its end is in nobody else’s output: %s',
    async (from) => {
      const marker = `late, by a ${from}`;
      await s.find('T41', { marker, from });
      const next = await s.runtime.run('import time\ntime.sleep(0.05)\nprint("mine")', { tenant: 'other' });
      expect(next).toMatchObject({ status: 'ok', stdout: 'mine\n' });
      const same = await s.runtime.run('print("mine")', { tenant: 'attacker' });
      expect(same.stdout).not.toContain(marker);
    },
  );
});
