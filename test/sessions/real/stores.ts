import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PostgresServer } from '../../store/postgres-server.ts';

export interface StoreOfTests extends AsyncDisposable {
  /** For `sessions.store`. */
  spec: string;
}

/** Real ones, empty. */
export const stores: readonly [name: string, open: () => Promise<StoreOfTests>][] = [
  [
    'sqlite',
    async () => {
      const spec = await mkdtemp(join(tmpdir(), 'vivarium-sessions-'));
      return { spec, [Symbol.asyncDispose]: () => rm(spec, { recursive: true, force: true }) };
    },
  ],
  [
    'postgres',
    async () => {
      const server = await PostgresServer.start();
      return { spec: await server.database(), [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
    },
  ],
];
