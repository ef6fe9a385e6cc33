import { describe, expect, it } from 'vitest';
import type { Run, RunEvent } from '../../src/runtime.ts';
import { ok, py, type Subject } from './subject.ts';

/** The output events of a run in order, adjacent ones of a stream joined: where batches end is not part of the contract. */
async function streams(run: Run): Promise<[string, string][]> {
  const joined: [string, string][] = [];
  for await (const event of run) {
    if (event.type !== 'stdout' && event.type !== 'stderr') continue;
    const last = joined.at(-1);
    if (last?.[0] === event.type) last[1] += event.text;
    else joined.push([event.type, event.text]);
  }
  return joined;
}

async function bytesOf(run: Run): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const event of run) if (event.type === 'stdout') parts.push(event.data);
  return new Uint8Array(Buffer.concat(parts));
}

export function output(subject: Subject): void {
  it.each([
    ['a line', 'print("hello")', 'hello\n'],
    ['no line break', 'print("hello", end="")', 'hello'],
    ['only line breaks', 'print()\nprint()', '\n\n'],
    ['a carriage return', 'print("10%\\r20%\\r", end="")', '10%\r20%\r'],
    ['a NUL', 'print("a\\0b", end="")', 'a\0b'],
    ['text beyond ASCII', 'print("grüße 🐍")', 'grüße 🐍\n'],
  ])('is exact: %s', async (_, code, expected) => {
    const execution = await ok(subject.run(code));
    expect(execution.stdout).toBe(expected);
    expect(execution.stderr).toBe('');
    expect(execution.logs.stdout.join('')).toBe(expected);
  });

  it('carries any bytes through sys.stdout.buffer', async () => {
    const bytes = await bytesOf(subject.run('import sys\nsys.stdout.buffer.write(bytes(range(256)))'));
    expect(bytes).toStrictEqual(Uint8Array.from({ length: 256 }, (_, i) => i));
  });

  it('joins a character that was written in two halves', async () => {
    const execution = await ok(
      subject.run(py`
        import sys
        for byte in "é🐍".encode():
            sys.stdout.buffer.write(bytes([byte]))
            sys.stdout.buffer.flush()
      `),
    );
    expect(execution.stdout).toBe('é🐍');
  });

  it('keeps stdout and stderr in order', async () => {
    const run = subject.run(py`
      import os, sys
      print("a")
      print("b", file=sys.stderr)
      print("c", end="")
      sys.stderr.write("d")
      print("e")
    `);
    expect(await streams(run)).toStrictEqual([
      ['stdout', 'a\n'],
      ['stderr', 'b\n'],
      ['stdout', 'c'],
      ['stderr', 'd'],
      ['stdout', 'e\n'],
    ]);
    expect(await run).toMatchObject({ stdout: 'a\nce\n', stderr: 'b\nd' });
  });

  it('takes what is written to the file descriptors, too', async () => {
    const execution = await ok(
      subject.run('import os, sys\nsys.stdout.flush()\nos.write(1, b"one")\nos.write(2, b"two")\nNone'),
    );
    expect(execution).toMatchObject({ stdout: 'one', stderr: 'two' });
  });

  it('loses nothing of many small writes, and batches them', async () => {
    const run = subject.run('for i in range(20_000):\n    print(i)');
    let events = 0;
    for await (const event of run) if (event.type === 'stdout') events += 1;
    expect((await run).stdout).toBe(Array.from({ length: 20_000 }, (_, i) => `${i}\n`).join(''));
    expect(events).toBeLessThan(2_000);
  });

  it('carries a line of five megabytes', async () => {
    const execution = await ok(subject.run('print("x" * 5_000_000)'));
    expect(execution.stdout).toHaveLength(5_000_001);
    expect(execution.truncated.stdout).toBe(false);
  });

  describe('streams while the run goes on', () => {
    const forever = 'while True:\n    pass';

    it.each([
      ['a line', `print("started")\n${forever}`, 'started\n'],
      ['a prompt without line break', `print("started", end="")\n${forever}`, 'started'],
    ])('%s', async (_, code, expected) => {
      const run = subject.run(code);
      let seen = '';
      for await (const event of run) {
        if (event.type !== 'stdout') continue;
        seen += event.text;
        // Once it's all there: an interrupt can part what `print` writes.
        if (seen === expected) run.interrupt();
      }
      expect(seen).toBe(expected);
      expect((await run).status).toBe('interrupted');
    });

    it('to callbacks', async () => {
      const stop = new AbortController();
      let seen = '';
      const decoder = new TextDecoder();
      let decoded = '';
      const execution = await subject.run(`import sys\nprint("to stderr", file=sys.stderr)\n${forever}`, {
        signal: stop.signal,
        onStderr: (text, data) => {
          seen += text;
          decoded += decoder.decode(data, { stream: true });
          if (seen.endsWith('\n')) stop.abort();
        },
      });
      expect([seen, decoded]).toStrictEqual(['to stderr\n', 'to stderr\n']);
      expect(execution.status).toBe('interrupted');
    });

    it.each([
      ['awaits', 'import asyncio\nprint("before")\nawait asyncio.sleep(0.05)\nprint("after")'],
      ['sleeps', 'import time\nprint("before")\ntime.sleep(0.05)\nprint("after")'],
    ])('all that was written before a run %s', async (_, code) => {
      // What is held back while the run waits comes in one event with what is written afterwards.
      let before = '';
      for await (const event of subject.run(code)) {
        if (event.type !== 'stdout') continue;
        if (event.text.includes('after')) break;
        before += event.text;
      }
      expect(before).toBe('before\n');
    });
  });

  it('ends the events with the execution', async () => {
    const run = subject.run('print("x")\n1');
    const events: RunEvent[] = [];
    for await (const event of run) events.push(event);
    expect(events.at(-1)).toStrictEqual({ type: 'done', execution: await run });
    expect(events.filter((event) => event.type === 'done')).toHaveLength(1);
  });

  it('writes warnings to stderr', async () => {
    const execution = await ok(subject.run('import warnings\nwarnings.warn("careful")'));
    expect(execution.stdout).toBe('');
    expect(execution.stderr).toContain('UserWarning: careful');
  });

  it('keeps the outputs of runs that are queued together apart', async () => {
    const runs = Array.from({ length: 12 }, (_, i) => subject.run(`print("run", ${i})\n${i}`));
    const executions = await Promise.all(runs);
    expect(executions.map((execution) => [execution.stdout, execution.value])).toStrictEqual(
      Array.from({ length: 12 }, (_, i) => [`run ${i}\n`, i]),
    );
  });
}
