/**
 * The kernel's thread of a Deno worker. Its supervisor (`supervisor.ts`) owns the pipes to the host; this thread has
 * none, and loses every permission before guest code runs.
 */
import { decodeImage, unreadable, verifyImage } from '../../image/format.ts';
import { disguiseRealm } from '../../kernel/environment.ts';
import type { PyodideGlue } from '../../kernel/pyodide-internals.ts';
import { serveKernel } from '../../kernel/serve.ts';
import type { HostMessage, InitMessage, WorkerMessage } from '../../protocol/messages.ts';

const post: (message: WorkerMessage, transfer: Transferable[]) => void =
  globalThis.postMessage.bind(globalThis);
const readFile = Deno.readFile;
const { revokeSync } = Deno.permissions;
const collectGarbage = (globalThis as { gc?: () => void }).gc;

function start(signals: Int32Array): void {
  const serve = serveKernel({
    signals,
    post(message) {
      post(
        message,
        'parts' in message ? (message.parts ?? []).map((part) => part.buffer as ArrayBuffer) : [],
      );
    },
    async loadAssets(init: InitMessage, progress) {
      const { assets, fingerprint } = init.options;
      if (assets === null) throw new Error('a Deno worker needs the places of its assets');
      let done = 0;
      const read = async (url: string): Promise<Uint8Array<ArrayBuffer>> => {
        const bytes = await readFile(new URL(url));
        done += bytes.length;
        progress('assets', done, 0, 'reading the runtime');
        return bytes;
      };
      const [glue, wasm, stdlib, image] = await Promise.all([
        import(assets.glueUrl) as Promise<PyodideGlue>,
        read(assets.wasmUrl).then((bytes) => WebAssembly.compile(bytes)),
        read(assets.stdlibUrl),
        assets.imageUrl === null
          ? null
          : read(assets.imageUrl)
              .catch(unreadable)
              .then(async (bytes) => {
                const decoded = decodeImage(bytes, fingerprint);
                await verifyImage(bytes);
                return decoded;
              }),
      ]);
      disguiseRealm();
      return { glue, wasm, stdlib, image, packages: { files: new Map(), imports: [] } };
    },
    lockDown() {
      for (const name of ['read', 'import']) revokeSync({ name });
      Reflect.deleteProperty(globalThis, 'gc');
      collectGarbage?.();
    },
  });
  // The supervisor has parsed it.
  globalThis.onmessage = (event: MessageEvent<HostMessage>) => serve(event.data);
}

// The first message is the supervisor's own: the shared words.
globalThis.onmessage = (event: MessageEvent<unknown>) => start(event.data as Int32Array);
