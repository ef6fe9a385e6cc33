import { readFileSync } from 'node:fs';
import { createDenoEngine } from '../../src/engines/deno/host.ts';
import type { Engine, EngineOptions, RunSink, StartOptions, Worker } from '../../src/engines/engine.ts';
import { createNodeEngine } from '../../src/engines/node/host.ts';
import type { ResultMessage, RewoundMessage, RunMessage } from '../../src/protocol/messages.ts';
import { runOf } from '../kernel/run-message.ts';

export const engines: readonly ['deno' | 'node', (options: EngineOptions) => Engine][] = [
  ['deno', createDenoEngine],
  ['node', createNodeEngine],
];

export function startOptions(options: Partial<StartOptions> = {}): StartOptions {
  return {
    id: 'w1',
    init: { maxHeapBytes: 256 * 2 ** 20, warmingRuns: 0, env: {} },
    bootTimeoutMs: 30_000,
    ...options,
  };
}

export interface Running {
  result: Promise<ResultMessage>;
  rewound: Promise<RewoundMessage>;
  /** Resolves when stdout so far has this in it. */
  printed(text: string): Promise<void>;
}

let runs = 0;

export function run(
  worker: Worker,
  code: string,
  { onAsk, ...options }: NonNullable<Parameters<typeof runOf>[1]> & Pick<RunSink, 'onAsk'> = {},
): Running {
  const { promise: rewound, resolve } = Promise.withResolvers<RewoundMessage>();
  const decoder = new TextDecoder();
  let stdout = '';
  let waiting: { text: string; resolve(): void }[] = [];
  const sink: RunSink = {
    onOutput(stream, data) {
      if (stream === 'stdout') stdout += decoder.decode(data, { stream: true });
      const found = waiting.filter(({ text }) => stdout.includes(text));
      waiting = waiting.filter((one) => !found.includes(one));
      for (const one of found) one.resolve();
    },
    onDisplay() {},
    onRewound: resolve,
    ...(onAsk && { onAsk }),
  };
  runs += 1;
  const { kind: _, ...message }: RunMessage = runOf(code, { id: `run-${runs}`, ...options });
  return {
    result: worker.run(message, sink),
    rewound,
    printed: (text) =>
      stdout.includes(text)
        ? Promise.resolve()
        : new Promise((done) => {
            waiting.push({ text, resolve: done });
          }),
  };
}

/** Runs it to the end; resolves when the worker takes the next run. */
export async function finish(worker: Worker, code: string): Promise<ResultMessage> {
  const { result, rewound } = run(worker, code);
  const got = await result;
  await rewound;
  return got;
}

export async function end(worker: Worker): Promise<void> {
  worker.kill();
  await worker.exited;
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** As `isAlive`, for a process whose parent is gone: whether anybody takes leave of it is up to the machine. */
export function isRunning(pid: number): boolean {
  if (process.platform !== 'linux' || !isAlive(pid)) return isAlive(pid);
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
