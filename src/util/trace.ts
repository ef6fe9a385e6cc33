/**
 * Named points of what the host does, for operators, tracing tools and tests of faults: each is a channel of Node's
 * `node:diagnostics_channel` called `vivarium:` and the name. Subscribers are called at the point itself, before the host
 * goes on; without any a point costs nothing. Node only.
 */
import { type Channel, channel } from 'node:diagnostics_channel';

/** What is published, by point. Nothing here comes from code that runs. */
export interface TracePoints {
  /** A worker's process was started; it has not been told anything yet. */
  'worker.spawned': { pid: number };
  /** Its kernel takes runs. */
  'worker.ready': { pid: number };
  /** Nothing is left of it. */
  'worker.exited': { pid: number; reason: string };
  /** A run was handed to the worker. */
  'run.sent': { pid: number; run: string };
  /** It waits for something to be installed. */
  'run.asked': { pid: number; run: string };
  'run.answered': { pid: number; run: string };
  /** Its result is here, whole and parsed; the worker rewinds. */
  'run.result': { pid: number; run: string };
  /** The worker takes the next run. */
  'run.rewound': { pid: number; run: string };
  /** A worker is about to read it. */
  'image.reading': { path: string };
  /** Written under a temporary name, and about to be moved to its place. */
  'image.writing': FileWriting;
  'wheel.writing': FileWriting;
  /** A lock, or the definition of a named image. */
  'lock.writing': FileWriting;
  /** The files of a session's blobs are on the disk; nothing refers to them yet. */
  'store.staged': { files: number };
  /** A change of the store is about to be committed. */
  'store.committing': { kind: string };
  /** It is; nobody has been told. */
  'store.committed': { kind: string };
  /** A session's state is in a worker again. */
  'session.thawed': SessionPoint;
  /** It is here, as it will be stored under that revision. */
  'session.frozen': SessionPoint;
  /** The store has it; its caller isn't told as yet. */
  'session.saved': SessionPoint;
  /** A request for a page or a package, one for each redirect; the URL is without credentials. */
  fetch: { url: string };
}

export interface SessionPoint {
  tenant: string;
  session: string;
  revision: number;
}

export interface FileWriting {
  temporary: string;
  path: string;
}

export type TracePoint = keyof TracePoints;

export function traceChannel(point: TracePoint): string {
  return `vivarium:${point}`;
}

/** Held: a channel that nobody holds is made anew, without its subscribers' knowing. */
const channels: { readonly [Point in TracePoint]: Channel } = {
  'worker.spawned': channel(traceChannel('worker.spawned')),
  'worker.ready': channel(traceChannel('worker.ready')),
  'worker.exited': channel(traceChannel('worker.exited')),
  'run.sent': channel(traceChannel('run.sent')),
  'run.asked': channel(traceChannel('run.asked')),
  'run.answered': channel(traceChannel('run.answered')),
  'run.result': channel(traceChannel('run.result')),
  'run.rewound': channel(traceChannel('run.rewound')),
  'image.reading': channel(traceChannel('image.reading')),
  'image.writing': channel(traceChannel('image.writing')),
  'wheel.writing': channel(traceChannel('wheel.writing')),
  'lock.writing': channel(traceChannel('lock.writing')),
  'store.staged': channel(traceChannel('store.staged')),
  'store.committing': channel(traceChannel('store.committing')),
  'store.committed': channel(traceChannel('store.committed')),
  'session.thawed': channel(traceChannel('session.thawed')),
  'session.frozen': channel(traceChannel('session.frozen')),
  'session.saved': channel(traceChannel('session.saved')),
  fetch: channel(traceChannel('fetch')),
};

export function trace<Point extends TracePoint>(point: Point, facts: TracePoints[Point]): void {
  const found = channels[point];
  if (found.hasSubscribers) found.publish(facts);
}
