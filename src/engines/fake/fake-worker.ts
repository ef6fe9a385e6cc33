import { InternalError, WorkerError } from '../../errors/errors.ts';
import type { ResultMessage, RunMessage, StopReason } from '../../protocol/messages.ts';
import { encodeValue } from '../../protocol/value-codec.ts';
import type { Clock, Timer } from '../../util/clock.ts';
import type { RunSink, Worker, WorkerExit } from '../engine.ts';
import type { FakeOutcome, FakeScript } from './fake-script.ts';

interface Active {
  readonly message: Omit<RunMessage, 'kind'>;
  readonly outcome: FakeOutcome;
  readonly events: RunSink;
  readonly startedAt: number;
  readonly settled: PromiseWithResolvers<ResultMessage>;
  readonly timers: Timer[];
}

/** A worker of the fake engine. Tests may also make it die. */
export class FakeWorker implements Worker {
  readonly id: string;
  readonly pid: number;
  readonly pyodide = 'fake';
  readonly bootMs: number;
  readonly exited: Promise<WorkerExit>;
  /** Every run that it took. */
  readonly runs: Omit<RunMessage, 'kind'>[] = [];
  readonly interrupts: StopReason[] = [];
  alive = true;
  readonly #exit = Promise.withResolvers<WorkerExit>();
  readonly #script: FakeScript;
  readonly #clock: Clock;
  #heapBytes = 32 * 2 ** 20;
  #active: Active | undefined;
  /** Another run before this has gone by is a bug of the pool. */
  #rewinding = false;

  constructor(id: string, bootMs: number, pid: number, script: FakeScript, clock: Clock) {
    this.id = id;
    this.pid = pid;
    this.bootMs = bootMs;
    this.exited = this.#exit.promise;
    this.#script = script;
    this.#clock = clock;
  }

  run(message: Omit<RunMessage, 'kind'>, events: RunSink): Promise<ResultMessage> {
    if (!this.alive) return Promise.reject(new WorkerError('crashed', 'It was dead before the run.'));
    // No program can cause it: a pool that does is broken, and its tests shall see that.
    if (this.#active || this.#rewinding)
      throw new InternalError('internal', `${this.id} isn't ready for a run.`);
    this.runs.push(message);
    const outcome = this.#outcome(message);
    const settled = Promise.withResolvers<ResultMessage>();
    const active: Active = { message, outcome, events, startedAt: this.#clock.now(), settled, timers: [] };
    this.#active = active;
    for (const shown of outcome.displays ?? []) events.onDisplay(shown);
    for (const stream of ['stdout', 'stderr'] as const)
      for (const data of chunks(outcome[stream])) events.onOutput(stream, data);

    const { timeoutMs } = message.limits;
    const delayMs = outcome.delayMs ?? 0;
    const end = () => this.#finish(active, null);
    if (delayMs > 0) active.timers.push(this.#clock.setTimeout(end, delayMs));
    if (delayMs > 0 && timeoutMs > 0 && !outcome.forgetsDeadline && !outcome.unstoppable)
      active.timers.push(this.#clock.setTimeout(() => this.#finish(active, 'timeout'), timeoutMs));
    if (delayMs === 0) end();
    return settled.promise;
  }

  interrupt(runId: string, reason: StopReason): void {
    this.interrupts.push(reason);
    const active = this.#active;
    if (active?.message.id === runId && !active.outcome.unstoppable) this.#finish(active, reason);
  }

  ping(timeoutMs: number): Promise<{ heapBytes: number; residentBytes: number | null }> {
    const answers = this.alive && (this.#script.ping?.(this.id) ?? true);
    if (answers) return Promise.resolve({ heapBytes: this.#heapBytes, residentBytes: null });
    return new Promise((_, reject) => {
      const silent = () => reject(new WorkerError('crashed', `No answer within ${timeoutMs} ms.`));
      this.#clock.setTimeout(silent, timeoutMs);
    });
  }

  kill(): void {
    this.#end({ expected: true, reason: 'killed' });
  }

  async shutdown(): Promise<void> {
    this.kill();
    await this.exited;
  }

  /** It dies by itself, as from `kill -9`. */
  die(reason: string = 'killed by signal 9'): void {
    this.#end({ expected: false, reason });
  }

  #outcome(message: Omit<RunMessage, 'kind'>): FakeOutcome {
    const { code } = message;
    try {
      return this.#script.run?.({ code, message, worker: this.id, count: this.runs.length }) ?? {};
    } catch (error) {
      const { name, message: value } = error instanceof Error ? error : new Error(String(error));
      return { error: { name, value } };
    }
  }

  #finish(active: Active, stopped: StopReason | null): void {
    if (this.#active !== active) return;
    const { outcome, message } = active;
    if (stopped === null && outcome.crash) {
      this.die(typeof outcome.crash === 'string' ? outcome.crash : undefined);
      return;
    }
    for (const timer of active.timers) timer.cancel();
    this.#active = undefined;
    this.#heapBytes = outcome.heapBytes ?? this.#heapBytes;
    const runMs = this.#clock.now() - active.startedAt;
    active.settled.resolve(resultOf(active, stopped, runMs, this.#heapBytes, this.runs.length));
    if (message.after !== 'discard') this.#rewind(active);
  }

  #rewind({ outcome, message, events }: Active): void {
    const { delayMs = 0, dirty = null } = outcome.rewind ?? {};
    this.#rewinding = true;
    const rewound = () => {
      if (!this.alive) return;
      this.#rewinding = false;
      events.onRewound({
        kind: 'rewound',
        id: message.id,
        rewindMs: delayMs,
        heapBytes: this.#heapBytes,
        dirty,
      });
    };
    if (delayMs > 0) this.#clock.setTimeout(rewound, delayMs);
    else rewound();
  }

  #end(exit: WorkerExit): void {
    if (!this.alive) return;
    this.alive = false;
    const active = this.#active;
    this.#active = undefined;
    for (const timer of active?.timers ?? []) timer.cancel();
    active?.settled.reject(new WorkerError('crashed', exit.reason));
    this.#exit.resolve(exit);
  }
}

function resultOf(
  { message, outcome }: Active,
  stopped: StopReason | null,
  runMs: number,
  heapBytes: number,
  executionCount: number,
): ResultMessage {
  const error = stopped === null ? outcome.error : { name: 'KeyboardInterrupt', value: '' };
  const hasValue = error === undefined && outcome.value !== undefined;
  const encoded = hasValue ? encodeValue(outcome.value, { firstPart: 1 }) : undefined;
  const parts = encoded ? [new TextEncoder().encode(encoded.json), ...encoded.parts] : [];
  const files = Object.entries(outcome.files ?? {}).map(([path, content]) => {
    const bytes = bytesOf(content);
    return { path, size: bytes.byteLength, part: parts.push(bytes) - 1 };
  });
  return {
    kind: 'result',
    id: message.id,
    status: error ? 'error' : 'ok',
    stopped,
    text: outcome.text ?? (hasValue ? String(outcome.value) : null),
    value: encoded ? 0 : null,
    display: outcome.display ?? null,
    error: error ? { ...error, traceback: [], frames: [], line: null, column: null } : null,
    exitCode: outcome.exitCode ?? null,
    files,
    executionCount,
    runMs,
    cpuMs: runMs,
    heapBytes,
    peakBytes: heapBytes,
    deltaBytes: 0,
    truncated: { stdout: false, stderr: false, value: false, results: false, files: false },
    parts,
  };
}

function chunks(given: FakeOutcome['stdout']): Uint8Array[] {
  if (given === undefined) return [];
  const list = typeof given === 'string' || given instanceof Uint8Array ? [given] : given;
  return list.map(bytesOf);
}

function bytesOf(content: string | Uint8Array): Uint8Array {
  return typeof content === 'string' ? new TextEncoder().encode(content) : content;
}
