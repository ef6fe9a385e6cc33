/** What tests store, also those that run in processes without vitest. */
import { createHash } from 'node:crypto';
import type { Revision, SessionStore } from '../../src/store/store.ts';

export type Blob = readonly [hash: string, bytes: Uint8Array];

export function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** What stands for compressed bytes: stores don't look inside. */
export function blob(seed: number, size: number): Blob {
  return [sha256(`${seed}:${size}`).toString('hex'), new Uint8Array(size).fill(seed)];
}

const sizes = [0, 50, 90, 140, 149, 150, 151, 300, 1000, 5000, 40_000, 300_000];

/**
 * A state that follows from its session and revision, so that whoever reads it can tell whether it's whole. Its blobs are a few of few:
 * other sessions and revisions have the same ones.
 */
export function stateOf(id: string, revision: number): [Revision, Map<string, Uint8Array>] {
  const random = sha256(`${id} ${revision}`);
  const blobs = [...random.subarray(0, 1 + (random.readUInt8(31) % 5))].map((byte) => {
    const seed = byte % sizes.length;
    return blob(seed, sizes[seed] ?? 0);
  });
  const manifest = new TextEncoder().encode(JSON.stringify({ id, revision }));
  return [{ revision, manifest, blobs: blobs.map(([hash]) => hash) }, new Map(blobs)];
}

/** Throws unless all states of all sessions can be read, and are `stateOf` them. Forks are called as their origin, and more. */
export async function assertWhole(store: SessionStore): Promise<void> {
  for (const { key, revision } of await store.list()) {
    const checkpoints = await store.checkpoints(key);
    for (const at of new Set([revision, ...checkpoints.map((checkpoint) => checkpoint.revision)])) {
      const found = await store.revision(key, at);
      if (found === undefined && at === 0) continue;
      const said = JSON.parse(new TextDecoder().decode(found?.manifest)) as { id: string; revision: number };
      const [wanted, blobs] = stateOf(said.id, said.revision);
      const isItsOwn = said.id === key.id && said.revision === at;
      const same =
        (isItsOwn || (at === 1 && key.id.startsWith(`${said.id} fork`))) &&
        found?.revision === at &&
        Buffer.compare(found.manifest, wanted.manifest) === 0 &&
        String(found.blobs) === String(wanted.blobs);
      if (!same) throw new Error(`revision ${at} of ${key.id} is not what was saved`);
      for (const [hash, bytes] of blobs) {
        if (Buffer.compare(await store.blob(key, hash), bytes) !== 0)
          throw new Error(`blob ${hash} of revision ${at} of ${key.id} is not what was saved`);
      }
    }
  }
}
