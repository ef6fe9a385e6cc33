/** The kernel's thread of the `node` engine: in the host's own process, so for trusted code only. */
import { parentPort, workerData } from 'node:worker_threads';
import { decodeImage } from '../../image/format.ts';
import { disguiseRealm } from '../../kernel/environment.ts';
import type { PyodideGlue } from '../../kernel/pyodide-internals.ts';
import { serveKernel } from '../../kernel/serve.ts';
import { parseHostMessage } from '../../protocol/parse.ts';
import type { ThreadData } from './start.ts';

const port = parentPort;
if (port === null) throw new Error('not a worker thread');
const { signals, glueUrl, wasm, stdlib, image } = workerData as ThreadData;

const serve = serveKernel({
  signals,
  post(message) {
    port.postMessage(
      message,
      'parts' in message ? (message.parts ?? []).map((part) => part.buffer as ArrayBuffer) : [],
    );
  },
  async loadAssets(init) {
    const { fingerprint } = init.options;
    const glue = (await import(glueUrl)) as PyodideGlue;
    disguiseRealm();
    return {
      glue,
      wasm: wasm as WebAssembly.Module,
      stdlib,
      image: image === null ? null : decodeImage(image, fingerprint),
      packages: { files: new Map(), imports: [] },
    };
  },
  lockDown() {},
});
port.on('message', (message: unknown) => serve(parseHostMessage(message)));
