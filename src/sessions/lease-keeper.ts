import { SessionError } from '../errors/errors.ts';
import type { Lease, SessionKey, SessionRecord, SessionStore } from '../store/store.ts';
import type { Clock, Timer } from '../util/clock.ts';

/** After the end of a host its sessions are free within this time. */
export const leaseTtlMs = 15_000;
const renewMs = leaseTtlMs / 3;
/** So long before others can have it, what is under way is ended. */
const marginMs = 1000;
const safeMs = leaseTtlMs - marginMs;

export interface LeaseHooks {
  /** Somebody else has had the session. */
  lost(error: SessionError): void;
  /** It could not be renewed for so long that somebody else may soon have the session. */
  expired(): void;
}

/**
 * The lease of an open session. It's renewed as long as the session has a worker or a call is under way; else it runs out, and the next
 * call renews it, unless another host has acquired the session meanwhile.
 */
export class LeaseKeeper {
  readonly #store: SessionStore;
  readonly #key: SessionKey;
  readonly #owner: string;
  readonly #clock: Clock;
  readonly #hooks: LeaseHooks;
  #lease: Lease | undefined;
  /** When the last renewal that succeeded was sent. */
  #renewedAt = 0;
  /** By the clock on the wall, which goes on while the machine sleeps. */
  #renewedOn = 0;
  #renewing = false;
  #timer: Timer | undefined;
  #expiry: Timer | undefined;

  constructor(store: SessionStore, key: SessionKey, owner: string, clock: Clock, hooks: LeaseHooks) {
    this.#store = store;
    this.#key = key;
    this.#owner = owner;
    this.#clock = clock;
    this.#hooks = hooks;
  }

  get lease(): Lease {
    if (!this.#lease) throw new TypeError('The session is not held.');
    return this.#lease;
  }

  /** With `create` a session that isn't there begins. */
  async acquire(create?: Readonly<Record<string, unknown>>): Promise<SessionRecord> {
    const sent = this.#stamp();
    const options = { owner: this.#owner, ttlMs: leaseTtlMs, create };
    const { lease, record } = await this.#store.acquire(this.#key, options);
    this.#lease = lease;
    this.#renewed(sent);
    return record;
  }

  /** What is done next is done with a lease. The session's record when it had to be acquired again. Rejects with `session_stale` when somebody else has had it. */
  async ensure(): Promise<SessionRecord | undefined> {
    if (!this.#lease) return this.acquire();
    if (this.#age >= renewMs) await this.renew();
    return undefined;
  }

  /** Nobody else can have had the session up to now. Rejects with `session_stale`, and with `store` when that can't be found out. */
  async confirm(): Promise<void> {
    if (this.#age >= safeMs) await this.renew();
  }

  /** Of the last renewal. A clock that was set forward only makes for one more. */
  get #age(): number {
    return Math.max(this.#clock.now() - this.#renewedAt, Date.now() - this.#renewedOn);
  }

  /** Renews it from now on, or no more. */
  keep(wanted: boolean): void {
    if (!wanted) {
      this.#timer?.cancel();
      this.#expiry?.cancel();
      this.#timer = this.#expiry = undefined;
    } else if (!this.#timer) {
      this.#timer = this.#clock.setTimeout(() => this.#tick(), renewMs, { unref: true });
      if (!this.#expiry) this.#watch();
    }
  }

  /** One that is over already is for `ensure` to renew. */
  #watch(): void {
    this.#expiry?.cancel();
    const ms = this.#renewedAt + safeMs - this.#clock.now();
    if (this.#lease && ms > 0)
      this.#expiry = this.#clock.setTimeout(() => this.#hooks.expired(), ms, { unref: true });
  }

  #stamp(): { at: number; on: number } {
    return { at: this.#clock.now(), on: Date.now() };
  }

  #renewed({ at, on }: { at: number; on: number }): void {
    this.#renewedAt = at;
    this.#renewedOn = on;
    if (this.#timer) this.#watch();
  }

  /** It's lost, or that isn't known. */
  forget(): void {
    this.#lease = undefined;
  }

  async release(): Promise<void> {
    this.keep(false);
    const lease = this.#lease;
    this.#lease = undefined;
    if (lease) await this.#store.release(lease);
  }

  #tick(): void {
    this.#timer = undefined;
    this.keep(true);
    if (this.#renewing) return;
    this.renew().catch((error: unknown) => {
      // A store that is out of reach may be there the next time.
      if (error instanceof SessionError) this.#hooks.lost(error);
    });
  }

  /** Rejects with `session_stale` when somebody else has had it. */
  async renew(): Promise<void> {
    const lease = this.#lease;
    if (!lease) return;
    const sent = this.#stamp();
    this.#renewing = true;
    try {
      await this.#store.renew(lease, leaseTtlMs);
      this.#renewed(sent);
    } catch (error) {
      if (error instanceof SessionError && this.#lease === lease) this.#lease = undefined;
      throw error;
    } finally {
      this.#renewing = false;
    }
  }
}
