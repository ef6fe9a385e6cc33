import { InternalError, VivariumError, WorkerError } from '../../errors/errors.ts';
import type { Delta } from '../../image/delta.ts';
import type { ImageSource } from '../../packages/image-source.ts';
import type { Question, ResultMessage, RunMessage, StopReason } from '../../protocol/messages.ts';
import { encodeValue } from '../../protocol/value-codec.ts';
import type { Clock, Timer } from '../../util/clock.ts';
import type {
  Answer,
  FileWrite,
  FreezeOptions,
  Frozen,
  RunSink,
  Usage,
  Worker,
  WorkerExit,
} from '../engine.ts';
import type { FakeOutcome, FakeScript, FakeWork } from './fake-script.ts';
import {
  changeFakeFiles,
  emptyFakeState,
  type FakeState,
  fakeHome,
  freezeFakeState,
  thawFakeState,
} from './fake-state.ts';

interface Active {
  readonly message: Omit<RunMessage, 'kind'>;
  readonly outcome: FakeOutcome;
  readonly events: RunSink;
  /** When its Python began, moved on by the time that asking took. */
  startedAt: number;
  readonly settled: PromiseWithResolvers<ResultMessage>;
  readonly timers: Timer[];
}

/** A worker of the fake engine. Tests may also make it die. */
export class FakeWorker implements Worker {
  readonly id: string;
  readonly image: ImageSource;
  readonly pid: number;
  readonly pyodide = 'fake';
  readonly bootMs: number;
  readonly exited: Promise<WorkerExit>;
  /** Every run that it took. */
  readonly runs: Omit<RunMessage, 'kind'>[] = [];
  readonly interrupts: StopReason[] = [];
  /** What the host answered, or refused with. */
  readonly answers: (Answer | Error)[] = [];
  alive = true;
  readonly #exit = Promise.withResolvers<WorkerExit>();
  readonly #script: FakeScript;
  readonly #clock: Clock;
  #heapBytes = 32 * 2 ** 20;
  #active: Active | undefined;
  /** Another run before this has gone by is a bug of the pool. */
  #rewinding = false;
  /** Likewise. */
  #working = false;
  #state: FakeState = emptyFakeState();

  constructor(place: Pick<FakeWorker, 'id' | 'image' | 'bootMs' | 'pid'>, script: FakeScript, clock: Clock) {
    this.id = place.id;
    this.image = place.image;
    this.pid = place.pid;
    this.bootMs = place.bootMs;
    this.exited = this.#exit.promise;
    this.#script = script;
    this.#clock = clock;
  }

  run(message: Omit<RunMessage, 'kind'>, events: RunSink): Promise<ResultMessage> {
    if (!this.alive) return Promise.reject(new WorkerError('crashed', 'It was dead before the run.'));
    // No program can cause it: a pool that does is broken, and its tests shall see that.
    if (this.#active || this.#rewinding || this.#working)
      throw new InternalError('internal', `${this.id} isn't ready for a run.`);
    this.runs.push(message);
    const outcome = this.#outcome(message);
    const settled = Promise.withResolvers<ResultMessage>();
    const active: Active = { message, outcome, events, startedAt: this.#clock.now(), settled, timers: [] };
    this.#active = active;
    for (const shown of outcome.displays ?? []) events.onDisplay(shown);
    for (const stream of ['stdout', 'stderr'] as const)
      for (const data of chunks(outcome[stream])) events.onOutput(stream, data);

    this.#ask(active, 0);
    return settled.promise;
  }

  /** The question of that number and those after it, then the delay. */
  #ask(active: Active, number: number): void {
    const { outcome, events } = active;
    const ask = outcome.asks?.[number];
    if (!ask) {
      this.#compute(active, outcome.delayMs ?? 0, () => this.#finish(active, null));
      return;
    }
    this.#compute(active, ask.afterMs ?? 0, async () => {
      const askedAt = this.#clock.now();
      for (const timer of active.timers.splice(0)) timer.cancel();
      const answer = await this.#answer(ask.question, events);
      this.answers.push(answer);
      if (this.#active !== active) return;
      active.startedAt += this.#clock.now() - askedAt;
      if (ask.catches || !(answer instanceof Error)) this.#ask(active, number + 1);
      else this.#finish(active, null, raisedBy(answer));
    });
  }

  async #answer(question: Question, events: RunSink): Promise<Answer | Error> {
    try {
      return (await events.onAsk?.(question)) ?? new Error('nobody answers');
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  /** Goes on with `then` after so much time in Python, if the deadline doesn't come first. */
  #compute(active: Active, ms: number, then: () => void): void {
    const { outcome, message } = active;
    const { timeoutMs } = message.limits;
    for (const timer of active.timers.splice(0)) timer.cancel();
    if (ms === 0) {
      then();
      return;
    }
    active.timers.push(this.#clock.setTimeout(then, ms));
    const leftMs = timeoutMs - (this.#clock.now() - active.startedAt);
    if (timeoutMs > 0 && !outcome.forgetsDeadline && !outcome.unstoppable)
      active.timers.push(this.#clock.setTimeout(() => this.#finish(active, 'timeout'), leftMs));
  }

  freeze(options: FreezeOptions): Promise<Frozen> {
    const startedAt = this.#clock.now();
    return this.#work('freeze', () => {
      const now = this.#clock.now();
      return { ...freezeFakeState(this.#state, options, this.image.name, now), freezeMs: now - startedAt };
    });
  }

  thaw(delta: Delta): Promise<void> {
    return this.#work('thaw', () => {
      this.#state = thawFakeState(delta, this.image.name);
    });
  }

  rewind(): Promise<{ rewindMs: number; heapBytes: number; dirty: string | null }> {
    return this.#work('rewind', () => {
      this.#state = emptyFakeState();
      return { rewindMs: 0, heapBytes: this.#heapBytes, dirty: null };
    });
  }

  changeFiles(changes: readonly FileWrite[]): Promise<void> {
    return this.#work('change_files', () => changeFakeFiles(this.#state, changes, this.#clock.now()));
  }

  async #work<T>(what: FakeWork['what'], work: () => T): Promise<T> {
    if (!this.alive) throw new WorkerError('crashed', 'It was dead before.');
    if (this.#active || this.#rewinding || this.#working)
      throw new InternalError('internal', `${this.id} isn't ready for ${what}.`);
    const { delayMs = 0, error, crash } = this.#script.work?.({ what, worker: this.id }) ?? {};
    this.#working = true;
    await Promise.race([this.#wait(delayMs), this.exited]);
    this.#working = false;
    if (crash) this.die();
    if (!this.alive) throw new WorkerError('crashed', (await this.exited).reason);
    if (error) throw error;
    return work();
  }

  #wait(ms: number): Promise<void> {
    if (ms === 0) return Promise.resolve();
    return new Promise((resolve) => this.#clock.setTimeout(resolve, ms));
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

  async usage(): Promise<Usage | null> {
    return this.#script.usage?.(this.id) ?? null;
  }

  kill(): void {
    this.#end({ expected: true, reason: 'killed' });
  }

  async shutdown(graceMs: number): Promise<void> {
    const inOrder = this.#script.shutdown?.(this.id) ?? true;
    using _timer = inOrder ? undefined : this.#clock.setTimeout(() => this.kill(), graceMs);
    if (inOrder) this.kill();
    await this.exited;
  }

  /** It dies by itself, as from `kill -9`. */
  die(reason: string = 'killed by signal 9', { outOfMemory = false }: { outOfMemory?: boolean } = {}): void {
    this.#end({ expected: false, reason, ...(outOfMemory && { outOfMemory }) });
  }

  #outcome(message: Omit<RunMessage, 'kind'>): FakeOutcome {
    const { code } = message;
    for (const { path, part } of message.files) {
      const bytes = message.parts?.[part];
      if (bytes) this.#state.files.set(`${fakeHome}/${path}`, { bytes, modifiedAt: this.#clock.now() });
    }
    try {
      const { id: worker, image, runs } = this;
      const run = { code, message, worker, image: image.name, count: runs.length, state: this.#state };
      return this.#script.run?.(run) ?? {};
    } catch (error) {
      const { name, message: value } = error instanceof Error ? error : new Error(String(error));
      return { error: { name, value } };
    }
  }

  #finish(active: Active, stopped: StopReason | null, raised?: FakeOutcome['error']): void {
    if (this.#active !== active) return;
    const { message } = active;
    const outcome = raised ? { ...active.outcome, error: raised } : active.outcome;
    if (stopped === null && !raised && outcome.crash) {
      this.die(typeof outcome.crash === 'string' ? outcome.crash : undefined);
      return;
    }
    for (const timer of active.timers) timer.cancel();
    this.#active = undefined;
    this.#heapBytes = outcome.heapBytes ?? this.#heapBytes;
    const runMs = this.#clock.now() - active.startedAt;
    active.settled.resolve(
      resultOf({ ...active, outcome }, stopped, runMs, this.#heapBytes, this.runs.length),
    );
    if (message.after !== 'discard') this.#rewind(active);
  }

  #rewind({ outcome, message, events }: Active): void {
    const { delayMs = 0, dirty = null } = outcome.rewind ?? {};
    this.#rewinding = true;
    const rewound = () => {
      if (!this.alive) return;
      this.#rewinding = false;
      if (message.after === 'rewind') this.#state = emptyFakeState();
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

/** As the kernel has it: an interrupt of what it waits for is one of Python too. */
function raisedBy(error: Error): { name: string; value: string } {
  const interrupted = error instanceof VivariumError && error.code === 'interrupted';
  return interrupted ? { name: 'KeyboardInterrupt', value: '' } : { name: error.name, value: error.message };
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
