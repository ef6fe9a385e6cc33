import type { Guest } from './lines.ts';
import type { Slot } from './slot.ts';

/** What a run wants of a slot. */
export type Wish = Pick<Guest, 'key' | 'tenant' | 'isolation'>;

/** Whose runs a slot takes. Without a tenant: anybody's. */
export interface Kind {
  readonly key: string;
  readonly tenant?: string;
}

/** The slots of a pool by their part in it: members take runs, spares stand by, the rest is on its way out. */
export class Roster {
  readonly #members: Slot[] = [];
  readonly #spares: Slot[] = [];
  readonly #leaving: Set<Slot> = new Set();
  #cursor = 0;

  get members(): readonly Slot[] {
    return this.#members;
  }

  get spares(): readonly Slot[] {
    return this.#spares;
  }

  /** All that are booting or live, spares last. */
  get slots(): Slot[] {
    return [...this.#members, ...this.#spares];
  }

  of(key: string): Slot[] {
    return this.#members.filter((slot) => slot.key === key);
  }

  /** Members that have taken a run of that kind, and that no session has. */
  bound({ key, tenant }: Required<Kind>): Slot[] {
    return this.#members.filter((slot) => slot.key === key && slot.tenant === tenant && !slot.held);
  }

  /** Members that sessions have and don't use now, those used least recently first. */
  resting(): Slot[] {
    const resting = this.#members.filter((slot) => slot.resting && slot.asked === undefined);
    return resting.sort((a, b) => a.idleSince - b.idleSince);
  }

  /** Members that nobody has used yet, booting ones too. */
  fresh(key: string): Slot[] {
    return this.#members.filter((slot) => slot.key === key && slot.tenant === undefined);
  }

  get hasIdle(): boolean {
    return this.#members.some(isIdle);
  }

  /** Members that are ready, or only wait to be clean again. */
  live(key?: string): number {
    return count(this.#members, (slot) => slot.live && isOf(slot, key));
  }

  booting(key?: string): number {
    return count(this.slots, (slot) => isBooting(slot) && isOf(slot, key));
  }

  add(slot: Slot): void {
    (slot.reserve ? this.#spares : this.#members).push(slot);
  }

  /** It doesn't count any more, but isn't gone. */
  leave(slot: Slot): void {
    this.forget(slot);
    this.#leaving.add(slot);
  }

  forget(slot: Slot): void {
    remove(this.#members, slot);
    remove(this.#spares, slot);
    this.#leaving.delete(slot);
  }

  get leaving(): Slot[] {
    return [...this.#leaving];
  }

  /** Resolves when nothing is left of any slot. */
  async whenEmpty(): Promise<void> {
    await Promise.all([...this.#leaving, ...this.slots].map((slot) => slot.whenGone));
  }

  /** The next idle member that passes, round robin. */
  next(test: (slot: Slot) => boolean): Slot | undefined {
    const members = this.#members;
    for (let step = 0; step < members.length; step++) {
      const index = (this.#cursor + step) % members.length;
      const slot = members[index];
      if (slot?.state.name !== 'idle' || !test(slot)) continue;
      this.#cursor = index + 1;
      return slot;
    }
    return undefined;
  }

  hasIdleSpare(wish: Wish): boolean {
    return this.#spares.some((slot) => isIdle(slot) && suits(slot, wish));
  }

  /** Makes a spare of that kind a member, a ready one first. False when there is none. */
  promote(kind: Kind): boolean {
    const spares = this.#spares.filter((slot) => serves(slot, kind));
    const spare = spares.find((slot) => !isBooting(slot)) ?? spares[0];
    if (!spare) return false;
    this.forget(spare);
    spare.reserve = false;
    this.add(spare);
    return true;
  }

  /** The idle member that may go and was used least recently; rather one without state. */
  leastUsed(mayGo: (slot: Slot) => boolean): Slot | undefined {
    const idle = this.#members.filter((slot) => isIdle(slot) && mayGo(slot));
    return idle.sort((a, b) => Number(b.clean) - Number(a.clean) || a.idleSince - b.idleSince)[0];
  }
}

/** Whether such a run may enter the slot, now or when it's idle. */
export function suits(slot: Slot, { key, tenant, isolation }: Wish): boolean {
  if (!serves(slot, { key, tenant })) return false;
  if (isolation === 'process') return slot.runs === 0;
  return isolation === 'none' || slot.clean;
}

/** Whether such runs may ever enter the slot: one that has run anything is its tenant's for life. */
export function serves(slot: Slot, { key, tenant }: Kind): boolean {
  const isFree = slot.tenant === undefined || tenant === undefined;
  return slot.key === key && (isFree || slot.tenant === tenant);
}

export function isIdle(slot: Slot): boolean {
  return slot.state.name === 'idle';
}

export function count(slots: readonly Slot[], test: (slot: Slot) => boolean): number {
  return slots.reduce((sum, slot) => sum + (test(slot) ? 1 : 0), 0);
}

function isOf(slot: Slot, key: string | undefined): boolean {
  return key === undefined || slot.key === key;
}

export function isBooting(slot: Slot): boolean {
  return slot.state.name === 'booting';
}

/** Will be idle without having run anything before, and is for such runs. */
export function isOnItsWay(slot: Slot, kind: Required<Kind>): boolean {
  const { asked, state } = slot;
  if (asked) return asked.key === kind.key && asked.tenant === kind.tenant;
  return serves(slot, kind) && (isBooting(slot) || (state.name === 'rewinding' && !state.held));
}

function remove(slots: Slot[], slot: Slot): void {
  const index = slots.indexOf(slot);
  if (index >= 0) slots.splice(index, 1);
}
