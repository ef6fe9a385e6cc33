/** The part of Deno that the supervisor and the entry use. */
declare namespace Deno {
  const stdin: {
    read(into: Uint8Array): Promise<number | null>;
  };
  const stdout: { writeSync(bytes: Uint8Array): number };
  const permissions: { revokeSync(permission: { name: string }): unknown };
  function readFileSync(path: URL): Uint8Array<ArrayBuffer>;
  function memoryUsage(): { rss: number };
  function exit(code: number): never;
}
