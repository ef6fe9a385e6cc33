import { UsageError } from '../errors/errors.ts';
import type { SessionOpener, TakenRun } from '../pool/session-host.ts';
import type { Execution, Run, Value } from '../runtime.ts';
import type { Checkpoint, Completion, Session, SessionFiles, SessionRunOptions } from '../session.ts';
import { mapBounded } from './blobs.ts';
import { readCheck, readCompletion } from './questions.ts';
import { encodeSession } from './session-bytes.ts';
import type { SessionCore } from './session-core.ts';
import { StoredFiles } from './session-files.ts';
import { assertSessionId } from './session-options.ts';
import type { CallPolicy } from './session-parts.ts';
import type { Sessions } from './sessions.ts';

export interface LocalSessionParts {
  readonly core: SessionCore;
  readonly sessions: Sessions;
  readonly opener: SessionOpener;
  readonly policy: CallPolicy;
}

/** A session as one caller has opened it. */
export class LocalSession implements Session {
  readonly files: SessionFiles;
  readonly #parts: LocalSessionParts;
  #closing: Promise<void> | undefined;

  constructor(parts: LocalSessionParts) {
    this.#parts = parts;
    this.files = new StoredFiles({
      core: parts.core,
      call: (work) => this.#call(work),
      fault: (error) => parts.sessions.tellFault(error),
    });
  }

  get id(): string {
    return this.#parts.core.key.id;
  }

  get tenant(): string {
    return this.#parts.core.key.tenant;
  }

  get image(): string {
    return this.#parts.core.image.name;
  }

  get revision(): number {
    return this.#parts.core.revision;
  }

  get status(): Session['status'] {
    if (this.#closing) return 'closed';
    return this.#parts.core.resident ? 'resident' : 'frozen';
  }

  /** Who opened it. */
  get opener(): SessionOpener {
    return this.#parts.opener;
  }

  get core(): SessionCore {
    return this.#parts.core;
  }

  // ---- calls -------------------------------------------------------------------------------------------------------

  run(code: string, options?: SessionRunOptions): Run {
    const { core, opener } = this.#parts;
    return this.#start(opener.take(code, options, { tenant: this.tenant, image: core.image }));
  }

  #start(taken: TakenRun, changes = true): Run {
    const { core, sessions } = this.#parts;
    const { job } = taken;
    // When the session is free for the next call.
    const told = Promise.withResolvers<Execution>();
    this.#call(() => core.run(taken, told.promise, changes)).then(
      (execution) => execution && told.resolve(execution),
      (error: unknown) => (job.slot ? told.reject(error) : sessions.reject(job, error)),
    );
    return job.handle;
  }

  async check(code: string): ReturnType<Session['check']> {
    return readCheck(await this.#ask('check', code));
  }

  async complete(code: string): Promise<Completion> {
    return readCompletion(await this.#ask('complete', code));
  }

  async #ask(question: 'check' | 'complete', code: string): Promise<Value | undefined> {
    const { core, opener } = this.#parts;
    const asked = opener.take(code, undefined, { tenant: this.tenant, image: core.image, question });
    return (await this.#start(asked, false)).value;
  }

  freeze(): Promise<void> {
    return this.#call(() => this.core.freeze('call'));
  }

  async fork(newId: string): Promise<Session> {
    const { core, sessions, opener, policy } = this.#parts;
    assertSessionId(newId);
    await this.#call(async () => {
      await core.settle();
      await sessions.store.fork(core.lease, newId);
    });
    const { durability, tasks, whenBusy } = policy;
    const options = { tenant: this.tenant || undefined, durability, tasks, whenBusy, create: false };
    return sessions.open(newId, options, opener);
  }

  checkpoint(name?: string): Promise<Checkpoint> {
    const { core, sessions } = this.#parts;
    return this.#call(async () => {
      await core.settle();
      return sessions.store.checkpoint(core.lease, name ?? `r${core.stored.revision}`);
    });
  }

  checkpoints(): Promise<Checkpoint[]> {
    const { core, sessions } = this.#parts;
    return this.#call(() => sessions.store.checkpoints(core.key));
  }

  rollback(to: string | number): Promise<void> {
    const { core, sessions } = this.#parts;
    return this.#call(async () => {
      const found = (await sessions.store.checkpoints(core.key)).find(({ name, revision }) =>
        typeof to === 'number' ? revision === to : name === to,
      );
      if (!found) throw new UsageError('usage', `The session has no checkpoint ${JSON.stringify(to)}.`);
      await core.replace(await core.stored.read(found.revision));
    });
  }

  reset(): Promise<void> {
    const { core } = this.#parts;
    return this.#call(() => core.replace(core.stored.blank));
  }

  export(): Promise<Uint8Array> {
    const { core, sessions } = this.#parts;
    return this.#call(async () => {
      await core.settle();
      const manifest = await core.stored.manifest();
      const hashes = [...new Set(manifest.blobs)];
      const blobs = await mapBounded(hashes, (hash) => core.stored.blob(hash));
      const byHash = new Map(hashes.map((hash, index) => [hash, blobs[index] ?? new Uint8Array()]));
      return encodeSession({ manifest, blobs: byHash }, sessions.bytesOptions);
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#parts.sessions.release(this).catch((error: unknown) => {
      // What could not be frozen is still there; else it's closed all the same, and has said what was lost.
      this.#closing = this.#parts.core.resident ? undefined : Promise.resolve();
      throw error;
    });
    return this.#closing;
  }

  async remove(): Promise<void> {
    await this.#call(() => this.core.remove());
    await this.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    const { core, opener, policy } = this.#parts;
    opener.assertOpen();
    if (this.#closing) throw new UsageError('closed', 'The session is closed.');
    return core.call(policy, work);
  }
}
