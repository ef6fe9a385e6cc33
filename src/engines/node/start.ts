/** What the host half hands to a thread when it starts it; nothing of it is copied but the URL. */
export interface ThreadData {
  signals: Int32Array;
  glueUrl: string;
  wasm: WebAssemblyModule;
  /** Over a `SharedArrayBuffer`, as the image's file is. */
  stdlib: Uint8Array;
  image: Uint8Array | null;
}

/** The host's types know no `WebAssembly.Module`; it's only passed on. */
export type WebAssemblyModule = object;
