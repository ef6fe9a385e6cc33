import fc from 'fast-check';
import { expect, it } from 'vitest';
import { VivariumError } from '../../src/errors/errors.ts';
import type { Execution } from '../../src/runtime.ts';
import type { Session } from '../../src/session.ts';
import { leaseTtlMs } from '../../src/sessions/lease-keeper.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { FakeClock } from '../../src/testing.ts';
import { FaultyStore, type Host, host, over, settled, type World } from './subject.ts';

/** What a session holds, as JSON. */
type State = string;
type Values = Record<string, string>;
const empty: State = '{}';

/** What a session may hold: more than one only after something failed whose outcome wasn't told. */
interface Model {
  readonly durable: boolean;
  /** Now. */
  present: Set<State>;
  /** In the store. */
  stored: Set<State>;
  readonly checkpoints: Map<string, Set<State>>;
  /** The greatest that was told as durable. */
  revision: number;
}

const ids = ['a', 'b', 'c', 'd'];
const id = fc.constantFrom(...ids);
const name = fc.constantFrom('x', 'y', 'z');
const call = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('set' as const),
      id,
      name,
      text: fc.string({ maxLength: 6, unit: 'grapheme-ascii' }).map((text) => text.replaceAll(/[ \n]/g, '_')),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('del' as const), id, name }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('read' as const), id }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('freeze' as const, 'reset' as const, 'reopen' as const), id }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('checkpoint' as const, 'rollback' as const), id, name }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('fork' as const), id, name }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('crash' as const, 'hang' as const, 'slow' as const), id }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('other' as const) }) },
);
const trouble = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ do: 'nothing' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('die' as const), index: fc.nat(3), afterMs: fc.nat(20) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('save' as const),
      fault: fc.constantFrom('early' as const, 'late' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('idle' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom('restart' as const, 'end' as const, 'kill' as const),
      afterMs: fc.nat(30),
    }),
  },
);
const round = fc.record({ calls: fc.array(call, { minLength: 1, maxLength: 6 }), trouble });

class Trial {
  readonly clock: FakeClock = new FakeClock();
  readonly inner: MemoryStore = new MemoryStore({ now: () => this.clock.now() });
  readonly models: Map<string, Model> = new Map();
  readonly sessions: Map<string, Promise<Session>> = new Map();
  readonly durable: boolean;
  readonly size: number;
  host: Host & World;

  constructor(durable: boolean, size: number) {
    this.durable = durable;
    this.size = size;
    this.host = this.#host();
  }

  #host(): Host & World {
    const { clock, size } = this;
    const store = new FaultyStore(this.inner);
    const advance = async (ms: number) => {
      clock.advance(ms);
      await settled();
    };
    const world = { clock, store, advance };
    const options = { size, killGraceMs: 5, healthCheckIntervalMs: 0, sessions: { idleTimeoutMs: 2000 } };
    return { ...world, ...host(world, options) };
  }

  /** The one handle that there is on it. */
  session(id: string): Promise<Session> {
    const known = this.sessions.get(id);
    if (known) return known;
    const opening = this.host.runtime.session(id, { durability: this.durable ? 'run' : 'freeze' });
    this.sessions.set(id, opening);
    opening.catch(() => this.sessions.get(id) === opening && this.sessions.delete(id));
    return opening;
  }

  model(id: string): Model {
    const known = this.models.get(id);
    if (known) return known;
    const begun = { present: new Set([empty]), stored: new Set([empty]) };
    const model: Model = { durable: this.durable, ...begun, checkpoints: new Map(), revision: 0 };
    this.models.set(id, model);
    return model;
  }

  /** Calls of each session one after another, as they were given; those of several at a time. */
  async round({ calls, trouble }: typeof round extends fc.Arbitrary<infer T> ? T : never): Promise<void> {
    if (trouble.do === 'save') this.host.store.plan.push({ name: 'save', fault: trouble.fault });
    const work = Promise.all(calls.map((each) => this.call(each)));
    const happens = this.trouble(trouble);
    await over(this.host, Promise.all([work, happens]), 1);
    this.host.store.plan.length = 0;
    if (trouble.do === 'end' || trouble.do === 'kill') this.host = this.#host();
  }

  async trouble(trouble: typeof round extends fc.Arbitrary<{ trouble: infer T }> ? T : never): Promise<void> {
    if ('afterMs' in trouble)
      await new Promise<void>((resolve) => this.clock.setTimeout(resolve, trouble.afterMs));
    const { runtime, store, clock } = this.host;
    switch (trouble.do) {
      case 'die':
        for (const model of this.models.values()) this.mayLose(model);
        runtime.engine.alive[trouble.index % this.size]?.die();
        break;
      case 'restart':
        await runtime.restart().catch(() => undefined);
        break;
      case 'idle':
        await new Promise<void>((resolve) => clock.setTimeout(resolve, 4000));
        break;
      case 'end':
        await runtime.close({ graceMs: 60_000 });
        this.sessions.clear();
        break;
      case 'kill':
        // Nothing that this host does comes through any more, and after a while its leases are over.
        store.out = true;
        for (const worker of runtime.engine.alive) worker.die();
        for (const model of this.models.values()) this.mayLose(model);
        await runtime.close({ graceMs: 0 });
        this.sessions.clear();
        clock.advance(leaseTtlMs);
        break;
      case 'save':
      case 'nothing':
        break;
      default:
        trouble satisfies never;
    }
  }

  /** What isn't durable may be gone. */
  mayLose(model: Model): void {
    model.present = model.present.union(model.stored);
  }

  // ---- calls -------------------------------------------------------------------------------------------------------

  async call(given: typeof call extends fc.Arbitrary<infer T> ? T : never): Promise<void> {
    if (given.do === 'other') {
      const execution = await this.host.runtime.run('all').catch(() => undefined);
      if (execution?.status === 'ok') expect(execution.value).toEqual({});
      return;
    }
    const { id } = given;
    const model = this.model(id);
    let session: Session;
    try {
      session = await this.session(id);
    } catch (error) {
      this.rejected(model, error, (state) => state);
      return;
    }
    const apply = (state: State): State => applied(given, state, model);
    try {
      switch (given.do) {
        case 'set':
          this.ended(model, await session.run(`set ${given.name} ${given.text}`), apply);
          break;
        case 'del':
          this.ended(model, await session.run(`del ${given.name}`), apply);
          break;
        case 'slow':
          this.ended(model, await session.run('set slow 1\nsleep 15'), apply);
          break;
        case 'crash':
          this.ended(model, await session.run('set lost 1\ncrash'), apply);
          break;
        case 'hang':
          this.ended(model, await session.run('set lost 1\nhang', { timeoutMs: 10 }), apply);
          break;
        case 'read':
          this.seen(model, await session.run('all'));
          break;
        case 'freeze':
          await session.freeze();
          model.stored = new Set(model.present);
          break;
        case 'reset':
          await session.reset();
          this.became(model, new Set([empty]));
          break;
        case 'reopen':
          await session.close();
          this.sessions.delete(id);
          model.stored = new Set(model.present);
          break;
        case 'checkpoint':
          await session.checkpoint(given.name);
          model.stored = new Set(model.present);
          model.checkpoints.set(given.name, new Set(model.present));
          break;
        case 'rollback':
          await session.rollback(given.name);
          this.became(model, new Set(model.checkpoints.get(given.name)));
          break;
        case 'fork': {
          const to = `fork${this.models.size}`;
          const fork = await session.fork(to);
          model.stored = new Set(model.present);
          const copy = { present: new Set(model.present), stored: new Set(model.present) };
          this.models.set(to, { durable: this.durable, ...copy, checkpoints: new Map(), revision: 0 });
          this.sessions.set(to, Promise.resolve(fork));
          await this.call({ do: 'set', id: to, name: given.name, text: to });
          break;
        }
        default:
          given satisfies never;
      }
    } catch (error) {
      this.rejected(model, error, apply);
    }
  }

  became(model: Model, states: Set<State>): void {
    model.present = states;
    model.stored = new Set(states);
  }

  ended(model: Model, execution: Execution, apply: (state: State) => State): void {
    const { session, worker, status } = execution;
    if (worker.lost) {
      expect(execution.error?.value).toMatch(/The session is back at revision \d+\.$/);
      model.present = new Set(model.stored);
      if (!model.durable) return;
    } else if (session) {
      model.present = new Set([...model.present].map(apply));
      model.stored = model.durable ? new Set(model.present) : model.stored.union(model.present);
    } else expect(status).toBe('interrupted');
    if (!session) return;
    // What was told as stored stays.
    if (model.durable) expect(session.revision).toBeGreaterThanOrEqual(model.revision);
    model.revision = session.revision;
  }

  seen(model: Model, execution: Execution): void {
    if (execution.status !== 'ok') {
      this.ended(model, execution, (state) => state);
      return;
    }
    const state = stateOf(execution.value as Values);
    expect([...model.present]).toContain(state);
    model.present = new Set([state]);
    if (model.durable) model.stored = new Set([state]);
    else model.stored.add(state);
  }

  /** Of these codes each says that nothing was done, but for a store that failed: it may have. */
  rejected(model: Model, error: unknown, apply: (state: State) => State): void {
    if (!(error instanceof VivariumError) || error.code === 'internal') throw error;
    const known = [
      'crashed',
      'closed',
      'store',
      'session_stale',
      'session_busy',
      'session_exists',
      'usage',
      'interrupted',
      'queue_full',
    ];
    expect(known).toContain(error.code);
    if (error.code === 'usage' && !/checkpoint/.test(error.message)) throw error;
    if (error.code === 'store') {
      const after = [...model.present].map(apply);
      model.stored = model.stored.union(new Set(after)).union(model.durable ? new Set() : model.present);
      model.present = model.present.union(model.stored);
    } else this.mayLose(model);
  }

  /** On a new host, all that was told is there. */
  async check(crashed: boolean): Promise<void> {
    await over(this.host, this.trouble({ do: crashed ? 'kill' : 'end', afterMs: 0 }), 1);
    this.host = this.#host();
    for (const [id, model] of this.models) {
      const found = await over(this.host, this.session(id), 1);
      if (model.durable) expect(found.revision).toBeGreaterThanOrEqual(model.revision);
      this.seen(model, await over(this.host, found.run('all').then(), 1));
      for (const [name, states] of model.checkpoints) {
        await over(this.host, found.rollback(name), 1);
        const { value } = await over(this.host, found.run('all').then(), 1);
        expect([...states]).toContain(stateOf(value as Values));
      }
    }
    const { workers, running, queued } = this.host.runtime.stats();
    expect({ running, queued }).toEqual({ running: 0, queued: 0 });
    expect(workers.length).toBeLessThanOrEqual(this.size);
    const closing = this.host.runtime.close();
    await over(this.host, closing, 1);
    expect(this.host.runtime.engine.alive).toEqual([]);
  }
}

function applied(
  given: typeof call extends fc.Arbitrary<infer T> ? T : never,
  state: State,
  model: Model,
): State {
  const values = JSON.parse(state) as Values;
  if (given.do === 'set') values[given.name] = given.text;
  if (given.do === 'del') delete values[given.name];
  if (given.do === 'slow') values.slow = '1';
  if (given.do === 'reset') return empty;
  // Of several it's the one that a run told, or one of a checkpoint that nobody was told of.
  if (given.do === 'rollback') return [...(model.checkpoints.get(given.name) ?? [state])][0] ?? state;
  return stateOf(values);
}

function stateOf(values: Values): State {
  return JSON.stringify(Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1))));
}

it.each([true, false])('loses nothing that was told, whatever happens (durable: %s)', async (durable) => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3 }),
      fc.array(round, { maxLength: 14 }),
      fc.boolean(),
      async (size, rounds, crashed) => {
        const trial = new Trial(durable, size);
        for (const each of rounds) await trial.round(each);
        await trial.check(crashed);
      },
    ),
    { numRuns: Number(process.env.VIVARIUM_TEST_ROUNDS ?? 40) },
  );
});
