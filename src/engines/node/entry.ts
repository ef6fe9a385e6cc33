/** The kernel's thread of the `node` engine: in the host's own process, so for trusted code only. */
import { parentPort, workerData } from 'node:worker_threads';
import { decodeImage } from '../../image/format.ts';
import { noPackages } from '../../kernel/boot.ts';
import { disguiseRealm, makeReproducible } from '../../kernel/environment.ts';
import type { PyodideGlue } from '../../kernel/pyodide-internals.ts';
import { serveKernel } from '../../kernel/serve.ts';
import { unpackWheels } from '../../kernel/wheels.ts';
import { parseHostMessage } from '../../protocol/parse.ts';
import { MailReader } from '../../rpc/mailbox.ts';
import type { ThreadData } from './start.ts';

const port = parentPort;
if (port === null) throw new Error('not a worker thread');
const { signals, mailbox, glueUrl, wasm, stdlib, image, libraries, wheels } = workerData as ThreadData;
const mail = new MailReader(mailbox);

const serve = serveKernel({
  signals,
  receive: () => mail.next(),
  post(message) {
    port.postMessage(
      message,
      'parts' in message ? (message.parts ?? []).map((part) => part.buffer as ArrayBuffer) : [],
    );
  },
  async loadAssets(init, progress) {
    const { fingerprint, packages } = init.options;
    const glue = (await import(glueUrl)) as PyodideGlue;
    const installed = image === null ? unpackWheels(packages, wheels, progress) : noPackages;
    if (init.options.mode === 'build') makeReproducible();
    disguiseRealm();
    return {
      glue,
      wasm: wasm as WebAssembly.Module,
      stdlib,
      image: image === null ? null : decodeImage(image, fingerprint),
      libraries: libraries as WebAssembly.Module[],
      packages: installed,
    };
  },
  lockDown() {},
});
port.on('message', (message: unknown) => serve(parseHostMessage(message)));
