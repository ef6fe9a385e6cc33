/** A real Postgres for tests, on a socket in a folder of its own; gone with the test file, and when its process is killed. */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';

/** Postgres and this program may each end first: the shell between them does what is left to do. */
const guardian = `
folder=$1; shift; server=
while read -r signal; do
  if [ "$signal" = start ]; then "$@" & server=$!; echo "$server"
  else kill -s "$signal" "$server"; wait "$server"; server=; echo stopped; fi
done
if [ -n "$server" ]; then kill -s QUIT "$server"; wait "$server"; fi
rm -rf "$folder"`;

const settings = {
  listen_addresses: '',
  // For when the machine loses power, not for when the server is killed.
  fsync: 'off',
  max_connections: '60',
  log_min_messages: 'log',
};

export class PostgresServer implements AsyncDisposable {
  readonly folder: string;
  readonly #guardian: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  #log = '';
  #databases = 0;
  #pid = 0;

  static async start(): Promise<PostgresServer> {
    const server = new PostgresServer();
    await server.start();
    return server;
  }

  private constructor() {
    const binaries = folderOfBinaries();
    const user = unprivileged();
    this.folder = mkdtempSync(join(tmpdir(), 'vivarium-pg-'));
    if (user !== undefined) chownSync(this.folder, user.uid, user.gid);
    const inFolder = { ...user, cwd: this.folder };
    const data = join(this.folder, 'data');
    const init = ['--no-sync', '--auth=trust', '--username=vivarium', '--encoding=UTF8', '--locale=C.UTF-8'];
    const made = spawnSync(join(binaries, 'initdb'), [...init, data], inFolder);
    if (made.status !== 0) throw new Error(`initdb: ${made.error ?? made.stderr}`);
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const command = [join(binaries, 'postgres'), '-D', data, '-k', this.folder, ...flags];
    this.#guardian = spawn('/bin/sh', ['-c', guardian, 'sh', this.folder, ...command], inFolder);
    this.#answers = createInterface(this.#guardian.stdout)[Symbol.asyncIterator]();
    this.#guardian.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#log += text;
    });
  }

  /** Again, after `stop`. */
  async start(): Promise<void> {
    this.#log = '';
    this.#pid = Number(await this.#tell('start'));
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (this.#log.includes('ready to accept connections')) resolve();
        else if (this.#guardian.exitCode !== null) reject(new Error(this.#log));
        else return;
        this.#guardian.stderr.off('data', look);
        this.#guardian.off('exit', look);
      };
      this.#guardian.stderr.on('data', look);
      this.#guardian.on('exit', look);
      look();
    });
  }

  /** `QUIT`: at once, as in a crash. `INT`: connections are told. */
  async stop(signal: 'INT' | 'QUIT'): Promise<void> {
    await this.#tell(signal);
    this.#pid = 0;
  }

  get pid(): number {
    return this.#pid;
  }

  /** The URL of a new database. */
  async database(): Promise<string> {
    const name = `test${++this.#databases}`;
    await this.query('postgres', `CREATE DATABASE ${name}`);
    return this.url(name);
  }

  url(database: string): string {
    return `postgres://vivarium@/${database}?host=${encodeURIComponent(this.folder)}`;
  }

  /** On a connection of its own. `database`: a name or a URL. */
  async query(database: string, sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    const client = new pg.Client(database.includes(':') ? database : this.url(database));
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql, values)).rows;
    } finally {
      await client.end();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#guardian, 'exit');
    this.#guardian.stdin.end();
    await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #tell(word: string): Promise<string> {
    this.#guardian.stdin.write(`${word}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error(`Postgres is gone: ${this.#log}`);
    return value;
  }
}

/** Debian keeps them out of PATH. */
function folderOfBinaries(): string {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian) : [];
  const newestFirst = versions.sort((a, b) => Number(b) - Number(a));
  const folders = [
    ...newestFirst.map((version) => join(debian, version, 'bin')),
    ...(process.env.PATH ?? '').split(delimiter),
  ];
  const found = folders.find((folder) =>
    ['initdb', 'postgres'].every((name) => existsSync(join(folder, name))),
  );
  if (found === undefined) throw new Error("there is no Postgres: install Debian's postgresql");
  return found;
}

/** Postgres refuses to run as root. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string): number => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}
