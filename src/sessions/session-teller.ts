import type { PoolContext } from '../pool/context.ts';
import type { RuntimeEvent } from '../runtime.ts';
import type { SessionKey } from '../store/store.ts';
import { trace } from '../util/trace.ts';

type Of<Type extends RuntimeEvent['type']> = Omit<
  Extract<RuntimeEvent, { type: Type }>,
  'type' | 'session' | 'tenant'
>;

/** Tells listeners what becomes of one session. */
export class SessionTeller {
  readonly #telemetry: PoolContext['telemetry'];
  readonly #names: { session: string; tenant: string };

  constructor(telemetry: PoolContext['telemetry'], { id, tenant }: SessionKey) {
    this.#telemetry = telemetry;
    this.#names = { session: id, tenant };
  }

  trace(what: 'thawed' | 'frozen' | 'saved', revision: number): void {
    trace(`session.${what}`, { ...this.#names, revision });
  }

  thawed(facts: Of<'session:thaw'>): void {
    this.#telemetry.emit({ type: 'session:thaw', ...this.#names, ...facts });
  }

  saved(facts: Of<'session:save'>): void {
    this.#telemetry.emit({ type: 'session:save', ...this.#names, ...facts });
  }

  frozen(facts: Of<'session:freeze'>): void {
    this.#telemetry.emit({ type: 'session:freeze', ...this.#names, ...facts });
  }

  lost(revision: number, why: unknown): void {
    const error = why instanceof Error ? why : new Error(String(why));
    this.#telemetry.emit({ type: 'session:lost', ...this.#names, revision, error });
  }

  cancelled(tasks: readonly string[]): void {
    if (tasks.length > 0) this.#warn(`tasks were cancelled when it was frozen: ${tasks.join(', ')}.`);
  }

  failed(what: string, error: unknown): void {
    this.#warn(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  }

  #warn(what: string): void {
    this.#telemetry.emit({ type: 'warning', message: `Session '${this.#names.session}': ${what}` });
  }
}
