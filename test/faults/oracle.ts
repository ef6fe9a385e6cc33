/** What must hold after any fault, whichever it was: see `judge`. */
import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, vi } from 'vitest';
import { VivariumError } from '../../src/errors/errors.ts';
import { createRuntime, type RuntimeOptions } from '../../src/node.ts';
import type { Execution, Run, RunOptions, Runtime, RuntimeEvent } from '../../src/runtime.ts';
import { type Folders, leftovers } from './folders.ts';
import { at } from './points.ts';
import { childrenOf, descriptorsOf, processOf, relativesOf, signal } from './processes.ts';
import { eventually } from './runs.ts';

/** Beyond a run's time limit, for the interrupt, the grace period and the kill. */
const lateMs = 2000;
/** Of the host's own memory after a collection, over one test. */
const keptBytes = 24 * 2 ** 20;
/** Until all is as before. A worker may have to build its image first. */
const settleMs = 60_000;

/** How a run ended, as its caller sees it. */
export type Ending = { execution: Execution } | { error: unknown };

interface Followed {
  name: string;
  timeoutMs: number;
  wrong: Judgement;
  startedAt?: number;
  endedAt?: number;
  ending?: Ending;
  dones: number;
  /** Output after its end. */
  late: number;
  /** Resolves when both the promise and the events have ended. */
  whole: Promise<unknown>;
}

/** What is wrong with an end, in words. */
export type Judgement = (ending: Ending) => string | undefined;

export interface Expectation {
  name?: string;
  wrong?: Judgement;
}

/** The value of a run that nothing may have happened to. */
export function ends(status: Execution['status'], value?: unknown): Judgement {
  return (ending) => {
    const seen = describe(ending);
    if (!('execution' in ending) || ending.execution.status !== status) return `${seen}, not ${status}`;
    const right = value === undefined || JSON.stringify(ending.execution.value) === JSON.stringify(value);
    return right ? undefined : `${seen}, not ${JSON.stringify(value)}`;
  };
}

export function describe(ending: Ending): string {
  if ('error' in ending) {
    const { error } = ending;
    return `rejected: ${error instanceof VivariumError ? `${error.code} (${error.message})` : String(error)}`;
  }
  const { status, value, error, worker } = ending.execution;
  return `${status} ${JSON.stringify(value)} on ${worker.pid}${error ? ` (${error.message})` : ''}`;
}

/** Follows the runs of one runtime on this process, and looks at all that is left when they have ended. */
export class Oracle {
  readonly runtime: Runtime;
  readonly events: RuntimeEvent[] = [];
  readonly #size: number;
  readonly #folders: Folders;
  /** Processes of this host that are none of the pool's. */
  readonly #others: readonly number[];
  readonly #followed: Followed[] = [];
  readonly #spawned = new Set<number>();
  /** Process ids by run. */
  readonly #sentTo = new Map<string, number>();
  readonly #listening = new DisposableStack();
  readonly #unsubscribe: () => void;
  #before: { ended: number; descriptors: number; bytes: number } | undefined;

  constructor(runtime: Runtime, size: number, folders: Folders, others: readonly number[]) {
    this.runtime = runtime;
    this.#size = size;
    this.#folders = folders;
    this.#others = others;
    this.#listening.use(at('worker.spawned', ({ pid }) => this.#spawned.add(pid)));
    this.#listening.use(at('run.sent', ({ pid, run }) => this.#sentTo.set(run, pid)));
    this.#unsubscribe = runtime.subscribe((event) => this.events.push(event));
  }

  /** Boots every worker, and notes how things are. */
  async begin(): Promise<void> {
    await this.runtime.warm();
    await this.#quiet();
    this.#before = { ended: this.#ended, descriptors: descriptorsOf(process.pid).length, bytes: ownBytes() };
  }

  /** Waits until the run was handed to a worker, and tells that one's process. */
  workerOf({ id }: Run): Promise<number> {
    return eventually(() => {
      const pid = this.#sentTo.get(id);
      if (pid === undefined) throw new Error(`${id} was not sent`);
      return pid;
    });
  }

  /** `kill -9`; resolves when the pool knows it. */
  async kill(...pids: number[]): Promise<void> {
    for (const pid of pids) signal(pid, 'SIGKILL');
    for (const pid of pids)
      await eventually(() =>
        expect(this.events).toContainEqual(expect.objectContaining({ type: 'worker:exit', pid })),
      );
  }

  get pids(): number[] {
    return this.runtime.stats().workers.flatMap(({ pid }) => pid ?? []);
  }

  /** A run that counts: by default it must be `ok`. */
  run(code: string, options: RunOptions = {}, expectation: Expectation = {}): Run {
    const { name = code, wrong = ends('ok') } = expectation;
    const followed: Followed = {
      name: name.slice(0, 60),
      timeoutMs: options.timeoutMs ?? 60_000,
      wrong,
      dones: 0,
      late: 0,
      whole: Promise.resolve(),
    };
    const noted =
      (callback: RunOptions['onStdout']): RunOptions['onStdout'] =>
      (text, data) => {
        if (followed.ending) followed.late++;
        callback?.(text, data);
      };
    const run = this.runtime.run(code, {
      ...options,
      onStdout: noted(options.onStdout),
      onStderr: noted(options.onStderr),
    });
    const note = (ending: Ending): void => {
      followed.ending ??= ending;
      followed.endedAt ??= performance.now();
    };
    const promise = run.then(
      (execution) => note({ execution }),
      (error: unknown) => note({ error }),
    );
    const events = (async () => {
      for await (const event of run) {
        if (event.type === 'done') followed.dones++;
        else if (event.type === 'status' && event.status === 'running')
          followed.startedAt = performance.now();
      }
    })().catch(() => undefined);
    followed.whole = Promise.all([promise, events]);
    this.#followed.push(followed);
    return run;
  }

  /**
   * Each run has ended in exactly one way, in time and as it may; the next run works, on every worker; nothing is left
   * but the workers of the pool: no process, descriptor, file or memory. Empty when all of it holds, else what doesn't.
   */
  async judge(patienceMs: number = settleMs): Promise<string[]> {
    const before = this.#before;
    if (before === undefined) throw new Error('begin() first');
    const longest = Math.max(0, ...this.#followed.map(({ timeoutMs }) => timeoutMs));
    const all = Promise.all(this.#followed.map(({ whole }) => whole)).then(() => true);
    const ended = await within(longest + lateMs + patienceMs, all);
    const problems = this.#followed.flatMap((one) =>
      this.#wrongOf(one).map((what) => `${one.name}: ${what}`),
    );
    if (!ended) return problems;

    const total = this.#ended - before.ended;
    if (total !== this.#followed.length)
      problems.push(`${this.#followed.length} runs were counted as ${total} ends`);
    before.ended += this.#size;
    const next = Array.from({ length: this.#size }, (_, index) => this.runtime.run(`6 * 7 + ${index}`));
    const values = await within(
      30_000,
      Promise.all(next.map((run) => run.then(({ value }) => value, String))),
    );
    const wanted = next.map((_, index) => 42 + index);
    if (JSON.stringify(values) !== JSON.stringify(wanted))
      problems.push(`the next runs give ${JSON.stringify(values)}`);
    const left = () => this.#left(before);
    await vi.waitFor(() => expect(left()).toEqual([]), { timeout: patienceMs }).catch(() => undefined);
    problems.push(...left());
    return problems;
  }

  [Symbol.dispose](): void {
    this.#listening.dispose();
    this.#unsubscribe();
  }

  get #ended(): number {
    const { completed, rejected } = this.runtime.stats();
    return completed + rejected;
  }

  #wrongOf(one: Followed): string[] {
    if (one.ending === undefined || one.endedAt === undefined) return ['it has not ended'];
    const problems: string[] = [];
    const wrong = one.wrong(one.ending);
    if (wrong !== undefined) problems.push(wrong);
    if ('error' in one.ending && !(one.ending.error instanceof VivariumError))
      problems.push(`it rejected with ${String(one.ending.error)}`);
    if (one.dones !== ('execution' in one.ending ? 1 : 0)) problems.push(`it was done ${one.dones} times`);
    if (one.late > 0) problems.push('it went on to print after its end');
    const tookMs = one.endedAt - (one.startedAt ?? one.endedAt);
    if (tookMs > one.timeoutMs + lateMs)
      problems.push(`it took ${Math.round(tookMs)} ms with a limit of ${one.timeoutMs}`);
    return problems;
  }

  #left({ descriptors, bytes }: { descriptors: number; bytes: number }): string[] {
    const { workers, running, queued } = this.runtime.stats();
    const problems: string[] = [];
    const states = workers.map(({ state }) => state).join();
    if (states !== Array.from({ length: this.#size }, () => 'idle').join())
      problems.push(`the workers are ${states}`);
    if (running + queued > 0) problems.push(`${running} run and ${queued} wait`);
    problems.push(...strays([...this.#others, ...this.pids], this.#spawned));
    const open = descriptorsOf(process.pid);
    if (open.length > descriptors)
      problems.push(`${open.length} descriptors instead of ${descriptors}: ${open.join()}`);
    problems.push(...filesLeft(this.#folders));
    const grown = ownBytes() - bytes;
    if (grown > keptBytes) problems.push(`the host holds ${grown} bytes more`);
    return problems;
  }

  #quiet(): Promise<void> {
    return eventually(() =>
      expect(this.runtime.stats().workers.map(({ state }) => state)).toEqual(this.#allIdle),
    );
  }

  get #allIdle(): string[] {
    return Array.from({ length: this.#size }, () => 'idle');
  }
}

/** Of this process, before there was a pool. */
interface Before {
  descriptors: number;
  children: readonly number[];
}

/** A runtime for tests of faults, on this process. */
export class JudgedPool {
  readonly runtime: Runtime;
  readonly #folders: Folders;
  readonly #size: number;
  readonly #before: Before;
  readonly #spawned: Set<number>;
  readonly #listening: Disposable;

  static async open(folders: Folders, options: PoolOptions): Promise<JudgedPool> {
    const before = { descriptors: descriptorsOf(process.pid).length, children: childrenOf(process.pid) };
    const runtime = await createRuntime({ engine: 'deno', cacheDir: folders.cache, ...options });
    return new JudgedPool(runtime, folders, options.size, before);
  }

  private constructor(runtime: Runtime, folders: Folders, size: number, before: Before) {
    this.runtime = runtime;
    this.#folders = folders;
    this.#size = size;
    this.#before = before;
    const spawned = new Set<number>();
    this.#spawned = spawned;
    this.#listening = at('worker.spawned', ({ pid }) => spawned.add(pid));
  }

  /** Lets a test act, and judges. */
  async judge(test: (oracle: Oracle) => Promise<unknown>): Promise<void> {
    using oracle = new Oracle(this.runtime, this.#size, this.#folders, this.#before.children);
    await oracle.begin();
    await test(oracle);
    const problems = await oracle.judge();
    expect(problems, problems.join('\n')).toEqual([]);
  }

  /** Closes the runtime, and looks that nothing is left at all. */
  async close(): Promise<void> {
    await this.runtime.close({ graceMs: 0 });
    await vi.waitFor(
      () => {
        expect([...strays(this.#before.children, this.#spawned), ...filesLeft(this.#folders)]).toEqual([]);
        expect(descriptorsOf(process.pid).length).toBeLessThanOrEqual(this.#before.descriptors);
      },
      { timeout: settleMs },
    );
    this.#listening[Symbol.dispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

export type PoolOptions = RuntimeOptions & { size: number };

/** A test on a runtime of its own. */
export async function underOracle(
  folders: Folders,
  options: PoolOptions,
  test: (oracle: Oracle) => Promise<unknown>,
): Promise<void> {
  await using pool = await JudgedPool.open(folders, options);
  await pool.judge(test);
}

/** Processes of this host that nobody knows, and what workers left that are gone. */
function strays(known: readonly number[], spawned: ReadonlySet<number>): string[] {
  const unknown = childrenOf(process.pid).filter((pid) => !known.includes(pid));
  // Another program's process may have the number by now.
  const isOurs = (pid: number): boolean => (processOf(pid)?.parent ?? process.pid) === process.pid;
  const gone = [...spawned].filter((pid) => !known.includes(pid) && isOurs(pid));
  const orphans = gone.flatMap(relativesOf);
  return [...new Set([...unknown, ...orphans])].map((pid) => `process ${pid} is left`);
}

function filesLeft({ cache, temporary }: Folders): string[] {
  return [...leftovers(cache), ...readdirSync(temporary)].map((file) => `${file} is left`);
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function ownBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
