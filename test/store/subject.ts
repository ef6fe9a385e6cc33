import { expect } from 'vitest';
import type { Lease, Revision, SessionKey, SessionStore } from '../../src/store/store.ts';
import type { StoreOptions } from '../../src/store/store-options.ts';
import type { Blob } from './contents.ts';

/** One place where sessions are stored, empty at first. */
export interface StoreSubject extends AsyncDisposable {
  /** Opens it, as another host would when it's open already. They are closed with the subject. */
  open(options?: StoreOptions): Promise<SessionStore>;
  /** Time passes for the store. */
  elapse(ms: number): Promise<void>;
  /** What it holds, however that is referred to: `tenant/hash`, sorted, also of files. Undefined where nobody can look. */
  held(): Promise<string[] | undefined>;
}

export interface SubjectKind {
  make(): Promise<StoreSubject>;
  /** What one has stored another one finds. */
  readonly isShared: boolean;
}

/** Closes what was opened, whether or not the test has. */
export class Opened implements AsyncDisposable {
  readonly #stores: SessionStore[] = [];

  add(store: SessionStore): SessionStore {
    this.#stores.push(store);
    return store;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const store of this.#stores) await store[Symbol.asyncDispose]();
  }
}

export const minute = 60_000;
export const none: ReadonlyMap<string, Uint8Array> = new Map();

export const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);
export const key = (id: string, tenant = ''): SessionKey => ({ tenant, id });

/** The lease of a session that begins with it. */
export async function begin(store: SessionStore, id: string, owner = 'host', tenant = ''): Promise<Lease> {
  const options = { owner, ttlMs: minute, create: { image: 'std' } };
  return (await store.acquire(key(id, tenant), options)).lease;
}

export function state(
  revision: number,
  blobs: readonly Blob[],
  manifest: readonly number[] = [revision],
): [Revision, Map<string, Uint8Array>] {
  return [{ revision, manifest: bytes(...manifest), blobs: blobs.map(([hash]) => hash) }, new Map(blobs)];
}

/** An error of that code, with at least those details. */
export function rejects(code: string, details: object = {}): unknown {
  return expect.objectContaining({ code, details: expect.objectContaining(details) });
}
