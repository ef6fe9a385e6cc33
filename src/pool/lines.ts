import type { ImageSource } from '../packages/image-source.ts';
import { imageKey } from './images.ts';
import type { Job } from './job.ts';
import { Queue, type QueueEntry } from './queue.ts';
import type { SeatRequest } from './seat.ts';

/** A run, or a session's call that wants a worker. */
export type Guest = Job | SeatRequest;

/** A run's place among those that wait. */
export interface Place {
  readonly image: ImageSource;
  readonly key: string;
  readonly tenant: string;
  /** Smaller than that of every run that came later. */
  readonly turn: number;
  readonly since: number;
  readonly entry: QueueEntry<Guest>;
}

/** One of those who have runs that wait. */
interface Waiter {
  runs: number;
  /** When it began to wait, or a run of it last started or ended: those with the smallest come first. */
  turn: number;
}

/**
 * Runs that wait: one line for each image and tenant, first come, first served. Tenants take turns: one whose run has
 * started or ended stands behind all others that wait, however many runs it has.
 */
export class Lines {
  readonly #lines: Map<string, Queue<Guest>> = new Map();
  readonly #waiters: Map<string, Waiter> = new Map();
  #size = 0;
  #lastTurn = 0;

  get size(): number {
    return this.#size;
  }

  push(guest: Guest, now: number): void {
    const { image, tenant } = guest;
    if (!image) throw new TypeError('A run can only wait for a worker of some image.');
    const key = imageKey(image);
    const name = nameOf(key, tenant);
    const line = this.#lines.get(name) ?? new Queue<Guest>();
    this.#lines.set(name, line);
    const turn = ++this.#lastTurn;
    guest.place = { image, key, tenant, turn, since: now, entry: line.push(guest) };
    const waiter = this.#waiters.get(tenant) ?? { runs: 0, turn };
    this.#waiters.set(tenant, waiter);
    waiter.runs++;
    this.#size++;
  }

  /** Takes it out because it starts. False when it doesn't wait. */
  start(guest: Guest): boolean {
    if (!this.remove(guest)) return false;
    this.hadTurn(guest.tenant);
    return true;
  }

  hadTurn(tenant: string): void {
    const waiter = this.#waiters.get(tenant);
    if (waiter) waiter.turn = ++this.#lastTurn;
  }

  /** False when it doesn't wait. */
  remove(guest: Guest): boolean {
    const { place } = guest;
    if (!place) return false;
    guest.place = undefined;
    const name = nameOf(place.key, place.tenant);
    const line = this.#lines.get(name);
    line?.remove(place.entry);
    if (line?.size === 0) this.#lines.delete(name);
    const waiter = this.#waiters.get(place.tenant);
    if (waiter && --waiter.runs === 0) this.#waiters.delete(place.tenant);
    this.#size--;
    return true;
  }

  /** Whether runs of the tenant wait, for whatever image. */
  has(tenant: string): boolean {
    return this.#waiters.has(tenant);
  }

  /** Of one image, and of one tenant if it's given. */
  count(key: string, tenant?: string): number {
    if (tenant !== undefined) return this.#lines.get(nameOf(key, tenant))?.size ?? 0;
    let sum = 0;
    for (const line of this.#lines.values()) if (line.peek()?.place?.key === key) sum += line.size;
    return sum;
  }

  /** Those of one image, first come first. */
  of(key: string): Guest[] {
    const lines = [...this.#lines.values()].filter((line) => line.peek()?.place?.key === key);
    return lines.flatMap((line) => [...line]).sort((a, b) => turnOf(a) - turnOf(b));
  }

  /** The first of each line, those whose turn it is first. */
  heads(): Place[] {
    const places = [...this.#lines.values()].map((line) => line.peek()?.place);
    const tenantTurn = ({ tenant }: Place) => this.#waiters.get(tenant)?.turn ?? 0;
    return places
      .filter((place) => place !== undefined)
      .sort((a, b) => tenantTurn(a) - tenantTurn(b) || a.turn - b.turn);
  }
}

function nameOf(key: string, tenant: string): string {
  return JSON.stringify([key, tenant]);
}

function turnOf(guest: Guest): number {
  return guest.place?.turn ?? 0;
}
