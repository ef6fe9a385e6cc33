/**
 * The kernel's thread of a Deno worker. Its supervisor (`supervisor.ts`) owns the pipes to the host; this thread has
 * none, and loses every permission before guest code runs.
 */
import { type DecodedImage, decodeImage, unreadable, verifyImage } from '../../image/format.ts';
import { disguiseRealm } from '../../kernel/environment.ts';
import type { PyodideGlue } from '../../kernel/pyodide-internals.ts';
import { serveKernel } from '../../kernel/serve.ts';
import type { HostMessage, InitMessage, WorkerMessage } from '../../protocol/messages.ts';

const post: (message: WorkerMessage, transfer: Transferable[]) => void =
  globalThis.postMessage.bind(globalThis);
const readFileSync = Deno.readFileSync;
const { revokeSync } = Deno.permissions;
const gc = (globalThis as { gc?: () => void }).gc;

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
      const read = (url: string): Uint8Array<ArrayBuffer> => {
        const bytes = readFileSync(new URL(url));
        done += bytes.length;
        progress('assets', done, 0, 'reading the runtime');
        return bytes;
      };
      const loadImage = async (url: string): Promise<DecodedImage> => {
        let bytes: Uint8Array<ArrayBuffer>;
        try {
          bytes = read(url);
        } catch (error) {
          return unreadable(error);
        }
        const decoded = decodeImage(bytes, fingerprint);
        await verifyImage(bytes);
        return decoded;
      };
      // The longest first: compiling goes on in other threads while this one reads.
      const [wasm, image, glue] = await Promise.all([
        WebAssembly.compile(read(assets.wasmUrl)),
        assets.imageUrl === null ? null : loadImage(assets.imageUrl),
        import(assets.glueUrl) as Promise<PyodideGlue>,
      ]);
      const stdlib = read(assets.stdlibUrl);
      disguiseRealm();
      return { glue, wasm, stdlib, image, packages: { files: new Map(), imports: [] } };
    },
    lockDown() {
      for (const name of ['read', 'import']) revokeSync({ name });
      Reflect.deleteProperty(globalThis, 'gc');
    },
    ...(gc === undefined ? {} : { collectGarbage: gc }),
  });
  // The supervisor has parsed it.
  globalThis.onmessage = (event: MessageEvent<HostMessage>) => serve(event.data);
}

// The first message is the supervisor's own: the shared words.
globalThis.onmessage = (event: MessageEvent<unknown>) => start(event.data as Int32Array);
