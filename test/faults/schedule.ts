/** A plan of runs and faults, the same for a seed, and what carries it out on a pool. When what happens isn't planned, only what. */
import {
  closeSync,
  copyFileSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import fc from 'fast-check';
import { findDeno } from '../../src/engines/deno/binary.ts';
import { VivariumError } from '../../src/errors/errors.ts';
import type { RunOptions } from '../../src/runtime.ts';
import { describe, type Ending, ends, type Judgement, type Oracle } from './oracle.ts';
import { at } from './points.ts';
import { signal } from './processes.ts';

// ---- the plan ------------------------------------------------------------------------------------------------------

interface RunKind {
  code: (value: number) => string;
  options?: RunOptions;
  wrong: (value: number) => Judgement;
}

const runKinds = {
  value: { code: (value) => `${value} + 0`, wrong: (value) => ends('ok', value) },
  prints: {
    code: (value) => `for i in range(200): print(i)\n${value}`,
    wrong: (value) => ends('ok', value),
  },
  sleeps: { code: (value) => `import time\ntime.sleep(0.03)\n${value}`, wrong: (value) => ends('ok', value) },
  big: { code: (value) => `"${value}" * 100_000`, wrong: (value) => ends('ok', `${value}`.repeat(100_000)) },
  memory: {
    code: (value) => `len(bytearray(20_000_000)) + ${value}`,
    wrong: (value) => ends('ok', 20_000_000 + value),
  },
  raises: { code: () => '1 / 0', wrong: () => ends('error') },
  'too large': {
    code: () => 'x = bytearray(1 << 30)',
    options: { memoryBytes: 64 << 20 },
    wrong: () => ends('oom'),
  },
  endless: { code: () => 'while True: pass', options: { timeoutMs: 150 }, wrong: () => ends('timeout') },
  flood: {
    code: () => 'while True: print("x" * 10_000)',
    options: { timeoutMs: 150, outputBytes: 100_000 },
    wrong: () => ends('timeout'),
  },
} satisfies Record<string, RunKind>;

const runPoints = ['run.sent', 'run.result', 'run.rewound'] as const;
const bootPoints = ['worker.spawned', 'worker.ready'] as const;

const kindNames = Object.keys(runKinds) as (keyof typeof runKinds)[];
const plannedRun = fc.record({
  kind: fc.oneof(
    { weight: 3, arbitrary: fc.constant('value' as const) },
    { weight: 7, arbitrary: fc.constantFrom(...kindNames) },
  ),
  abort: fc.oneof(
    { weight: 8, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.constantFrom('queued', 'sent') },
  ),
  isolation: fc.oneof(
    { weight: 15, arbitrary: fc.constant('rewind' as const) },
    { weight: 1, arbitrary: fc.constant('process' as const) },
  ),
});

const inRun = fc.record({ point: fc.constantFrom(...runPoints), nth: fc.integer({ min: 1, max: 16 }) });
const anywhere = fc.oneof(
  { weight: 3, arbitrary: inRun },
  {
    weight: 1,
    arbitrary: fc.record({ point: fc.constantFrom(...bootPoints), nth: fc.integer({ min: 1, max: 3 }) }),
  },
);
const fault = <Kind extends string>(
  weight: number,
  kinds: readonly [Kind, ...Kind[]],
  when: typeof anywhere | typeof inRun,
) => ({
  weight,
  arbitrary: fc.record({ kind: fc.constantFrom(...kinds), when, ms: fc.integer({ min: 5, max: 120 }) }),
});
const plannedFault = fc.oneof(
  fault(5, ['kill'], anywhere),
  // A build that stands still has a quarter of an hour.
  fault(2, ['stop'], inRun),
  fault(3, ['pause'], anywhere),
  fault(2, ['deno missing', 'deno broken'], inRun),
  fault(2, ['flipped bits', 'half a result, then dead', 'half a result, then silence', 'no token'], inRun),
  fault(1, ['image flipped', 'image cut'], inRun),
);

const plan = fc.record({
  runs: fc.array(plannedRun, { minLength: 20, maxLength: 20 }),
  faults: fc.array(plannedFault, { minLength: 3, maxLength: 6 }),
});

export type Plan = typeof plan extends fc.Arbitrary<infer T> ? T : never;
type Fault = Plan['faults'][number];

export function planOf(seed: number): Plan {
  const [found] = fc.sample(plan, { seed, numRuns: 1 });
  if (found === undefined) throw new Error('fast-check made no plan');
  return found;
}

// ---- carried out ---------------------------------------------------------------------------------------------------

/** The program that workers are started from: a link, which faults point elsewhere for a while. */
export class DenoLink {
  readonly path: string;
  readonly #deno: string;

  constructor(path: string) {
    this.#deno = findDeno();
    this.path = path;
    this.mend();
  }

  mend(): void {
    this.pointTo(this.#deno);
  }

  pointTo(target: string): void {
    const aside = `${this.path}.new`;
    rmSync(aside, { force: true });
    symlinkSync(target, aside);
    renameSync(aside, this.path);
  }

  remove(): void {
    rmSync(this.path, { force: true });
  }
}

export interface Stage {
  deno: DenoLink;
  /** A program that is no Deno. */
  broken: string;
  /** One that spoils a frame: see `proxy.inside.ts`. */
  proxied: Readonly<
    Record<Extract<Fault['kind'], `${string}result${string}` | 'flipped bits' | 'no token'>, string>
  >;
  image: string;
}

const lanes = 8;
const timeoutMs = 4000;

/** Carries the plan out; resolves when all its runs have ended. Returns how many faults struck. */
export async function carryOut({ runs, faults }: Plan, oracle: Oracle, stage: Stage): Promise<number> {
  const happened = new Incidents(stage);
  using _faults = happened.listen(faults);
  const left = runs.map((run, index) => ({ ...run, value: 1000 + index }));
  const lane = async (): Promise<void> => {
    for (let next = left.shift(); next; next = left.shift()) {
      const { kind, abort, isolation, value } = next;
      const { code, options = {}, wrong }: RunKind = runKinds[kind];
      const stop = new AbortController();
      const run = oracle.run(
        `print("now")\n${code(value)}`,
        { timeoutMs, isolation, signal: stop.signal, ...options },
        {
          name: `${kind} ${value}`,
          wrong: (ending) => happened.judge(ending, wrong(value), stop.signal.aborted),
        },
      );
      using _sent = at('run.sent', (facts) => {
        if (abort === 'sent' && facts.run === run.id) stop.abort();
      });
      if (abort === 'queued') stop.abort();
      await run.catch(() => undefined);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  happened.mend();
  // Those that stand still and have nothing to do.
  await oracle.runtime.healthCheckAll();
  return happened.struck;
}

/** Lets faults strike, and knows what may come of that. */
class Incidents {
  struck = 0;
  readonly #stage: Stage;
  /** Workers that a fault has hit for good. */
  readonly #victims = new Set<number>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #paused = new Set<number>();
  #denoFailed = false;
  /** The next worker is started from a program that spoils a frame. */
  #spoiling = false;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  listen(faults: readonly Fault[]): Disposable {
    const listening = new DisposableStack();
    for (const fault of faults) {
      let passed = 0;
      listening.use(
        at(fault.when.point, ({ pid }) => {
          if (++passed === fault.when.nth) this.#strike(fault, pid);
        }),
      );
    }
    listening.use(
      at('worker.spawned', ({ pid }) => {
        if (!this.#spoiling) return;
        this.#spoiling = false;
        this.#victims.add(pid);
        this.#stage.deno.mend();
      }),
    );
    listening.defer(() => this.mend());
    return listening;
  }

  mend(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const pid of this.#paused) trySignal(pid, 'SIGCONT');
    this.#paused.clear();
    this.#spoiling = false;
    this.#stage.deno.mend();
  }

  judge(ending: Ending, wrong: Judgement, aborted: boolean): string | undefined {
    const otherwise = wrong(ending);
    if (otherwise === undefined) return undefined;
    if ('error' in ending) {
      const code = ending.error instanceof VivariumError ? ending.error.code : '';
      return this.#denoFailed && ['unavailable', 'boot_failed'].includes(code) ? undefined : otherwise;
    }
    const { status, worker } = ending.execution;
    if (status === 'interrupted') return aborted ? undefined : `${describe(ending)}, and nobody asked for it`;
    const isVictim = worker.lost && worker.pid !== undefined && this.#victims.has(worker.pid);
    return isVictim && ['crashed', 'timeout'].includes(status) ? undefined : otherwise;
  }

  #strike({ kind, ms }: Fault, pid: number): void {
    this.struck++;
    const { deno, broken, proxied, image } = this.#stage;
    switch (kind) {
      case 'kill':
        this.#kill(pid);
        return;
      case 'stop':
        this.#victims.add(pid);
        trySignal(pid, 'SIGSTOP');
        return;
      case 'pause':
        this.#paused.add(pid);
        trySignal(pid, 'SIGSTOP');
        this.#later(ms, () => {
          this.#paused.delete(pid);
          trySignal(pid, 'SIGCONT');
        });
        return;
      case 'deno missing':
      case 'deno broken':
        this.#denoFailed = true;
        if (kind === 'deno missing') deno.remove();
        else deno.pointTo(broken);
        this.#later(5 * ms, () => deno.mend());
        this.#kill(pid);
        return;
      case 'image flipped':
        flipBit(image, (statSync(image).size * ms) / 128);
        this.#kill(pid);
        return;
      case 'image cut':
        truncateSync(image, Math.floor((statSync(image).size * ms) / 128));
        this.#kill(pid);
        return;
      case 'flipped bits':
      case 'no token':
      case 'half a result, then dead':
      case 'half a result, then silence':
        this.#spoiling = true;
        deno.pointTo(proxied[kind]);
        this.#kill(pid);
        return;
      default:
        kind satisfies never;
    }
  }

  #kill(pid: number): void {
    this.#victims.add(pid);
    trySignal(pid, 'SIGKILL');
  }

  #later(ms: number, act: () => void): void {
    this.#timers.add(setTimeout(act, ms));
  }
}

/** Several faults may hit the same worker. */
function trySignal(pid: number, name: NodeJS.Signals): void {
  try {
    signal(pid, name);
  } catch {
    // It is gone.
  }
}

function flipBit(path: string, at: number): void {
  const position = Math.floor(at);
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, position);
  byte[0] = (byte[0] ?? 0) ^ 4;
  writeSync(file, byte, 0, 1, position);
  closeSync(file);
}

/** Each seed finds the image whole. */
export function mendImage(image: string, pristine: string): void {
  copyFileSync(pristine, image);
}
