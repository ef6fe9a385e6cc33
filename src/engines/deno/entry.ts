/**
 * The kernel's thread of a Deno worker. Its supervisor (`supervisor.ts`) owns the pipes to the host; this thread has
 * none, and loses every permission before code of packages or guests runs.
 */
import {
  type DecodedImage,
  decodeImage,
  decodePrelude,
  preludeBytes,
  unreadable,
  verifyImage,
} from '../../image/format.ts';
import { noPackages } from '../../kernel/boot.ts';
import { disguiseRealm, makeReproducible } from '../../kernel/environment.ts';
import type { PyodideGlue } from '../../kernel/pyodide-internals.ts';
import { serveKernel } from '../../kernel/serve.ts';
import { unpackWheels } from '../../kernel/wheels.ts';
import type { HostMessage, InitMessage, WorkerMessage } from '../../protocol/messages.ts';
import { MailReader } from '../../rpc/mailbox.ts';

const post: (message: WorkerMessage, transfer: Transferable[]) => void =
  globalThis.postMessage.bind(globalThis);
const { readFileSync, openSync } = Deno;
const { revokeSync } = Deno.permissions;
const gc = (globalThis as { gc?: () => void }).gc;

/** What the supervisor shares with the kernel's thread. */
export interface SharedMemory {
  signals: Int32Array;
  mailbox: SharedArrayBuffer;
}

function start({ signals, mailbox }: SharedMemory): void {
  const mail = new MailReader(mailbox);
  const serve = serveKernel({
    signals,
    receive: () => mail.next(),
    post(message) {
      post(
        message,
        'parts' in message ? (message.parts ?? []).map((part) => part.buffer as ArrayBuffer) : [],
      );
    },
    async loadAssets(init: InitMessage, progress) {
      const { assets, packages: wanted, fingerprint } = init.options;
      if (assets === null) throw new Error('a Deno worker needs the places of its assets');
      let done = 0;
      const read = (url: string): Uint8Array<ArrayBuffer> => {
        const bytes = readFileSync(new URL(url));
        done += bytes.length;
        progress('assets', done, 0, 'reading the runtime');
        return bytes;
      };
      const loadImage = (url: string): { image: DecodedImage; verified: Promise<void> } => {
        let image: { first: Uint8Array; files: Uint8Array };
        try {
          image = readImage(new URL(url));
        } catch (error) {
          return unreadable(error);
        }
        done += image.first.length + image.files.length;
        progress('assets', done, 0, 'reading the image');
        const verified = verifyImage(image);
        // Awaited by the boot, if it comes to that.
        verified.catch(() => {});
        return { image: decodeImage(image, fingerprint), verified };
      };
      // The longest first: compiling goes on in other threads while this one reads.
      const compiling = WebAssembly.compile(read(assets.wasmUrl));
      const { image, verified } =
        assets.imageUrl === null ? { image: null, verified: Promise.resolve() } : loadImage(assets.imageUrl);
      const [wasm, glue] = await Promise.all([compiling, import(assets.glueUrl) as Promise<PyodideGlue>]);
      const stdlib = read(assets.stdlibUrl);
      const packages =
        image === null
          ? unpackWheels(
              wanted,
              wanted.wheels.map(({ url }) => read(url)),
              progress,
            )
          : noPackages;
      if (init.options.mode === 'build') makeReproducible();
      disguiseRealm();
      return { glue, wasm, stdlib, image, verified, packages };
    },
    lockDown() {
      for (const name of ['read', 'import']) revokeSync({ name });
    },
    ...(gc === undefined ? {} : { collectGarbage: gc }),
  });
  // The supervisor has parsed it.
  globalThis.onmessage = (event: MessageEvent<HostMessage>) => serve(event.data);
}

const fromStart = 0;
const fromEnd = 2;

/** In two pieces: the files stay in memory as long as the kernel, the rest is let go of when it's not needed. */
function readImage(url: URL): { first: Uint8Array; files: Uint8Array } {
  using file = openSync(url);
  // Its end tells its size: Deno refuses to say more of what lies below a `node_modules`.
  const fileBytes = file.seekSync(0, fromEnd);
  file.seekSync(0, fromStart);
  const fill = (bytes: Uint8Array): Uint8Array => {
    for (let at = 0; at < bytes.length; ) {
      const read = file.readSync(bytes.subarray(at));
      if (read === null) throw new Error('it ends early');
      at += read;
    }
    return bytes;
  };
  const prelude = fill(new Uint8Array(Math.min(preludeBytes, fileBytes)));
  const { filesOffset } = decodePrelude(prelude, fileBytes);
  const first = new Uint8Array(filesOffset);
  first.set(prelude);
  fill(first.subarray(prelude.length));
  return { first, files: fill(new Uint8Array(fileBytes - filesOffset)) };
}

// The first message is the supervisor's own: the shared words.
globalThis.onmessage = (event: MessageEvent<unknown>) => start(event.data as SharedMemory);
