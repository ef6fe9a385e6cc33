import { randomUUID } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { VivariumError } from '../errors/errors.ts';
import type { WorkOptions } from '../node.ts';
import type { Runtime } from '../runtime.ts';
import type { SessionInfo, SessionOptions } from '../session.ts';
import { asUsage } from './desk.ts';
import { attempt } from './input.ts';
import { codeOf, exitCodes, say } from './report.ts';
import { type SourceFlags, splitPackages } from './requirements.ts';
import { type SessionContent, sessionFacts, sessionTable } from './session-report.ts';
import { printable } from './table.ts';
import { formatBytes, usage } from './values.ts';
import { attend, type Desk, type Manners } from './work.ts';

export interface SessionsHost extends Desk {
  createRuntime(flags: SourceFlags, work: WorkOptions): Promise<Runtime>;
  stdin: Readable;
  stdoutIsTerminal: boolean;
}

export interface SessionsFlags extends Manners, SourceFlags {
  json?: boolean;
  /** Of other programs; the command line's own sessions have none. */
  tenant?: string;
}

export function listSessions(flags: SessionsFlags, host: SessionsHost): Promise<number> {
  return withRuntime(flags, host, async (runtime) => {
    const sessions = await listed(runtime, flags);
    if (flags.json) print(host, sessions);
    else if (sessions.length > 0) host.stdout.write(sessionTable(sessions, new Date()));
    else tell(flags, host, 'there are no sessions: vivarium run --session NAME begins one');
    return exitCodes.ok;
  });
}

export function showSession(name: string, flags: SessionsFlags, host: SessionsHost): Promise<number> {
  return withRuntime(flags, host, async (runtime) => {
    const all = await runtime.sessions({ tenant: flags.tenant ?? '' });
    const info = all.find(({ id }) => id === name);
    // Says that there is none, as every other command does.
    if (!info) throw await absence(runtime, name, flags);
    const content = info.status === 'frozen' ? await contentOf(runtime, name, flags, host) : undefined;
    if (flags.json) print(host, { ...info, content: content ?? null });
    else host.stdout.write(sessionFacts(info, content, new Date()));
    return exitCodes.ok;
  });
}

/** Undefined when it can't be opened now, which is told. */
async function contentOf(
  runtime: Runtime,
  name: string,
  flags: SessionsFlags,
  host: SessionsHost,
): Promise<SessionContent | undefined> {
  try {
    const session = await runtime.session(name, existing(flags));
    const content = { checkpoints: await session.checkpoints(), files: await session.files.list() };
    await session.close();
    return content;
  } catch (error) {
    if (!(error instanceof VivariumError)) throw error;
    tell(flags, host, `its files can't be listed: ${error.message}`);
    return undefined;
  }
}

async function absence(runtime: Runtime, name: string, flags: SessionsFlags): Promise<unknown> {
  try {
    await (await runtime.session(name, existing(flags))).close();
    return usage(`session ${name} came only now: try again`);
  } catch (error) {
    return error;
  }
}

export interface RemoveFlags extends SessionsFlags {
  all?: boolean;
}

/** Those that can't be removed are told, and the others are removed all the same. */
export function removeSessions(
  names: readonly string[],
  flags: RemoveFlags,
  host: SessionsHost,
): Promise<number> {
  const { all = false, json, tenant } = flags;
  if (all === names.length > 0) throw usage('name sessions, or say --all');
  return withRuntime(flags, host, async (runtime) => {
    const known = await listed(runtime, all ? flags : { ...flags, tenant: tenant ?? '' });
    const wanted = all ? known : names.map((id) => known.find((one) => one.id === id) ?? { id });
    const removed: string[] = [];
    let freedBytes = 0;
    let code: number = exitCodes.ok;
    for (const session of wanted) {
      const { id, storedBytes = 0 } = session as Partial<SessionInfo> & { id: string };
      const of = ('tenant' in session ? session.tenant : tenant) || undefined;
      try {
        await asUsage(() => runtime.removeSession(id, { tenant: of }));
      } catch (error) {
        if (!(error instanceof VivariumError)) throw error;
        say(host.stderr, `${printable(id)}: ${error.message}`);
        code = codeOf(error);
        continue;
      }
      removed.push(id);
      freedBytes += storedBytes;
      if (!json) tell(flags, host, `removed ${printable(id)} (${formatBytes(storedBytes)})`);
    }
    if (json) print(host, { removed, freedBytes });
    return code;
  });
}

export interface ExportFlags extends SessionsFlags {
  /** Default: stdout. */
  out?: string;
}

export function exportSession(name: string, flags: ExportFlags, host: SessionsHost): Promise<number> {
  const { out } = flags;
  if (out === undefined && host.stdoutIsTerminal)
    throw usage('bytes are nothing for a terminal: name a file with --out, or redirect stdout');
  return withRuntime(flags, host, async (runtime) => {
    const session = await asUsage(() => runtime.session(name, existing(flags)));
    const { id, revision } = session;
    const bytes = await session.export();
    await session.close();
    if (out === undefined) host.stdout.write(bytes);
    else {
      writeWhole(out, bytes);
      const what = `${printable(id)}, revision ${revision} (${formatBytes(bytes.length)})`;
      tell(flags, host, `wrote ${printable(out)}: ${what}`);
    }
    return exitCodes.ok;
  });
}

export interface ImportFlags extends SessionsFlags {
  image?: string;
  with: readonly string[];
}

/** `file`: `-` for stdin. */
export function importSession(
  file: string,
  name: string,
  flags: ImportFlags,
  host: SessionsHost,
): Promise<number> {
  const packages = flags.with.flatMap(splitPackages);
  if (flags.image !== undefined && packages.length > 0)
    throw usage('--image says all that the interpreter holds: it excludes --with');
  return withRuntime(flags, host, async (runtime) => {
    const bytes = file === '-' ? await buffer(host.stdin) : attempt(file, () => readFileSync(file));
    const interpreter = { image: flags.image, packages: packages.length > 0 ? packages : undefined };
    const session = await asUsage(() =>
      runtime.session(name, { ...interpreter, tenant: flags.tenant, bytes }),
    );
    await finish(session, flags, host, 'imported');
    return exitCodes.ok;
  });
}

export function forkSession(
  name: string,
  newName: string,
  flags: SessionsFlags,
  host: SessionsHost,
): Promise<number> {
  return withRuntime(flags, host, async (runtime) => {
    const session = await asUsage(() => runtime.session(name, existing(flags)));
    const fork = await asUsage(() => session.fork(newName));
    await session.close();
    await finish(fork, flags, host, `forked ${printable(name)}:`);
    return exitCodes.ok;
  });
}

/** Tells of a session that has come to be. */
async function finish(
  session: Awaited<ReturnType<Runtime['session']>>,
  flags: SessionsFlags,
  host: SessionsHost,
  did: string,
): Promise<void> {
  const { id, tenant, image, revision } = session;
  await session.close();
  if (flags.json) print(host, { id, tenant, image, revision });
  else tell(flags, host, `${did} ${printable(id)}, revision ${revision}`);
}

function existing({ tenant }: SessionsFlags): SessionOptions {
  return { tenant, create: false };
}

/** Without a tenant: of all of them. */
function listed(runtime: Runtime, { tenant }: SessionsFlags): Promise<SessionInfo[]> {
  return runtime.sessions(tenant === undefined ? {} : { tenant });
}

/** A runtime that starts no worker: what is stored is all that's needed. */
function withRuntime(
  flags: SessionsFlags,
  host: SessionsHost,
  work: (runtime: Runtime) => Promise<number>,
): Promise<number> {
  return attend(flags, host, async (options) => {
    const runtime = await host.createRuntime(flags, options);
    runtime.subscribe((event) => {
      if (event.type === 'progress') options.onProgress?.(event.progress);
      if (event.type === 'warning') tell(flags, host, event.message);
    });
    try {
      return await work(runtime);
    } finally {
      await runtime.close({ graceMs: 0 });
    }
  });
}

/** By renaming: whole or not at all. What a session holds is nobody else's to read. */
function writeWhole(path: string, bytes: Uint8Array): void {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    writeFileSync(temporary, bytes, { flag: 'wx', mode: 0o600 });
    renameSync(temporary, path);
  } catch (error) {
    throw usage(`cannot write ${path}: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    rmSync(temporary, { force: true });
  }
}

function print({ stdout }: { stdout: Writable }, value: unknown): void {
  stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

function tell({ quiet }: Manners, { stderr }: Desk, message: string): void {
  if (!quiet) say(stderr, message);
}
