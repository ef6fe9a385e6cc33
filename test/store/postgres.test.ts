import { afterAll } from 'vitest';
import { openPostgresStore } from '../../src/store/postgres-store.ts';
import { storeContract } from './contract.ts';
import { PostgresServer } from './postgres-server.ts';
import { storeProperty } from './property.ts';
import { Opened, type StoreSubject, type SubjectKind } from './subject.ts';

const server = await PostgresServer.start();
afterAll(() => server[Symbol.asyncDispose]());

/** Its clock is its own: instead of waiting, what it has noted is moved into the past. */
const earlier = `
  UPDATE vivarium_sessions SET created_at = created_at - $1, used_at = used_at - $1, leased_until = leased_until - $1`;

const kind: SubjectKind = {
  isShared: true,
  make: async (): Promise<StoreSubject> => {
    const url = await server.database();
    const opened = new Opened();
    return {
      open: async (options) => opened.add(await openPostgresStore(url, options)),
      elapse: async (ms) => {
        await server.query(url, earlier, [ms]);
      },
      held: async () => {
        const rows = await server.query(url, 'SELECT tenant, hash FROM vivarium_blobs');
        return rows.map(({ tenant, hash }) => `${tenant}/${hash}`).sort();
      },
      [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
    };
  },
};

storeContract(kind);
storeProperty(kind, { numRuns: 20 });
