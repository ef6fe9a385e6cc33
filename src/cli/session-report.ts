import type { Checkpoint, SessionFile, SessionInfo } from '../session.ts';
import { table } from './table.ts';
import { formatBytes } from './values.ts';

/** One line a session. */
export function sessionTable(sessions: readonly SessionInfo[], now: Date): string {
  // Most have one tenant: this runtime's own.
  const withTenants = sessions.some(({ tenant }) => tenant !== '');
  const rows = sessions.map((session) => [
    session.id,
    ...(withTenants ? [session.tenant] : []),
    session.image,
    String(session.revision),
    session.status,
    formatBytes(session.storedBytes),
    session.checkpoints === 0 ? '' : String(session.checkpoints),
    ago(session.usedAt, now),
  ]);
  const tenant = withTenants ? ['TENANT'] : [];
  return table([
    ['NAME', ...tenant, 'IMAGE', 'REVISION', 'STATUS', 'STORED', 'CHECKPOINTS', 'USED'],
    ...rows,
  ]);
}

/** What a session has in it. */
export interface SessionContent {
  readonly checkpoints: readonly Checkpoint[];
  readonly files: readonly SessionFile[];
}

/** All that is known of one. */
export function sessionFacts(session: SessionInfo, content: SessionContent | undefined, now: Date): string {
  const { id, tenant, image, revision, status, storedBytes, createdAt, usedAt } = session;
  const facts = [
    ['name', id],
    ['tenant', tenant],
    ['image', image],
    ['revision', String(revision)],
    ['status', status],
    ['stored', formatBytes(storedBytes)],
    ['created', new Date(createdAt).toISOString()],
    ['used', `${new Date(usedAt).toISOString()} (${ago(usedAt, now)})`],
    ['checkpoints', content === undefined ? String(session.checkpoints) : ''],
  ].filter(([, value]) => value !== '');
  if (content === undefined) return table(facts);
  const { checkpoints, files } = content;
  const parts = [table(facts)];
  if (checkpoints.length > 0) parts.push(checkpointTable(checkpoints, now));
  if (files.length > 0) parts.push(fileTable(files));
  return parts.join('\n');
}

export function checkpointTable(checkpoints: readonly Checkpoint[], now: Date): string {
  const rows = checkpoints.map(({ name, revision, createdAt }) => [
    name,
    String(revision),
    ago(createdAt, now),
  ]);
  return table([['CHECKPOINT', 'REVISION', 'MADE'], ...rows]);
}

export function fileTable(files: readonly SessionFile[]): string {
  const rows = files.map(({ path, kind, size, modifiedAt }) => [
    kind === 'folder' ? `${path}/` : path,
    kind === 'file' ? formatBytes(size) : kind,
    new Date(modifiedAt).toISOString().slice(0, 16).replace('T', ' '),
  ]);
  return table([['FILE', 'SIZE', 'CHANGED'], ...rows]);
}

const units: readonly (readonly [name: string, ms: number])[] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
];

/** By the largest unit. */
export function ago(time: number, now: Date): string {
  const ms = now.getTime() - time;
  for (const [name, length] of units) {
    const count = Math.floor(ms / length);
    if (count > 0) return `${count} ${name}${count === 1 ? '' : 's'} ago`;
  }
  return 'just now';
}
