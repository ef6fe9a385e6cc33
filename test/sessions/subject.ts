import { InternalError } from '../../src/errors/errors.ts';
import type { Run, RuntimeEvent } from '../../src/runtime.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import type { SessionStore } from '../../src/store/store.ts';
import {
  createFakeRuntime,
  FakeClock,
  type FakeRun,
  type FakeRuntime,
  type FakeRuntimeOptions,
  type FakeScript,
  type RuntimeOptions,
} from '../../src/testing.ts';
import { settled } from '../pool/subject.ts';

export { outcomes, settled, workerOf } from '../pool/subject.ts';

/**
 * Codes that the script knows, a line each: `set k v`, `get k` (the value of the run), `all`, `del k`, `print word text`, `write path text`, `unlink path`, `task name`, `socket`
 * (can't be stored), `close` (no more), `sleep ms`, `hang`, `crash`, `raise`, `dirty`.
 */
export const script: FakeScript = {
  run: ({ code, state, worker }: FakeRun) => {
    let outcome = {};
    for (const line of code.split('\n')) {
      const [word = '', name = '', ...rest] = line.split(' ');
      const text = rest.join(' ');
      if (word === 'set') state.values.set(name, text);
      else if (word === 'del') state.values.delete(name);
      else if (word === 'get') outcome = { ...outcome, value: state.values.get(name) ?? null };
      else if (word === 'all') outcome = { ...outcome, value: Object.fromEntries(state.values) };
      else if (word === 'write')
        state.files.set(`/home/pyodide/${name}`, { bytes: new TextEncoder().encode(text), modifiedAt: 0 });
      else if (word === 'unlink') state.files.delete(`/home/pyodide/${name}`);
      else if (word === 'task') state.tasks.add(name);
      else if (word === 'socket') state.obstacles.add('a socket');
      else if (word === 'close') state.obstacles.clear();
      else if (word === 'print') outcome = { ...outcome, stdout: text };
      else if (word === 'sleep') outcome = { ...outcome, delayMs: Number(name) };
      else if (word === 'hang') outcome = { ...outcome, delayMs: Infinity, unstoppable: true };
      else if (word === 'crash') outcome = { ...outcome, crash: true };
      else if (word === 'raise') outcome = { ...outcome, error: { name: 'ValueError', value: 'bad' } };
      else if (word === 'dirty') outcome = { ...outcome, rewind: { dirty: 'a task is left' } };
      else if (word === 'where') outcome = { ...outcome, value: worker };
      else if (word !== '' && word !== '1') throw new TypeError(`no such word: ${word}`);
    }
    return outcome;
  },
};

/** What a host is made of that outlives it. */
export interface World {
  readonly clock: FakeClock;
  readonly store: FaultyStore;
  /** Moves the clock and lets everything that follows happen. */
  advance(ms: number): Promise<void>;
}

export interface Host {
  readonly runtime: FakeRuntime;
  readonly events: RuntimeEvent[];
  /** Those of one type. */
  told<Type extends RuntimeEvent['type']>(type: Type): Extract<RuntimeEvent, { type: Type }>[];
}

export function world(limits: ConstructorParameters<typeof MemoryStore>[0] = {}): World {
  const clock = new FakeClock();
  const store = new FaultyStore(new MemoryStore({ ...limits, now: () => clock.now() }));
  return {
    clock,
    store,
    async advance(ms) {
      clock.advance(ms);
      await settled();
    },
  };
}

/** A runtime on the world's store, which it doesn't close. */
export function host(
  { clock, store }: World,
  options: RuntimeOptions = {},
  more: Omit<FakeRuntimeOptions, 'clock' | 'options' | 'store'> = {},
): Host {
  const runtime = createFakeRuntime({ ...script, ...more, clock, options, store: async () => store });
  const events: RuntimeEvent[] = [];
  runtime.subscribe((event) => events.push(event));
  return {
    runtime,
    events,
    told: (type) => events.filter((event) => event.type === type) as never,
  };
}

/** One host on a world of its own. */
export function subject(
  options: RuntimeOptions = {},
  more: Omit<FakeRuntimeOptions, 'clock' | 'options' | 'store'> = {},
): World & Host {
  const made = world();
  return { ...made, ...host(made, options, more) };
}

/** Moves the clock step by step until it's over: what compresses and hashes does so in other threads, in its own time. */
export async function over<T>(world: World, promise: Promise<T>, stepMs = 10): Promise<T> {
  let pending = true;
  const end = () => {
    pending = false;
  };
  promise.then(end, end);
  // Bounded by the machine's time: how long the other threads take isn't the clock's to say.
  const endAt = performance.now() + 60_000;
  while (pending && performance.now() < endAt) await world.advance(stepMs);
  if (pending)
    throw new Error(`it is still not over: ${JSON.stringify((world as Partial<Host>).runtime?.stats())}`);
  return promise;
}

export async function resultOf(run: Run): Promise<unknown> {
  const execution = await run;
  return execution.unwrap();
}

type Method = Exclude<
  {
    [Name in keyof SessionStore]: SessionStore[Name] extends (...given: never[]) => Promise<unknown>
      ? Name
      : never;
  }[keyof SessionStore],
  typeof Symbol.asyncDispose
>;

/** A store whose calls fail when a test says so, before or after they're done. It isn't closed with a runtime. */
export class FaultyStore implements SessionStore {
  readonly kind = 'memory';
  readonly inner: SessionStore;
  /** Each call that was made. */
  readonly calls: Method[] = [];
  /** How the next calls of a name go. `late`: it fails after it was done. */
  readonly plan: { name: Method; fault: 'early' | 'late' | Promise<void> }[] = [];
  out = false;

  constructor(inner: SessionStore) {
    this.inner = inner;
  }

  async #call<T>(name: Method, work: () => Promise<T>): Promise<T> {
    this.calls.push(name);
    const index = this.plan.findIndex((step) => step.name === name);
    const fault = index < 0 ? undefined : this.plan.splice(index, 1)[0]?.fault;
    if (fault instanceof Promise) await fault;
    if (this.out || fault === 'early') throw failure('no');
    const result = await work();
    if (fault === 'late') throw failure('unknown');
    return result;
  }

  acquire: SessionStore['acquire'] = (...given) => this.#call('acquire', () => this.inner.acquire(...given));
  renew: SessionStore['renew'] = (...given) => this.#call('renew', () => this.inner.renew(...given));
  release: SessionStore['release'] = (...given) => this.#call('release', () => this.inner.release(...given));
  save: SessionStore['save'] = (...given) => this.#call('save', () => this.inner.save(...given));
  record: SessionStore['record'] = (...given) => this.#call('record', () => this.inner.record(...given));
  revision: SessionStore['revision'] = (...given) =>
    this.#call('revision', () => this.inner.revision(...given));
  blob: SessionStore['blob'] = (...given) => this.#call('blob', () => this.inner.blob(...given));
  list: SessionStore['list'] = (...given) => this.#call('list', () => this.inner.list(...given));
  checkpoint: SessionStore['checkpoint'] = (...given) =>
    this.#call('checkpoint', () => this.inner.checkpoint(...given));
  checkpoints: SessionStore['checkpoints'] = (...given) =>
    this.#call('checkpoints', () => this.inner.checkpoints(...given));
  fork: SessionStore['fork'] = (...given) => this.#call('fork', () => this.inner.fork(...given));
  remove: SessionStore['remove'] = (...given) => this.#call('remove', () => this.inner.remove(...given));
  cull: SessionStore['cull'] = (...given) => this.#call('cull', () => this.inner.cull(...given));
  totals: SessionStore['totals'] = (...given) => this.#call('totals', () => this.inner.totals(...given));

  async [Symbol.asyncDispose](): Promise<void> {}
}

function failure(stored: 'no' | 'unknown'): InternalError {
  return new InternalError('store', 'The database is out of reach.', { details: { stored } });
}
