/**
 * Makes the realm of a kernel look like a bare module worker: no Node, no Deno, no stack switching. It must run before
 * Pyodide's glue is called, which looks at the globals then. One branch of the glue is then left on every
 * engine, images fit all engines alike, and guest code that reaches JavaScript finds no handle on the process. This is
 * depth: the boundary is the process.
 */
export function disguiseRealm(): void {
  const realm = globalThis as Record<string, unknown>;
  for (const name of [
    'process',
    'Buffer',
    'Deno',
    'require',
    'Bun',
    'fetch',
    'XMLHttpRequest',
    'WebSocket',
    'WebSocketStream',
    'EventSource',
    'BroadcastChannel',
    // It would run code of a `data:` URL.
    'Worker',
  ]) {
    remove(realm, name);
  }
  realm.WorkerGlobalScope ??= class WorkerGlobalScope {};
  realm.location ??= { href: 'worker:/' };
  remove(WebAssembly as unknown as Record<string, unknown>, 'Suspending');
  remove(WebAssembly as unknown as Record<string, unknown>, 'promising');
}

function remove(target: Record<string, unknown>, name: string): void {
  if (Reflect.deleteProperty(target, name)) return;
  Object.defineProperty(target, name, { value: undefined, configurable: false, writable: false });
}
