/** The part of Deno that the supervisor and the entry use. */
declare namespace Deno {
  const stdin: {
    read(into: Uint8Array): Promise<number | null>;
  };
  const stdout: { writeSync(bytes: Uint8Array): number };
  const permissions: { revokeSync(permission: { name: string }): unknown };
  interface FsFile extends Disposable {
    seekSync(offset: number, whence: 0 | 2): number;
    readSync(into: Uint8Array): number | null;
  }
  function openSync(path: URL): FsFile;
  function readFileSync(path: URL): Uint8Array<ArrayBuffer>;
  function memoryUsage(): { rss: number };
  function exit(code: number): never;
}
