import { InternalError, SessionError } from '../errors/errors.ts';
import type { DeltaNode } from '../image/delta.ts';
import type { Lease, SessionKey, SessionRecord, SessionStore } from '../store/store.ts';
import { unpackBlobs } from './blobs.ts';
import { FormatError } from './format-error.ts';
import { decodeManifest, encodeManifest, type Manifest, type ManifestImage } from './manifest.ts';

/** The state of a session that the store has. */
export class StoredState {
  readonly #store: SessionStore;
  readonly #key: SessionKey;
  readonly #image: ManifestImage;
  readonly #maxBytes: number;
  #revision = 0;
  /** Kept while the session has a worker. */
  #manifest: Manifest | undefined;

  /** `maxBytes`: what a worker may have. */
  constructor(store: SessionStore, key: SessionKey, image: ManifestImage, maxBytes: number) {
    this.#store = store;
    this.#key = key;
    this.#image = image;
    this.#maxBytes = maxBytes;
  }

  get revision(): number {
    return this.#revision;
  }

  /** As its image. */
  get blank(): Manifest {
    return { image: this.#image, tenant: this.#key.tenant, pyodide: '', header: null, blobs: [] };
  }

  /** What the store says. */
  sync({ revision }: Pick<SessionRecord, 'revision'>): void {
    if (revision !== this.#revision) this.#manifest = undefined;
    this.#revision = revision;
  }

  /** It can be read again. */
  forget(): void {
    this.#manifest = undefined;
  }

  /** Of the session's present state. */
  async manifest(): Promise<Manifest> {
    if (this.#revision === 0) return this.blank;
    this.#manifest ??= await this.read();
    return this.#manifest;
  }

  /** Of the present state, or of a checkpoint's. */
  async read(revision?: number): Promise<Manifest> {
    if (revision === 0) return this.blank;
    const found = await this.#store.revision(this.#key, revision);
    if (!found) throw damaged(new FormatError(`it has no revision ${revision ?? this.#revision}`));
    if (revision === undefined && found.revision !== this.#revision)
      throw new SessionError('session_stale', 'Another host has the session.');
    try {
      const manifest = await decodeManifest(found.manifest);
      if (manifest.tenant !== this.#key.tenant) throw new FormatError('it is of another tenant');
      return manifest;
    } catch (error) {
      throw error instanceof FormatError ? damaged(error) : error;
    }
  }

  /** Compressed. */
  blob(hash: string): Promise<Uint8Array> {
    return this.#store.blob(this.#key, hash);
  }

  /** Of a file. Rejects with `session_limit`: a few bytes that are stored can be named many times. */
  async content(manifest: Manifest, { path, blob, blobs: count, size }: DeltaNode): Promise<Uint8Array> {
    if (size > this.#maxBytes)
      throw new SessionError(
        'session_limit',
        `The file '${path}' has ${size} bytes, more than the ${this.#maxBytes} that a worker may have.`,
      );
    const hashes = manifest.blobs.slice(blob, blob + count);
    const lengths = manifest.header?.blobs.slice(blob, blob + count) ?? [];
    try {
      const { blobs } = await unpackBlobs(hashes, lengths, (hash) => this.blob(hash));
      const bytes = new Uint8Array(size);
      let at = 0;
      for (const piece of blobs) {
        bytes.set(piece, at);
        at += piece.byteLength;
      }
      return bytes;
    } catch (error) {
      throw error instanceof FormatError ? damaged(error) : error;
    }
  }

  async save(
    lease: Lease,
    revision: number,
    manifest: Manifest,
    fresh: ReadonlyMap<string, Uint8Array>,
  ): Promise<number> {
    const bytes = await encodeManifest(manifest);
    const blobs = [...new Set(manifest.blobs)];
    await this.#store.save(lease, { revision, manifest: bytes, blobs }, fresh);
    this.#revision = revision;
    this.#manifest = manifest;
    return [bytes, ...fresh.values()].reduce((sum, part) => sum + part.byteLength, 0);
  }
}

export function damaged(cause: FormatError): InternalError {
  return new InternalError('store', `The stored session can't be read: ${cause.message}.`, { cause });
}
