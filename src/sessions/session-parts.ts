import type { PoolContext } from '../pool/context.ts';
import type { SessionStore } from '../store/store.ts';
import type { Manifest } from './manifest.ts';
import type { Residency } from './residency.ts';

/** How a caller wants its calls. */
export interface CallPolicy {
  readonly durability: 'run' | 'freeze';
  readonly whenBusy: 'queue' | 'reject';
  readonly tasks: 'keep' | 'cancel' | 'refuse';
}

export interface CoreParts {
  readonly context: PoolContext;
  readonly store: SessionStore;
  /** Of leases: this runtime. */
  readonly owner: string;
  /** The worker it lies in. */
  residency(holder: { wanted(since: number): void; lost(error: Error): void }): Residency;
  /** It was removed. */
  gone(): void;
}

/** What has changed, between two revisions. */
export type Watcher = (before: Manifest, after: Manifest) => void;
