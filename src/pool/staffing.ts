import type { ImageSource } from '../packages/image-source.ts';
import type { RecycleReason } from '../runtime.ts';
import type { Timer } from '../util/clock.ts';
import type { BootRetries } from './boot-retries.ts';
import type { PoolContext } from './context.ts';
import { imageKey } from './images.ts';
import type { Lines, Place } from './lines.ts';
import { count, isBooting, isIdle, isOnItsWay, type Kind, type Roster, serves } from './roster.ts';
import type { Slot } from './slot.ts';

/** A run of whose kind there are busy workers only waits so long, about a boot, before an idle one of another kind goes. */
const patienceMs = 500;

export interface StaffingHooks {
  /** `awaited`: a run waits for it. */
  boot(image: ImageSource, how: { reserve: boolean; awaited: boolean }): void;
  /** Ends an idle worker, so that another one has its place. */
  giveUp(slot: Slot, reason: RecycleReason): void;
  /** It's time to look again. */
  changed(): void;
}

/** What wants a worker: a run that waits, or, without a tenant, whoever warms the pool. */
export interface Wanting extends Kind {
  readonly image: ImageSource;
  readonly since: number;
}

/**
 * How many workers there are of which image, and for which tenant. So many of the runtime's own image are kept, whoever
 * they serve; others come with the runs that want them and go when they idle, or when their place is wanted.
 */
export class Staffing {
  readonly #context: PoolContext;
  readonly #lines: Lines;
  readonly #roster: Roster;
  readonly #retries: BootRetries;
  readonly #hooks: StaffingHooks;
  /** The key of the runtime's own image. */
  readonly #own: string;
  #started = false;
  #ended = false;
  #everReady = false;
  #patience: Timer | undefined;
  /** Of these heads: to whom fresh workers go. */
  #shares: { heads: readonly Wanting[]; served: ReadonlySet<Wanting> } | undefined;

  constructor(
    context: PoolContext,
    lines: Lines,
    roster: Roster,
    retries: BootRetries,
    hooks: StaffingHooks,
  ) {
    this.#context = context;
    this.#lines = lines;
    this.#roster = roster;
    this.#retries = retries;
    this.#hooks = hooks;
    this.#own = imageKey(context.image);
  }

  start(): void {
    this.#started = true;
  }

  end(): void {
    this.#ended = true;
    this.#patience?.cancel();
  }

  /** A worker is ready. */
  booted(): void {
    this.#everReady = true;
  }

  /** Boots what is missing for the runs under way or waiting, and for what is to be kept. */
  fill(): void {
    if (!this.#started || this.#ended) return;
    const { maxWorkers, spares } = this.#context.options;
    const { members, spares: standby } = this.#roster;
    if (members.length < maxWorkers) this.#fillPlaces();
    if (!this.#everReady) return;
    const wanted = spares + count(members, (slot) => this.#isLastRun(slot));
    for (let n = this.mayBoot(this.#own, wanted - standby.length); n > 0; n--)
      this.#hooks.boot(this.#context.image, { reserve: true, awaited: false });
  }

  #fillPlaces(): void {
    const heads = this.#lines.heads();
    // A kind that has none comes before one that has too few.
    const none = (place: Place) => (this.#roster.bound(place).length === 0 ? 1 : 0);
    for (const missing of [none, (place: Place) => this.#missing(place)]) {
      const fresh = new Map<string, number>();
      for (const place of heads) {
        const { key } = place;
        const left = (fresh.get(key) ?? this.#roster.fresh(key).length) - missing(place);
        fresh.set(key, Math.max(0, left));
        this.#grow(place, -left);
      }
    }
    const { image } = this.#context;
    this.#grow({ image, key: this.#own }, this.#wanted() - this.#present(this.#own));
  }

  /**
   * A run is first in its line and no idle worker suits: when all places are taken, one that is idle gives way. At
   * once, whoever waits behind, when there is no worker of the run's kind; else after a while, and only one that nobody
   * waits for or whose tenant has more than its share. `heads`: of all lines; workers that nobody has used yet are for those before it first.
   * True when one gave way: a spare may stand in its place already.
   */
  makeWay(wanting: Wanting, heads: readonly Wanting[] = []): boolean {
    const { members } = this.#roster;
    const full = members.length >= this.#context.options.maxWorkers;
    if (!this.#started || this.#ended || !full) return false;
    const { key, since } = wanting;
    const none = !this.#hasAny(wanting, heads);
    const mayGo = (slot: Slot) => none || this.#isSpareable(slot) || this.#hasMore(slot, wanting);
    const leaver = this.#roster.leastUsed((slot) => !serves(slot, wanting) && mayGo(slot));
    if (!leaver || this.mayBoot(key, 1) === 0) return false;
    if (!none) {
      if (members.some((slot) => serves(slot, wanting) && (isBooting(slot) || isIdle(slot)))) return false;
      const leftMs = since + patienceMs - this.#context.clock.now();
      if (leftMs > 0) {
        this.#lookAgainAfter(leftMs);
        return false;
      }
    }
    this.#hooks.giveUp(leaver, leaver.key === key ? 'tenant' : 'image');
    this.#grow(wanting, 1);
    this.#shares = undefined;
    return true;
  }

  /**
   * A run is first in its line, no worker is idle, and none is on its way: the session that is used least may have to give its
   * worker back, rather one that suits the run; of another kind as in `makeWay`.
   */
  reclaim(wanting: Place, heads: readonly Place[]): void {
    if (!this.#started || this.#ended) return;
    const { key, tenant, since } = wanting;
    const kind = { key, tenant };
    const { members } = this.#roster;
    let missing = this.#lines.count(key, tenant) - count(members, (slot) => isOnItsWay(slot, kind));
    for (const slot of missing > 0 ? this.#roster.resting() : []) {
      if (missing === 0) return;
      if (!serves(slot, kind)) continue;
      missing--;
      slot.ask(since, kind);
    }
    const full = members.length >= this.#context.options.maxWorkers;
    if (missing <= 0 || !full || this.mayBoot(key, 1) === 0) return;
    const none = !this.#hasAny(wanting, heads);
    const other = this.#roster
      .resting()
      .find((slot) => none || this.#isSpareable(slot) || this.#hasMore(slot, wanting));
    if (!other) return;
    const leftMs = none ? 0 : since + patienceMs - this.#context.clock.now();
    if (leftMs > 0) this.#lookAgainAfter(leftMs);
    else other.ask(Number.NEGATIVE_INFINITY, kind);
  }

  /** Of its own, or a fresh one that isn't for somebody before it. */
  #hasAny(wanting: Wanting, heads: readonly Wanting[]): boolean {
    const { key, tenant } = wanting;
    if (tenant === undefined) return this.#present(key) > 0;
    return this.#roster.bound({ key, tenant }).length > 0 || this.#served(heads).has(wanting);
  }

  /** Those without a worker of their own that get a fresh one. Counted once for all heads of one round. */
  #served(heads: readonly Wanting[]): ReadonlySet<Wanting> {
    if (this.#shares?.heads === heads) return this.#shares.served;
    const served = new Set<Wanting>();
    const fresh = new Map<string, number>();
    for (const head of heads) {
      const { key, tenant } = head;
      if (tenant === undefined || this.#roster.bound({ key, tenant }).length > 0) continue;
      const left = fresh.get(key) ?? this.#roster.fresh(key).length;
      if (left > 0) served.add(head);
      fresh.set(key, left - 1);
    }
    this.#shares = { heads, served };
    return served;
  }

  /** Nobody waits for it. */
  #isSpareable({ key, tenant }: Slot): boolean {
    return this.#lines.count(key, tenant) === 0;
  }

  /** How many of so many may be booted now. */
  mayBoot(key: string, wanted: number): number {
    return this.#retries.allowed(key, wanted, this.#roster.booting(key), this.#roster.live(key));
  }

  /** Whether there are more of its kind than are wanted. */
  hasSurplus(slot: Slot): boolean {
    if (slot.reserve) return this.#roster.spares.length > this.#context.options.spares;
    return slot.key !== this.#own || this.#present(this.#own) > this.#wanted();
  }

  #present(key: string): number {
    return this.#roster.of(key).length;
  }

  /** Its tenant has so many workers that it still has as many as the other when this one goes over. */
  #hasMore(slot: Slot, { tenant }: Wanting): boolean {
    if (slot.tenant === undefined || tenant === undefined) return false;
    const held = (name: string) => count(this.#roster.members, (member) => member.tenant === name);
    return held(slot.tenant) > held(tenant) + 1;
  }

  /** So many more workers of its kind its line could use. */
  #missing(place: Place): number {
    const free = count(this.#roster.bound(place), (slot) => slot.state.name !== 'running');
    return Math.max(0, this.#lines.count(place.key, place.tenant) - free);
  }

  /** Runs of the image that run or wait, and its sessions. */
  #demand(key: string): number {
    const running = count(this.#roster.of(key), (slot) => slot.state.name === 'running' || slot.held);
    return running + this.#lines.count(key);
  }

  /** Of the runtime's own image. */
  #wanted(): number {
    const { minWorkers, maxWorkers, pool } = this.#context.options;
    // The first boot, of whichever image, has the machine for itself; the others follow when it's ready.
    const first = this.#roster.members.length > this.#present(this.#own) ? 0 : 1;
    const floor = this.#everReady || !pool ? minWorkers : first;
    return Math.min(maxWorkers, Math.max(floor, this.#demand(this.#own)));
  }

  /** It is to be replaced after the run that it has now: its successor is booted meanwhile. */
  #isLastRun(slot: Slot): boolean {
    const { maxRequests } = this.#context.options.recycle;
    return slot.key === this.#own && slot.state.name === 'running' && slot.runs >= maxRequests;
  }

  /** So many members more, spares first, as far as there are places. With a tenant: its runs wait for them. */
  #grow({ image, ...kind }: Kind & { image: ImageSource }, wanted: number): void {
    let missing = Math.min(wanted, this.#context.options.maxWorkers - this.#roster.members.length);
    while (missing > 0 && this.#roster.promote(kind)) missing--;
    for (let n = this.mayBoot(kind.key, missing); n > 0; n--)
      this.#hooks.boot(image, { reserve: false, awaited: kind.tenant !== undefined });
  }

  #lookAgainAfter(ms: number): void {
    const look = () => {
      this.#patience = undefined;
      this.#hooks.changed();
    };
    this.#patience ??= this.#context.clock.setTimeout(look, ms, { unref: true });
  }
}
