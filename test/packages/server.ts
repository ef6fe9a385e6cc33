import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../../src/util/clock.ts';

export interface TestServer extends AsyncDisposable {
  /** `http://127.0.0.1:port/`. */
  url: string;
  /** `METHOD /path` of each request, with its range when it has one. */
  requests: string[];
}

/** A real server on the loopback. */
export async function serve(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<TestServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const { range } = request.headers;
    requests.push(`${request.method} ${request.url}${range === undefined ? '' : ` ${range}`}`);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Waits between attempts are over at once; a silence of 30 s never comes. */
export const hastyClock: Clock = {
  now: () => 0,
  setTimeout(callback, ms) {
    const handle = ms < 30_000 ? setImmediate(callback) : undefined;
    const cancel = () => clearImmediate(handle);
    return { cancel, [Symbol.dispose]: cancel };
  },
};
