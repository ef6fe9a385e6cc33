/** What a caller programs against who comes back to an interpreter by name. Types only. */

import type { Run, RunOptions } from './runtime.ts';

/** What is undefined counts as not given. */
export interface SessionOptions {
  /** Whose session this is. Ids are a tenant's own. Default: the runtime's own tenant. */
  tenant?: string | undefined;
  /** The session's interpreter, for its whole life: as `RunOptions.image`. Of one that exists already it must be the same. */
  image?: string | undefined;
  /** As `RunOptions.packages`, likewise. */
  packages?: readonly string[] | undefined;
  /**
   * What must survive the end of its worker or of the whole program. Default `run`: each run is stored before it's
   * told as finished. `freeze`: what was frozen last; runs are quicker.
   */
  durability?: 'run' | 'freeze' | undefined;
  /** What a call does while another one is under way: `queue` (default) waits for it, `reject` rejects with `session_busy`. */
  whenBusy?: 'queue' | 'reject' | undefined;
  /**
   * What becomes of asyncio tasks that are pending when the session is frozen. Default `keep`: they go on after the thaw.
   * `cancel`: they are cancelled, and a warning names them. `refuse`: freezing rejects with `not_freezable` and names them.
   */
  tasks?: 'keep' | 'cancel' | 'refuse' | undefined;
  /** Default true: a session that isn't there begins. False: rejects with `session_not_found`. */
  create?: boolean | undefined;
  /** What `session.export()` gave: the session begins with it. Rejects with `session_exists` when there is one of that id. */
  bytes?: Uint8Array | undefined;
}

/** As of `Runtime.run`, but that a session has one tenant, one interpreter and keeps its state. */
export interface SessionRunOptions
  extends Omit<RunOptions, 'isolation' | 'tenant' | 'image' | 'packages' | 'sessionBytes'> {
  /**
   * True: as entered at Python's prompt. What its expressions come to is printed, the last of them is kept as `_`, and the execution has no
   * value. Default false.
   */
  interactive?: boolean | undefined;
}

/** What the last word of a source may be. */
export interface Completion {
  readonly word: string;
  /** In order; each begins with the word. */
  readonly matches: readonly string[];
}

/** A point of a session's history that it can go back to. */
export interface Checkpoint {
  /** Unique in the session. */
  readonly name: string;
  readonly revision: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
}

/** One file of a session. */
export interface SessionFile {
  /** Relative to the working folder, with `/`; absolute outside it. */
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'link';
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modifiedAt: number;
}

export interface FileChange {
  readonly kind: 'created' | 'changed' | 'removed';
  readonly path: string;
}

/**
 * The files of a session: what it made or changed, and its working folder. Paths are relative to the working folder, or absolute in
 * Python's file system. Listing and reading don't need its interpreter.
 */
export interface SessionFiles {
  /** All below a folder (default: the working folder), by path. */
  list(path?: string): Promise<SessionFile[]>;
  /** Undefined when there is none. */
  stat(path: string): Promise<SessionFile | undefined>;
  /** Rejects with `usage` when there is no such file. */
  read(path: string): Promise<Uint8Array>;
  /** Makes the folders above it. */
  write(path: string, content: Uint8Array | string): Promise<void>;
  /** With all below it; false when there is none. */
  remove(path: string): Promise<boolean>;
  /** Tells what runs and calls change below the working folder, after each; returns what ends that. */
  watch(listener: (changes: readonly FileChange[]) => void): () => void;
}

/** A Python interpreter that a caller comes back to by name. */
export interface Session extends AsyncDisposable {
  readonly id: string;
  /** '' for the runtime's own. */
  readonly tenant: string;
  /** The image's name. */
  readonly image: string;
  /** 0 at first. Grows by one with each run or call that changed its state; a run that was killed leaves it as it was. */
  readonly revision: number;
  readonly status: 'resident' | 'frozen' | 'closed';
  readonly files: SessionFiles;
  /** Runs `code` where the earlier runs left off. Runs are strictly one after another. */
  run(code: string, options?: SessionRunOptions): Run;
  /** Whether `code` is whole, or needs more lines; `invalid`: none would help. For a prompt: it's no run, and leaves the revision as it is. */
  check(code: string): Promise<'complete' | 'incomplete' | 'invalid'>;
  /** What `code` may go on with, by the names that are there. Likewise. */
  complete(code: string): Promise<Completion>;
  /** Stores its state, and gives its worker back. The next run thaws it. Rejects with `not_freezable` and names what is in the way. */
  freeze(): Promise<void>;
  /** Another session that begins with this one's present state. Rejects with `session_exists`. */
  fork(newId: string): Promise<Session>;
  /** Keeps the present state under a name (default: `r` and the revision). Rejects with `usage` when the name is taken. */
  checkpoint(name?: string): Promise<Checkpoint>;
  checkpoints(): Promise<Checkpoint[]>;
  /** Back to a checkpoint's state, as a new revision. Rejects with `usage` when there is none of that name or revision. */
  rollback(to: string | number): Promise<void>;
  /** Back to the image, as a new revision: an empty interpreter without files. Checkpoints stay. */
  reset(): Promise<void>;
  /** Its state for another place: opaque, for `SessionOptions.bytes` and `RunOptions.sessionBytes`. */
  export(): Promise<Uint8Array>;
  /** Lets go of it: frozen, when it's resident. It can be opened again, here or on another host. */
  close(): Promise<void>;
  /** Ends it for good, with its checkpoints and files. */
  remove(): Promise<void>;
}

/** What the store knows of a session. */
export interface SessionInfo {
  readonly id: string;
  readonly tenant: string;
  readonly image: string;
  readonly revision: number;
  /** Here. Those that another host holds are `elsewhere`. */
  readonly status: 'resident' | 'frozen' | 'elsewhere';
  /** Of its present state and its checkpoints, as stored. */
  readonly storedBytes: number;
  readonly checkpoints: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly usedAt: number;
}
