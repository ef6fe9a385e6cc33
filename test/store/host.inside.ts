/**
 * A host of sessions in a process of its own: `node host.inside.ts '<json>'`. It prints a line of JSON for each thing that it was told is
 * done, before it does anything else.
 */

import { subscribe } from 'node:diagnostics_channel';
import { readSync, writeSync } from 'node:fs';
import { openPostgresStore } from '../../src/store/postgres-store.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import type { SessionStore } from '../../src/store/store.ts';
import { type TracePoint, traceChannel } from '../../src/util/trace.ts';
import { fill, save, steal } from './host-work.ts';

export interface HostOptions {
  /** A folder or a URL. */
  store: string;
  owner: string;
  work: 'save' | 'steal' | 'fill';
  sessions: readonly string[];
  rounds: number;
  inlineBytes?: number;
  patienceMs?: number;
  /** What happens to it when it comes to a point of its work for the nth time. `wait`: until a line comes. */
  at?: { point: TracePoint; time: number; what: 'SIGKILL' | 'SIGSTOP' | 'wait' };
}

/** What it prints. */
export type Told =
  | { kind: 'up' | 'waiting' | 'done' }
  | { kind: 'saved'; id: string; revision: number }
  | { kind: 'error'; id: string; code: string; message: string; details: Record<string, unknown> };

const options = JSON.parse(process.argv[2] ?? '') as HostOptions;

function tell(told: Told): void {
  writeSync(1, `${JSON.stringify(told)}\n`);
}

function open({ store, inlineBytes, patienceMs }: HostOptions): Promise<SessionStore> {
  if (store.includes('://'))
    return openPostgresStore(store, {}, patienceMs === undefined ? {} : { patienceMs });
  return openSqliteStore(store, {}, inlineBytes === undefined ? {} : { inlineBytes });
}

if (options.at !== undefined) {
  const { point, time, what } = options.at;
  let times = 0;
  subscribe(traceChannel(point), () => {
    if (++times !== time) return;
    if (what !== 'wait') process.kill(process.pid, what);
    else {
      tell({ kind: 'waiting' });
      readSync(0, new Uint8Array(1));
    }
  });
}

const store = await open(options);
tell({ kind: 'up' });
await { save, steal, fill }[options.work](store, options, tell);
await store[Symbol.asyncDispose]();
tell({ kind: 'done' });
