/** Things outside of the sandbox that a probe must leave as they are, and words that it must not learn. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { lstat, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where the canaries are, for a probe to aim at. */
export interface Targets {
  /** Path of a file. */
  secret: string;
  /** Path where nothing is. */
  create: string;
  /** The folder of both. */
  folder: string;
  /** Where somebody listens on the loopback interface. */
  port: number;
  /** Name of a variable in this process's environment. */
  variable: string;
}

export interface Canaries extends AsyncDisposable {
  readonly targets: Targets;
  /** In the file and in the variable. */
  readonly secrets: readonly string[];
  /** What was done to them, in plain words. */
  touched(): Promise<string[]>;
}

const fileName = 'secret.txt';
const longAgo = new Date('2001-01-01');

/**
 * A file, a variable in this process's environment and a listener that counts connections. Set them up before the runtime:
 * a worker that inherited the environment would have inherited it when it started.
 */
export async function placeCanaries(): Promise<Canaries> {
  const [inFile, inEnvironment] = [randomUUID(), randomUUID()];
  const folder = await mkdtemp(join(tmpdir(), 'vivarium-canary-'));
  const path = join(folder, fileName);
  const variable = `CANARY_${randomUUID().slice(0, 8)}`;
  await writeFile(path, inFile, { mode: 0o600 });
  // Old enough that the next reading changes it, where the system notes readings at all.
  await utimes(path, longAgo, longAgo);
  const before = await lstat(path);
  process.env[variable] = inEnvironment;

  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.on('error', () => {}).destroy();
  });
  server.listen(0, '127.0.0.1').unref();
  await once(server, 'listening');

  return {
    targets: {
      secret: path,
      create: join(folder, 'created'),
      folder,
      port: (server.address() as AddressInfo).port,
      variable,
    },
    secrets: [inFile, inEnvironment],
    async touched() {
      const found: string[] = [];
      if (connections > 0) found.push(`${connections} connections`);
      if (process.env[variable] !== inEnvironment) found.push('the environment was changed');
      const entries = await readdir(folder).catch(() => []);
      const foreign = entries.filter((entry) => entry !== fileName);
      if (foreign.length > 0) found.push(`${foreign.join(', ')} was created`);
      const now = await lstat(path).catch(() => undefined);
      if (now === undefined) return [...found, 'the file was removed'];
      if (now.mode !== before.mode || now.mtimeMs !== before.mtimeMs) found.push('the file was changed');
      if (now.atimeMs !== before.atimeMs) found.push('the file was read');
      if ((await readFile(path, 'utf8')) !== inFile) found.push('the file holds something else');
      // Its own reading doesn't count.
      await utimes(path, longAgo, before.mtime);
      return found;
    },
    async [Symbol.asyncDispose]() {
      Reflect.deleteProperty(process.env, variable);
      await Promise.all([closed(server), rm(folder, { recursive: true, force: true })]);
    },
  };
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
