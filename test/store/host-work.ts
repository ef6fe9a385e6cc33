/** What a host in a process of its own does with a store, and tells. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VivariumError } from '../../src/errors/errors.ts';
import type { Lease, SessionStore } from '../../src/store/store.ts';
import { type Blob, blob, stateOf } from './contents.ts';
import type { HostOptions, Told } from './host.inside.ts';

type Tell = (told: Told) => void;

const key = (id: string) => ({ tenant: '', id });

async function saveNext(store: SessionStore, lease: Lease, revision: number, tell: Tell): Promise<boolean> {
  const { id } = lease.key;
  try {
    await store.save(lease, ...stateOf(id, revision));
    tell({ kind: 'saved', id, revision });
    return true;
  } catch (error) {
    if (!(error instanceof VivariumError)) throw error;
    const { code, message, details } = error;
    tell({ kind: 'error', id, code, message, details });
    return false;
  }
}

/** Saves one state of each session after the other, and keeps some of them. */
export async function save(store: SessionStore, options: HostOptions, tell: Tell): Promise<void> {
  const held = [];
  for (const id of options.sessions)
    held.push(await store.acquire(key(id), { owner: options.owner, ttlMs: 60_000, create: {} }));
  for (let round = 1; round <= options.rounds; round++) {
    for (const { lease, record } of held) {
      if (!(await saveNext(store, lease, record.revision + round, tell))) return;
      if (round % 10 === 0) await store.checkpoint(lease, `r${record.revision + round}`);
    }
  }
}

/** Takes sessions whose leases are over at once, and saves as if nobody else did so. */
export async function steal(store: SessionStore, options: HostOptions, tell: Tell): Promise<void> {
  for (let round = 0; round < options.rounds; round++) {
    const id = options.sessions[round % options.sessions.length] ?? '';
    const { lease, record } = await store.acquire(key(id), { owner: options.owner, ttlMs: 0, create: {} });
    for (let ahead = 1; ahead <= 3; ahead++)
      if (!(await saveNext(store, lease, record.revision + ahead, tell))) break;
  }
}

/** Fills the disk: each state has one blob more. Then makes room, and goes on. Throws when a state isn't as it was saved. */
export async function fill(
  store: SessionStore,
  { store: folder, owner, sessions }: HostOptions,
  tell: Tell,
): Promise<void> {
  const filler = join(folder, 'filler');
  writeFileSync(filler, new Uint8Array(3_000_000));
  const size = 99_000;
  const begin = async (id: string) =>
    (await store.acquire(key(id), { owner, ttlMs: 60_000, create: {} })).lease;
  const grown = (first: number, count: number): Blob[] =>
    Array.from({ length: count }, (_, index) => blob(first + index, size));
  const advance = (lease: Lease, revision: number, blobs: readonly Blob[]) =>
    store.save(
      lease,
      { revision, manifest: new Uint8Array([revision]), blobs: blobs.map(([hash]) => hash) },
      new Map(blobs),
    );
  const [id = ''] = sessions;
  const lease = await begin(id);
  let revision = 1;
  try {
    for (; revision < 1000; revision++) {
      await advance(lease, revision, grown(0, revision));
      tell({ kind: 'saved', id, revision });
    }
  } catch (error) {
    if (!(error instanceof VivariumError)) throw error;
    const { code, message, details } = error;
    tell({ kind: 'error', id, code, message, details });
  }
  const present = await store.revision(key(id));
  if (present?.revision !== revision - 1)
    throw new Error(`it is at ${present?.revision}, not ${revision - 1}`);
  for (const [hash, bytes] of grown(0, revision - 1)) {
    if (Buffer.compare(await store.blob(key(id), hash), bytes) !== 0)
      throw new Error(`blob ${hash} is another`);
  }
  rmSync(filler);
  await advance(lease, revision, grown(0, revision));
  tell({ kind: 'saved', id, revision });
}
