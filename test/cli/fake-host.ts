import { Readable, Writable } from 'node:stream';
import type { Host } from '../../src/cli/run.ts';
import type { Desk } from '../../src/cli/work.ts';
import type { Execution, Run, RunOptions, Runtime, RuntimeEvent } from '../../src/runtime.ts';

export function execution(changes: Partial<Execution> = {}): Execution {
  return {
    id: 'run-1',
    status: 'ok',
    results: [],
    logs: { stdout: [], stderr: [] },
    files: [],
    executionCount: 1,
    timings: { queuedMs: 0, restoreMs: 0, runMs: 0, installMs: 0, cpuMs: 0, persistMs: 0, totalMs: 0 },
    memory: { heapBytes: 0, peakBytes: 0, deltaBytes: 0 },
    truncated: { stdout: false, stderr: false, value: false, results: false, files: false },
    worker: { id: 'w1', backend: 'fake', pyodide: '0', image: 'stdlib', lost: false },
    stdout: '',
    stderr: '',
    png: undefined,
    svg: undefined,
    html: undefined,
    unwrap: () => undefined,
    ...changes,
  };
}

export type Script = (code: string, options: RunOptions) => Execution | Promise<Execution>;

class Captured extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** Streams that are read as text, a Ctrl-C that tests press, and a SIGTERM that they send. */
export function fakeDesk() {
  const listeners = new Set<(exitCode: number) => void>();
  const stdout = new Captured();
  const stderr = new Captured();
  const desk: Desk = {
    stdout,
    stderr,
    stderrIsTerminal: false,
    onInterrupt(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const interrupt = (exitCode: number) => () => {
    for (const listener of listeners) listener(exitCode);
  };
  return { desk, stdout, stderr, pressCtrlC: interrupt(130), terminate: interrupt(143), listeners };
}

/** A host whose runtime does what `script` says. `closed` tells whether the runtime was ended. */
export function fakeHost(script: Script, stdin?: { kind: Host['stdinKind']; text: string }) {
  const { desk, ...rest } = fakeDesk();
  const state: { closed: boolean; runs: number; packages?: readonly string[] } = { closed: false, runs: 0 };
  const subscribers = new Set<(event: RuntimeEvent) => void>();
  const tell = (event: RuntimeEvent) => {
    for (const listener of subscribers) listener(event);
  };
  const unused = (): never => {
    throw new Error('the command line does not use this');
  };
  const runtime: Runtime = {
    status: 'ready',
    lastError: undefined,
    run(code, options = {}) {
      state.runs += 1;
      const promise = Promise.resolve().then(() => script(code, options));
      return Object.assign(promise, {
        id: 'run-1',
        interrupt: unused,
        [Symbol.asyncIterator]: unused,
      }) as Run;
    },
    session: unused,
    sessions: unused,
    removeSession: unused,
    warm: unused,
    close() {
      state.closed = true;
      return Promise.resolve();
    },
    stats: unused,
    restart: unused,
    drain: unused,
    healthCheckAll: unused,
    subscribe(listener) {
      subscribers.add(listener);
      return () => subscribers.delete(listener);
    },
    [Symbol.asyncDispose]: unused,
  };
  const host: Host = {
    ...desk,
    createRuntime: (request) => {
      state.packages = request.packages;
      return Promise.resolve(runtime);
    },
    scriptDependencies: () => Promise.resolve(['six']),
    packagesOf: () =>
      Promise.resolve([
        { module: 'cv2', package: 'opencv-python' },
        { module: 'numpy', package: 'numpy' },
        { module: 'helper', package: 'helper' },
      ]),
    stdin: Readable.from(stdin === undefined ? [] : [Buffer.from(stdin.text)]),
    stdinKind: stdin?.kind ?? 'none',
  };
  return { host, state, tell, ...rest };
}
