import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRuntime, type RuntimeOptions } from '../../../src/node.ts';
import type { Execution, Runtime } from '../../../src/runtime.ts';
import type { Session } from '../../../src/session.ts';
import { type StoreOfTests, stores } from './stores.ts';

/** Of each store; each kill costs a boot. `VIVARIUM_SESSION_ROUNDS=500` for more. */
const rounds = Number(process.env.VIVARIUM_SESSION_ROUNDS ?? 250);
const maxSessions = 6;
const seed = Number(process.env.VIVARIUM_SESSION_SEED ?? 1);

type State = ReadonlyMap<string, number>;

/** What a session is to be, as a plain dictionary. */
interface Model {
  session: Session;
  state: State;
  revision: number;
  checkpoints: Map<string, State>;
}

const key = fc.constantFrom('a', 'b', 'c', 'd');
const which = fc.nat({ max: 1000 });
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('set'), which, key, value: fc.integer({ min: 0, max: 9999 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('set and raise'), which, key, value: fc.nat({ max: 9999 }) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('look'), which }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('freeze'), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('fork'), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('checkpoint'), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('rollback'), which, to: which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reset'), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove'), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('die in a run'), which, key }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('kill a worker'), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart the host') }) },
);
type Step = { do: string; which?: number; key?: string; value?: number; to?: number };

class World {
  readonly models = new Map<string, Model>();
  readonly #options: RuntimeOptions;
  #runtime: Runtime;
  #made = 0;
  /** Workers that no run has missed yet. */
  #killed = 0;

  static async open(options: RuntimeOptions): Promise<World> {
    return new World(options, await createRuntime(options));
  }

  constructor(options: RuntimeOptions, runtime: Runtime) {
    this.#options = options;
    this.#runtime = runtime;
  }

  async begin(): Promise<void> {
    const id = this.#newId();
    const session = await this.#runtime.session(id);
    await session.run('d = {}');
    this.models.set(id, { session, state: new Map(), revision: 1, checkpoints: new Map() });
  }

  async take(step: Step): Promise<void> {
    const ids = [...this.models.keys()];
    const id = ids[(step.which ?? 0) % ids.length] ?? '';
    const model = this.models.get(id);
    if (model === undefined) return this.begin();
    const { session } = model;
    const changed = (state: State): void => {
      model.state = state;
      model.revision += 1;
    };
    const { key = 'a', value = 0 } = step;
    switch (step.do) {
      case 'set':
      case 'set and raise': {
        const raises = step.do !== 'set';
        const code = `d[${JSON.stringify(key)}] = ${value}${raises ? '\n1 / 0' : ''}`;
        const { status } = await this.#run(model, code);
        expect(status).toBe(raises ? 'error' : 'ok');
        changed(new Map([...model.state, [key, value]]));
        break;
      }
      case 'look':
        await this.look(model);
        break;
      case 'freeze':
        await session.freeze();
        break;
      case 'fork': {
        if (this.models.size >= maxSessions) return;
        const forkId = this.#newId();
        const fork = await session.fork(forkId);
        this.models.set(forkId, { session: fork, state: model.state, revision: 1, checkpoints: new Map() });
        break;
      }
      case 'checkpoint': {
        const { name } = await session.checkpoint(`c${this.#made++}`);
        model.checkpoints.set(name, model.state);
        break;
      }
      case 'rollback': {
        const names = [...model.checkpoints.keys()];
        const name = names[(step.to ?? 0) % names.length];
        if (name === undefined) return;
        await session.rollback(name);
        changed(model.checkpoints.get(name) ?? new Map());
        break;
      }
      case 'reset':
        await session.reset();
        model.revision += 1;
        await this.#run(model, 'd = {}');
        changed(new Map());
        break;
      case 'remove':
        await session.remove();
        this.models.delete(id);
        if (this.models.size === 0) await this.begin();
        return;
      case 'die in a run': {
        const lost = await session.run(`d[${JSON.stringify(key)}] = -1\nimport os\nos._exit(1)`);
        expect(lost).toMatchObject({ status: 'crashed', worker: { lost: true } });
        expect(lost.error?.message).toContain(`revision ${model.revision}`);
        break;
      }
      case 'kill a worker': {
        const pids = this.#runtime
          .stats()
          .workers.flatMap(({ pid, state }) => (state === 'booting' || pid === undefined ? [] : [pid]));
        const pid = pids[(step.which ?? 0) % pids.length];
        if (pid === undefined) return;
        process.kill(pid, 'SIGKILL');
        this.#killed += 1;
        break;
      }
      case 'restart the host':
        await this.#runtime.close();
        this.#runtime = await createRuntime(this.#options);
        for (const [each, one] of this.models)
          one.session = await this.#runtime.session(each, { create: false });
        break;
      default:
        throw new Error(`no step ${step.do}`);
    }
    expect(model.session.revision).toBe(model.revision);
  }

  async look(model: Model): Promise<void> {
    const { status, value, error } = await this.#run(model, 'dict(sorted(d.items()))');
    expect(error?.message).toBe(undefined);
    expect(status).toBe('ok');
    model.revision += 1;
    expect(value).toEqual(Object.fromEntries([...model.state].sort()));
  }

  /** A run may enter a worker that was killed just now: it says so, nothing of it stays, and it can be done again. */
  async #run({ session, revision }: Model, code: string): Promise<Execution> {
    for (;;) {
      const execution = await session.run(code);
      if (execution.status !== 'crashed' || this.#killed === 0) return execution;
      this.#killed -= 1;
      expect(execution.worker.lost).toBe(true);
      expect(execution.error?.message).toContain(`revision ${revision}`);
      expect(session.revision).toBe(revision);
    }
  }

  #newId(): string {
    return `s${this.#made++}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#runtime.close();
  }
}

describe.each(stores)('in %s', (_name, open) => {
  let store: StoreOfTests;
  beforeAll(async () => {
    store = await open();
  });
  afterAll(() => store?.[Symbol.asyncDispose]());

  it(`F01: ${rounds} rounds of edits, freezes, forks, rollbacks and kills lose nothing (seed ${seed})`, {
    timeout: 600_000,
  }, async () => {
    await using world = await World.open({ size: 2, spares: 1, sessions: { store: store.spec } });
    await world.begin();
    for (const [round, one] of fc.sample(step, { numRuns: rounds, seed }).entries()) {
      try {
        await world.take(one);
      } catch (error) {
        throw new Error(`round ${round}, ${JSON.stringify(one)}: ${(error as Error).message}`, {
          cause: error,
        });
      }
    }
    for (const model of world.models.values()) await world.look(model);
  });
});
