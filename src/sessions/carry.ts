import type { PoolContext } from '../pool/context.ts';
import { withSession } from '../pool/execution.ts';
import type { Job } from '../pool/job.ts';
import type { Pool } from '../pool/pool.ts';
import type { Execution } from '../runtime.ts';
import { packBlobs } from './blobs.ts';
import { assertImage, type Manifest } from './manifest.ts';
import { Residency } from './residency.ts';
import { type BytesOptions, decodeSession, encodeSession, refused } from './session-bytes.ts';

/**
 * Runs a job, which was taken in, on a state that its caller keeps, and tells it the state afterwards. An empty one is that of the image. Settles the
 * job in any case, and never rejects.
 */
export async function carry(
  job: Job,
  bytes: Uint8Array,
  pool: Pool,
  context: PoolContext,
  options: BytesOptions,
): Promise<void> {
  const { tenant } = job;
  const image = job.image ?? context.image;
  const blank: Manifest = {
    image: { name: image.name, lockHash: image.lockHash },
    tenant,
    pyodide: '',
    header: null,
    blobs: [],
  };
  // It's in nobody's way for long: nothing is given back before the run is over.
  const residency = new Residency({ pool, context, image, tenant }, { wanted() {}, lost() {} });

  const ended = async (execution: Execution): Promise<Execution> => {
    if (execution.worker.lost)
      return withSession(execution, {
        persistMs: 0,
        note: 'The session is as in the bytes that the run was given.',
      });
    const startedAt = context.clock.now();
    const { delta, pyodide } = await residency.freeze({ tasks: 'keep' });
    const { hashes, fresh } = await packBlobs(delta.blobs, new Set());
    const manifest = { ...blank, pyodide, header: delta.header, blobs: hashes };
    const sessionBytes = await encodeSession({ manifest, blobs: fresh }, options);
    return withSession(execution, { sessionBytes, persistMs: context.clock.now() - startedAt });
  };

  try {
    const given = bytes.byteLength > 0 ? await decodeSession(bytes, tenant, options) : undefined;
    if (given) assertImage(given.manifest, image);
    const source = {
      manifest: async () => given?.manifest ?? blank,
      blob: async (hash: string) => given?.blobs.get(hash) ?? new Uint8Array(),
    };
    const damaged = (error: Error) => refused(`They are damaged: ${error.message}.`, error);
    const { seat } = await residency.thaw(source, job.submittedAt, job, damaged);
    if (job.settled) return;
    job.onEnd = ended;
    seat.run(job);
    await job.handle;
  } catch (error) {
    pool.reject(job, error);
  } finally {
    await residency.giveBack();
  }
}
