import { MemoryStore } from '../../src/store/memory-store.ts';
import { storeContract } from './contract.ts';
import { storeProperty } from './property.ts';
import { Opened, type StoreSubject, type SubjectKind } from './subject.ts';

const kind: SubjectKind = {
  isShared: false,
  make: async (): Promise<StoreSubject> => {
    const opened = new Opened();
    let now = Date.UTC(2026, 0, 1);
    return {
      open: async (options = {}) => opened.add(new MemoryStore({ now: () => now, ...options })),
      elapse: async (ms) => {
        now += ms;
      },
      held: async () => undefined,
      [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
    };
  },
};

storeContract(kind);
storeProperty(kind, { numRuns: 200 });
