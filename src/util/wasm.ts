/** WebAssembly memory comes in pages of 64 KiB. */
export const wasmPageBytes = 65536;
