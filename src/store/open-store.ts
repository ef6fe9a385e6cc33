import { UsageError } from '../errors/errors.ts';
import type { SessionStore } from './store.ts';
import type { StoreOptions } from './store-options.ts';

/**
 * Opens the store that `spec` names: `memory`; `postgres://…`, which needs the package `pg`; or else a folder, which is made when it isn't
 * there.
 */
export async function openStore(spec: string, options: StoreOptions = {}): Promise<SessionStore> {
  if (spec === 'memory') return new (await import('./memory-store.ts')).MemoryStore(options);
  if (/^postgres(ql)?:\/\//.test(spec))
    return (await import('./postgres-store.ts')).openPostgresStore(spec, options);
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(spec)?.[1];
  if (scheme !== undefined || spec === '') {
    const what = scheme === undefined ? 'an empty name' : `${scheme}://…`;
    throw new UsageError('usage', `${what} is no store: it is 'memory', a folder or postgres://…`);
  }
  return (await import('./sqlite-store.ts')).openSqliteStore(spec, options);
}
