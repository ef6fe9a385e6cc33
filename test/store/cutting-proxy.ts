/** Stands between a store and Postgres, and cuts connections at commits. */

import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PostgresServer } from './postgres-server.ts';

export type Cut = 'before' | 'after' | 'late' | 'never';

export class CuttingProxy implements AsyncDisposable {
  /**
   * What happens at the next commits, in turn: the connection is lost before the server has them, or after it has answered; or the server
   * has it only when it's asked what became of it (`late`), or never, and isn't told of the loss (`never`).
   */
  readonly plan: Cut[] = [];
  readonly done: Cut[] = [];
  /** After a cut nobody gets through any more. */
  isClosedAfterCut = false;
  readonly #folder = mkdtempSync(join(tmpdir(), 'vivarium-proxy-'));
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #late: (() => void) | undefined;

  static async start(behind: PostgresServer): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(behind);
    const { promise, resolve } = Promise.withResolvers<void>();
    proxy.#server.listen(join(proxy.#folder, '.s.PGSQL.5432'), resolve);
    await promise;
    return proxy;
  }

  private constructor(behind: PostgresServer) {
    this.#server = createServer((client) => {
      if (this.isClosedAfterCut && this.done.length > 0) {
        client.destroy();
        return;
      }
      const server = createConnection(join(behind.folder, '.s.PGSQL.5432'));
      let isKept = false;
      for (const [socket, other] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          this.#sockets.delete(socket);
          if (!isKept) other.destroy();
        });
      }
      let isLast = false;
      client.on('data', (chunk) => {
        if (chunk.includes('pg_xact_status')) this.#late?.();
        // A simple query comes in a piece of its own: nothing else is under way.
        const cut = chunk.includes('COMMIT\0') ? this.plan.shift() : undefined;
        if (cut !== undefined) this.done.push(cut);
        isKept = cut === 'late' || cut === 'never';
        isLast = cut === 'after';
        if (cut === 'late') this.#late = () => server.write(chunk);
        if (cut === undefined || cut === 'after') server.write(chunk);
        else client.destroy();
      });
      server.on('data', (chunk) => {
        if (isLast) client.destroy();
        else client.write(chunk);
      });
    });
  }

  /** To the same database. */
  url(direct: string): string {
    const url = new URL(direct.replace('@/', '@localhost/'));
    url.searchParams.set('host', this.#folder);
    return url.href;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    for (const socket of this.#sockets) socket.destroy();
    await promise;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
