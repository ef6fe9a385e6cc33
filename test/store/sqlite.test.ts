import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import { storeContract } from './contract.ts';
import { storeProperty } from './property.ts';
import { heldIn } from './sqlite-folder.ts';
import { Opened, type StoreSubject, type SubjectKind } from './subject.ts';

/** So small that blobs of tests are on both sides of it. */
const inlineBytes = 150;

const kind: SubjectKind = {
  isShared: true,
  make: async (): Promise<StoreSubject> => {
    const folder = mkdtempSync(join(tmpdir(), 'vivarium-store-'));
    const opened = new Opened();
    let now = Date.UTC(2026, 0, 1);
    return {
      open: async (options = {}) =>
        opened.add(await openSqliteStore(folder, { now: () => now, ...options }, { inlineBytes })),
      elapse: async (ms) => {
        now += ms;
      },
      held: async () => heldIn(folder),
      [Symbol.asyncDispose]: async () => {
        await opened[Symbol.asyncDispose]();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  },
};

storeContract(kind);
storeProperty(kind, { numRuns: 40 });
