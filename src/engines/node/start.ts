import type { ImageBytes } from '../../image/format.ts';

/** What the host half hands to a thread when it starts it; nothing of it is copied but the URL. */
export interface ThreadData {
  signals: Int32Array;
  mailbox: SharedArrayBuffer;
  glueUrl: string;
  wasm: WebAssemblyModule;
  /** Over a `SharedArrayBuffer`, as the image's file is. */
  stdlib: Uint8Array;
  image: ImageBytes | null;
  /** Of the image, in its order. */
  libraries: WebAssemblyModule[];
  /** To be unpacked when there is no image. */
  wheels: Uint8Array[];
}

/** The host's types know no `WebAssembly.Module`; it's only passed on. */
export type WebAssemblyModule = object;
