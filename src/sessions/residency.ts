import type { FreezeOptions, Frozen } from '../engines/engine.ts';
import { SessionError, WorkerError } from '../errors/errors.ts';
import { assertBlobs, DeltaError } from '../image/delta.ts';
import type { ImageSource } from '../packages/image-source.ts';
import type { PoolContext } from '../pool/context.ts';
import type { Job } from '../pool/job.ts';
import type { Pool } from '../pool/pool.ts';
import { type Seat, type SeatHolder, SeatRequest } from '../pool/seat.ts';
import { unpackBlobs } from './blobs.ts';
import { FormatError } from './format-error.ts';
import { assertImage, type Manifest, maxBlobBytes, rawBytes, rebuilt } from './manifest.ts';
import { isOfImage } from './session-errors.ts';

/** Of a session that its workers die of, or beside. */
const maxThawTries = 3;

export interface ResidencyParts {
  readonly pool: Pool;
  readonly context: PoolContext;
  readonly image: ImageSource;
  readonly tenant: string;
}

/** A state that is stored: here, or in bytes that a caller gave. */
export interface StateSource {
  manifest(): Promise<Manifest>;
  /** Compressed. */
  blob(hash: string): Promise<Uint8Array>;
}

export interface Thawed {
  readonly seat: Seat;
  readonly ms: number;
  readonly bytes: number;
}

/** The worker that a state lies in, if it lies in one. */
export class Residency {
  readonly #parts: ResidencyParts;
  readonly #holder: SeatHolder;
  #seat: Seat | undefined;
  #lostBy: Error | undefined;

  constructor(parts: ResidencyParts, holder: SeatHolder) {
    this.#parts = parts;
    this.#holder = holder;
  }

  get seat(): Seat | undefined {
    return this.#seat;
  }

  /** Waits for a worker and thaws the state in it. Rejects as runs do, with `session_image` and `session_limit`; `damaged` makes an error of what can't be read. */
  async thaw(
    source: StateSource,
    since: number,
    job: Job | undefined,
    damaged: (error: FormatError) => Error,
  ): Promise<Thawed> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#thawOnce(source, since, job, damaged);
      } catch (error) {
        // Nothing of the caller's has run yet: another worker will do.
        const isWorker = error instanceof WorkerError && error.code === 'crashed';
        if (!isWorker || job?.settled || tries === maxThawTries) throw error;
      }
    }
  }

  async #thawOnce(
    source: StateSource,
    since: number,
    job: Job | undefined,
    damaged: (error: FormatError) => Error,
  ): Promise<Thawed> {
    const { context } = this.#parts;
    const seat = await this.#take(since, job);
    const startedAt = context.clock.now();
    try {
      if (job?.settled) throw new WorkerError('crashed', 'Nobody waits for the session any more.');
      const manifest = await source.manifest();
      const bytes = await this.#fill(seat, manifest, (hash) => source.blob(hash));
      const ms = context.clock.now() - startedAt;
      if (job) job.thawMs += ms;
      return { seat, ms, bytes };
    } catch (error) {
      await this.giveBack();
      throw error instanceof FormatError ? damaged(error) : error;
    }
  }

  async #take(since: number, job: Job | undefined): Promise<Seat> {
    const { pool, context, image, tenant } = this.#parts;
    const { pool: pooled, isolation } = context.options;
    const kind = !pooled || isolation === 'process' ? 'process' : 'rewind';
    const request = new SeatRequest(
      { image, tenant, isolation: kind, since, job },
      {
        wanted: (since) => this.#holder.wanted(since),
        lost: (error) => {
          this.#seat = undefined;
          this.#lostBy = error;
          this.#holder.lost(error);
        },
      },
    );
    job?.onSettled.push(() => pool.withdrawSeat(request));
    this.#seat = await pool.seat(request);
    return this.#seat;
  }

  async #fill(seat: Seat, manifest: Manifest, read: (hash: string) => Promise<Uint8Array>): Promise<number> {
    const { image, context } = this.#parts;
    assertImage(manifest, image);
    const { header } = manifest;
    if (!header) return 0;
    const { maxResidentBytes } = context.options;
    if (rawBytes(manifest) > maxResidentBytes)
      throw new SessionError(
        'session_limit',
        `The session has ${rawBytes(manifest)} bytes, and a worker may have ${maxResidentBytes} here.`,
      );
    const { blobs, readBytes } = await unpackBlobs(manifest.blobs, header.blobs, read);
    try {
      await seat.thaw({ header, blobs });
    } catch (error) {
      throw isOfImage(error) ? rebuilt(manifest, seat.worker.pyodide, error) : error;
    }
    return readBytes;
  }

  /** What it differs by from its image; it stays. */
  async freeze(options: FreezeOptions): Promise<Frozen & { pyodide: string }> {
    const seat = this.#seat;
    if (!seat) throw this.#lostBy ?? new TypeError('Only what lies in a worker can be frozen.');
    const frozen = await seat.freeze(options);
    try {
      assertBlobs(frozen.delta.header, frozen.delta.blobs);
      if (frozen.delta.blobs.some((blob) => blob.byteLength > maxBlobBytes))
        throw new DeltaError('delta has blobs that are too large');
    } catch (cause) {
      throw new WorkerError('protocol', `The worker froze a session wrongly: ${String(cause)}`, { cause });
    }
    return { ...frozen, pyodide: seat.worker.pyodide };
  }

  /** Without its state, which is stored or of no use. */
  async giveBack(): Promise<void> {
    const seat = this.#seat;
    this.#seat = undefined;
    await seat?.whenReady();
    seat?.release();
  }

  /** Ends its worker. */
  abandon(message: string): void {
    this.#seat?.abandon(message);
  }
}
