import type { ImageSource } from '../packages/image-source.ts';
import { imageKey } from './images.ts';
import type { Job } from './job.ts';
import { Queue, type QueueEntry } from './queue.ts';

/** A run's place among those that wait. */
export interface Place {
  readonly image: ImageSource;
  readonly key: string;
  /** Smaller than that of every run that came later. */
  readonly turn: number;
  readonly since: number;
  readonly entry: QueueEntry<Job>;
}

/** Runs that wait: one line for each image, first come, first served. */
export class Lines {
  readonly #lines: Map<string, Queue<Job>> = new Map();
  #size = 0;
  #lastTurn = 0;

  get size(): number {
    return this.#size;
  }

  push(job: Job, now: number): void {
    const { image } = job;
    if (!image) throw new TypeError('A run can only wait for a worker of some image.');
    const key = imageKey(image);
    const line = this.#lines.get(key) ?? new Queue<Job>();
    this.#lines.set(key, line);
    job.place = { image, key, turn: ++this.#lastTurn, since: now, entry: line.push(job) };
    this.#size++;
  }

  /** False when it doesn't wait. */
  remove(job: Job): boolean {
    const { place } = job;
    if (!place) return false;
    job.place = undefined;
    const line = this.#lines.get(place.key);
    line?.remove(place.entry);
    if (line?.size === 0) this.#lines.delete(place.key);
    this.#size--;
    return true;
  }

  count(key: string): number {
    return this.#lines.get(key)?.size ?? 0;
  }

  /** Those of one image, first come first. */
  of(key: string): Job[] {
    return [...(this.#lines.get(key) ?? [])];
  }

  /** The first of each line, first come first. */
  heads(): Place[] {
    const places = [...this.#lines.values()].map((line) => line.peek()?.place);
    return places.filter((place) => place !== undefined).sort((a, b) => a.turn - b.turn);
  }
}
