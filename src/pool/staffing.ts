import type { ImageSource } from '../packages/image-source.ts';
import type { Timer } from '../util/clock.ts';
import type { BootRetries } from './boot-retries.ts';
import type { PoolContext } from './context.ts';
import { imageKey } from './images.ts';
import type { Lines, Place } from './lines.ts';
import { count, isBooting, isIdle, type Roster } from './roster.ts';
import type { Slot } from './slot.ts';

/** A run whose image has busy workers only waits so long, about a boot, before an idle one of another image goes. */
const patienceMs = 500;

export interface StaffingHooks {
  /** `awaited`: a run waits for it. */
  boot(image: ImageSource, how: { reserve: boolean; awaited: boolean }): void;
  /** Ends an idle worker, so that one of another image has its place. */
  giveUp(slot: Slot): void;
  /** It's time to look again. */
  changed(): void;
}

/**
 * How many workers there are of which image. Those of the runtime's own are kept; others come with the runs that want
 * them and go when they idle, or when their place is wanted.
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
    const heads = this.#lines.heads();
    // An image that has none comes before one that has too few.
    for (const { key, image } of heads) if (this.#present(key) === 0) this.#grow(image, 1);
    for (const { key, image } of heads) this.#grow(image, this.#demand(key) - this.#present(key));
    const { image } = this.#context;
    this.#grow(image, this.#wanted() - this.#present(this.#own));
    if (!this.#everReady) return;
    const { members, spares } = this.#roster;
    const wanted = this.#context.options.spares + count(members, (slot) => this.#isLastRun(slot));
    for (let n = this.mayBoot(this.#own, wanted - spares.length); n > 0; n--)
      this.#hooks.boot(image, { reserve: true, awaited: false });
  }

  /**
   * A run is first in its line and no idle worker suits: when all places are taken, one that is idle gives way. At
   * once, whoever waits behind, when the run's image has no worker; else only one that nobody waits for, after a while.
   */
  makeWay({ image, key, since }: Pick<Place, 'image' | 'key' | 'since'>): void {
    const full = this.#roster.members.length >= this.#context.options.maxWorkers;
    if (!this.#started || this.#ended || !full) return;
    const present = this.#roster.of(key);
    const none = present.length === 0;
    const leaver = this.#roster.leastUsed(
      (slot) => slot.key !== key && (none || this.#lines.count(slot.key) === 0),
    );
    if (!leaver || present.some((slot) => isBooting(slot) || isIdle(slot))) return;
    if (this.mayBoot(key, 1) === 0) return;
    if (!none) {
      const leftMs = since + patienceMs - this.#context.clock.now();
      if (leftMs > 0) {
        this.#lookAgainAfter(leftMs);
        return;
      }
    }
    this.#hooks.giveUp(leaver);
    this.#grow(image, 1);
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

  /** Runs of the image that run or wait. */
  #demand(key: string): number {
    const running = count(this.#roster.of(key), (slot) => slot.state.name === 'running');
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

  /** So many members more, spares first, as far as there are places. */
  #grow(image: ImageSource, wanted: number): void {
    const key = imageKey(image);
    let missing = Math.min(wanted, this.#context.options.maxWorkers - this.#roster.members.length);
    while (missing > 0 && this.#roster.promote(key)) missing--;
    for (let n = this.mayBoot(key, missing); n > 0; n--)
      this.#hooks.boot(image, { reserve: false, awaited: this.#present(key) < this.#demand(key) });
  }

  #lookAgainAfter(ms: number): void {
    const look = () => {
      this.#patience = undefined;
      this.#hooks.changed();
    };
    this.#patience ??= this.#context.clock.setTimeout(look, ms, { unref: true });
  }
}
